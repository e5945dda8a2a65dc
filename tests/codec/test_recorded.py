"""What a log says of the options it was recorded with."""

import re

from observatory.codec.recorded import has_times, missing_options

FULL = """\
12 1700000000.123456789 socket(AF_INET, SOCK_STREAM, 0) = 3<socket:[7]>
12 1700000000.123456799 connect(3<socket:[7]>, {sa_family=AF_INET}, 16) = 0
12 1700000000.123456899 read(3<socket:[7]>, ""..., 10) = 0
12 1700000000.123456999 write(3<socket:[7]>, ""..., 10) = 10
12 1700000000.123457000 close(3<socket:[7]>) = 0
12 1700000000.123458000 exit_group(0) = ?
"""


def told(text: str) -> str:
    return "\n".join(missing_options(text.splitlines()))


def test_a_log_with_all_of_them_misses_nothing() -> None:
    assert missing_options(FULL.splitlines()) == ()
    assert has_times(FULL.splitlines())


def test_each_option_that_is_missing_is_named_with_its_cost() -> None:
    assert "without -f" in told(FULL.replace("12 17", "17"))
    assert "without -y" in told(FULL.replace("<socket:[7]>", ""))
    assert "within a microsecond" in told(re.sub(r"(\.\d{6})\d{3}", r"\1", FULL))
    assert "no date" in told(FULL.replace("1700000000.123456", "12:00:00.123"))
    assert "when sockets were closed" in told(FULL.replace("close", "gettid"))


def test_without_times_nothing_can_be_set_beside_packets() -> None:
    assert not has_times(["socket(AF_INET, SOCK_STREAM, 0) = 3", "+++ exited with 0 +++"])
    assert not has_times(["no log at all"])
