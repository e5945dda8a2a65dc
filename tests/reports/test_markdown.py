"""The Markdown report keeps its tables and code blocks whole."""

import pytest

from observatory.reports.markdown import render
from tests.reports import samples


@pytest.mark.parametrize("name", samples.ALL)
def test_tables_have_as_many_cells_in_every_row(name):
    table = []
    for line in [*render(samples.ALL[name]()).splitlines(), ""]:
        if line.startswith("|"):
            table.append(line.replace("\\|", "").count("|"))
        else:
            assert len(set(table)) <= 1
            table = []


def test_a_refused_connect():
    text = render(samples.refused())
    assert text.startswith("# connect-refused\n")
    assert "`connect(3, 127.0.0.1:9) = -1 ECONNREFUSED (Connection refused)`" in text
    assert "evidence `#1` `#2` k1" in text
    assert "```text" in text


def test_doubt_is_loud():
    assert "**NOT EXPLAINED.**" in render(samples.troubled())


def test_what_programs_say_is_no_markup():
    s = samples.Sample("a | *b* <script> #7")
    s.call(0, 1, "connect", fd=3, address="unix:/a|b`c`", why="<img> | *x*")
    text = render(s.analysis())
    assert "<script>" not in text
    assert "<img>" not in text
    assert "`` connect(3, unix:/a\\|b`c`) = 0 ``" in text
