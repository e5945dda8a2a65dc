"""The kernel's functions, of a table of a few lines."""

from pathlib import Path

import pytest

from observatory.sources.symbols import names_of

TABLE = """\
0000000000000000 A fixed_percpu_data
ffffffff82035b40 T tcp_v4_rcv
ffffffff82035b80 d some_data
ffffffff82036f30 t tcp_v4_fill_cb
ffffffffc0001000 t of_a_module\t[module]
ffffffffc0000000 T before_it\t[module]
"""


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF82035B40, "tcp_v4_rcv"),
        (0xFFFFFFFF82035BD1, "tcp_v4_rcv"),
        (0xFFFFFFFF82036F30, "tcp_v4_fill_cb"),
        (0xFFFFFFFFC0000001, "before_it"),
        (0xFFFFFFFFC0002000, "of_a_module"),
        (0x1000, ""),
        (0, ""),
    ],
)
def test_an_address_is_in_the_function_that_begins_before_it(
    tmp_path: Path, address: int, name: str
) -> None:
    table = tmp_path / "kallsyms"
    table.write_text(TABLE)
    assert names_of([address], table) == {address: name}


def test_who_may_not_know_them_is_shown_zeros(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    table.write_text("0000000000000000 T tcp_v4_rcv\n0000000000000000 t tcp_v4_fill_cb\n")
    assert names_of([0xFFFFFFFF82035BD1], table) == {0xFFFFFFFF82035BD1: ""}


def test_without_the_table_there_are_no_names(tmp_path: Path) -> None:
    assert names_of([1], tmp_path / "none") == {1: ""}
