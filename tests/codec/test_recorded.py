"""What a log says of the options it was recorded with."""

from observatory.codec.recorded import missing_options

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
    assert told(FULL) == ""
    assert told(FULL.replace("12 17", "[pid    12] 17")) == ""
    assert told(FULL.replace("12 17", "12<python3> 17")) == ""
    assert told(FULL.replace("1700000000.123456", "12:00:00.123")) == ""


def test_each_that_is_missing_is_named_with_its_cost() -> None:
    assert "without -f" in told(FULL.replace("12 17", "17"))
    assert "when sockets were closed" in told(FULL.replace("close", "gettid"))
    assert "which calls sent data" in told(FULL.replace("write", "gettid"))


def test_what_is_no_log_misses_nothing() -> None:
    assert missing_options(["no log at all", ""]) == ()
