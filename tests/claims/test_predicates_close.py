import pytest

from observatory.claims import predicates_close as close
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check

SENT = """
    connected
    client send(3, 10) = 10
    #4 client:5000 > server:80 P. (4) ack 1
    client close(3) = 0
    """
READ_FIRST = "+1ms server recv(4, 100, 0) = 4\n"
REST = """
    +1ms #5 client:5000 > server:80 P. (6) ack 1
    #6 client:5000 > server:80 F. ack 1
    server recv(4, 100, 0) = 6
    """
FIN_FIRST = """
    +1ms #5 client:5000 > server:80 F. 11 ack 1
    #6 client:5000 > server:80 P. 5 (6) ack 1
    server recv(4, 100, 0) = 6
    """
CLOSED = "connected\nclient close(3) = 0\n"
LEAVES = close.close_leaves_the_rest_to_the_kernel
USELESS = close.closed_descriptor_is_of_no_use
LOCAL = close.local_names_are_0_or_minus_1
PEER = close.peer_names_are_0_or_minus_1


def names(call: str, good: str, bad: str) -> str:
    return f"""
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client {call}(3, client:5000) = {good}
    client {call}(9) = {bad}
    """


CASES = [
    Case("sent later, then FIN", LEAVES, HOLDS, SENT + READ_FIRST + REST),
    Case(
        "thrown away", LEAVES, DIFFERS, SENT + READ_FIRST + "+1ms client:5000 > server:80 R. ack 1"
    ),
    Case("FIN before the rest", LEAVES, DIFFERS, SENT + READ_FIRST + FIN_FIRST),
    Case("lost on the way", LEAVES, DIFFERS, SENT + REST),
    Case("nothing was left", LEAVES, CANNOT, SENT.replace("(4)", "(10)")),
    Case(
        "EBADF",
        USELESS,
        HOLDS,
        CLOSED + "client send(3, 1) = -1 EBADF\nclient recv(3, 1) = -1 EBADF",
    ),
    Case(
        "still read",
        USELESS,
        DIFFERS,
        CLOSED + "client send(3, 1) = -1 EBADF\nclient recv(3, 1) = 0",
    ),
    Case(
        "the number was given anew",
        USELESS,
        CANNOT,
        CLOSED
        + "client socket(AF_INET, SOCK_STREAM, 0) = 3\n"
        + "client send(3, 1) = -1 EPIPE\nclient recv(3, 1) = -1 ENOTCONN",
    ),
    Case("not used", USELESS, CANNOT, CLOSED),
    Case("0 and -1", LOCAL, HOLDS, names("getsockname", "0", "-1 EBADF")),
    Case("1", LOCAL, DIFFERS, names("getsockname", "1", "-1 EBADF")),
    Case("never failed", LOCAL, CANNOT, names("getsockname", "0", "0")),
    Case("0 and -1", PEER, HOLDS, names("getpeername", "0", "-1 ENOTCONN")),
    Case("1", PEER, DIFFERS, names("getpeername", "1", "-1 ENOTCONN")),
    Case("only the other was asked", PEER, CANNOT, names("getsockname", "0", "-1 EBADF")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)
