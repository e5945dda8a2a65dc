"""Where a call was made."""

import pytest

from observatory.codec.strace import parse
from observatory.codec.strace.sites import site_of

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6(send+0x19) [0x10ab59]"


@pytest.mark.parametrize(
    ("frames", "site"),
    [
        ([LIBC, "/opt/a b/program(main+0xd1) [0x12aa]"], "program(main+0xd1)"),
        ([LIBC, "/usr/lib/libcurl.so.4.8.0(f+0x1) [0x1]"], "libcurl.so.4.8.0(f+0x1)"),
        ([LIBC, "/usr/lib/libc-client.so(f+0x1) [0x1]"], "libc-client.so(f+0x1)"),
        (["/lib/ld-linux-x86-64.so.2() [0x1]", "/opt/stripped() [0x1]"], "stripped"),
        ([LIBC], None),
        (["what is this"], None),
        ([], None),
    ],
)
def test_the_innermost_frame_outside_the_c_library(frames, site):
    found = site_of(frames)
    assert (None if found is None else str(found)) == site


def test_a_stack_belongs_to_the_line_before_it():
    log = parse(
        [
            "1 listen(3<socket:[1]>, 1) = 0",
            f" > {LIBC}",
            " > /opt/program(serve+0x1) [0x1]",
            "",
            "1 +++ exited with 0 +++",
            " > /opt/program(other+0x1) [0x1]",
        ]
    )
    assert str(log.calls[0].site) == "program(serve+0x1)"
    assert log.notes == 5
