import pytest

from observatory.claims import predicates_bind as bind
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check

SOCKET = "client socket(AF_INET, SOCK_STREAM, 0) = 3\n"
PORT_0 = (
    SOCKET
    + """
    client bind(3, 127.0.0.1:0) = 0 <127.0.0.1:33000 ->
    client getsockname(3, 127.0.0.1:33000) = 0
    """
)
WILDCARD = """
    host own 127.0.0.2
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    server bind(3, 0.0.0.0:80) = 0 <0.0.0.0:80 ->
    server getsockname(3, 0.0.0.0:80) = 0
    server listen(3, 8) = 0
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, own:80) ...
    #1 client:5000 > own:80 S 1000
    #2 own:80 > client:5000 S. 5000 ack 1
    #3 client:5000 > own:80 . ack 1
    client c ... = 0 <client:5000 own:80>
    server a accept4(3, SOCK_CLOEXEC) = 4 <own:80 client:5000>
    """
TWO = """
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client bind(3, 127.0.0.1:80) = 0 <127.0.0.1:80 ->
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    """


def both(foreign: str, own: str) -> str:
    return SOCKET + f"client bind(3, 192.0.2.1:0) = {foreign}\nclient bind(3, 127.1.2.3:0) = {own}"


REFUSED = "-1 EADDRNOTAVAIL"
CASES = [
    Case("a port", bind.port_0_lets_the_kernel_choose, HOLDS, PORT_0),
    Case("0 again", bind.port_0_lets_the_kernel_choose, DIFFERS, PORT_0.replace("33000", "0")),
    Case(
        "refused",
        bind.port_0_lets_the_kernel_choose,
        DIFFERS,
        SOCKET + "client bind(3, 127.0.0.1:0) = -1 EINVAL",
    ),
    Case(
        "not asked",
        bind.port_0_lets_the_kernel_choose,
        CANNOT,
        SOCKET + "client bind(3, 127.0.0.1:0) = 0",
    ),
    Case("the SYN's", bind.wildcard_is_settled_by_the_connection, HOLDS, WILDCARD),
    Case(
        "still the wildcard",
        bind.wildcard_is_settled_by_the_connection,
        DIFFERS,
        WILDCARD.replace("= 4 <own:80", "= 4 <0.0.0.0:80"),
    ),
    Case(
        "another than the SYN's",
        bind.wildcard_is_settled_by_the_connection,
        DIFFERS,
        WILDCARD.replace("= 4 <own:80", "= 4 <127.0.0.9:80"),
    ),
    Case(
        "settled by bind",
        bind.wildcard_is_settled_by_the_connection,
        DIFFERS,
        WILDCARD.replace("getsockname(3, 0.0.0.0", "getsockname(3, 127.0.0.1"),
    ),
    Case(
        "nobody came",
        bind.wildcard_is_settled_by_the_connection,
        CANNOT,
        WILDCARD.partition("client c ")[0],
    ),
    Case("refused", bind.address_must_be_of_an_interface, HOLDS, both(REFUSED, "0")),
    Case("allowed", bind.address_must_be_of_an_interface, DIFFERS, both("0", "0")),
    Case("own refused", bind.address_must_be_of_an_interface, DIFFERS, both(REFUSED, REFUSED)),
    Case(
        "only its own",
        bind.address_must_be_of_an_interface,
        CANNOT,
        SOCKET + "client bind(3, 127.0.0.1:0) = 0",
    ),
    Case(
        "in use",
        bind.taken_address_is_refused,
        HOLDS,
        TWO + "server bind(3, 127.0.0.1:80) = -1 EADDRINUSE",
    ),
    Case(
        "shared", bind.taken_address_is_refused, DIFFERS, TWO + "server bind(3, 127.0.0.1:80) = 0"
    ),
    Case(
        "another port",
        bind.taken_address_is_refused,
        CANNOT,
        TWO + "server bind(3, 127.0.0.1:81) = 0",
    ),
    Case(
        "given up before",
        bind.taken_address_is_refused,
        CANNOT,
        TWO + "client close(3) = 0\nserver bind(3, 127.0.0.1:80) = 0",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)
