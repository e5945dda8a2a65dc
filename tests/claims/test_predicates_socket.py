import pytest

from observatory.claims import predicates_socket as socket
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check

STREAM = "SOCK_STREAM|SOCK_CLOEXEC"
DGRAM = "SOCK_DGRAM|SOCK_CLOEXEC"


def asked(family: str, domain: int, name: str, protocol: int = 6) -> str:
    return f"""
    client socket({family}, {STREAM}, 0) = 3
    client getsockopt(3, SOL_SOCKET, SO_DOMAIN, {domain}) = 0
    client getsockopt(3, SOL_SOCKET, SO_PROTOCOL, {protocol}) = 0
    client bind(3, {name}) = 0
    client getsockname(3, {name}) = 0
    client close(3) = 0
    """


def by_name(protocol: int) -> str:
    return f"""
    client socket(AF_INET, {STREAM}, 6) = 3
    client getsockopt(3, SOL_SOCKET, SO_PROTOCOL, {protocol}) = 0
    """


UNIX_SAME = """
    server socket(AF_UNIX, SOCK_STREAM, 0) = 5
    server bind(5, unix:/s) = 0
    server listen(5, 8) = 0
    client socket(AF_UNIX, SOCK_STREAM, 0) = 5
    client connect(5, unix:/s) = 0 <unix: unix:/s>
    client send(5, 5) = 5
    server accept4(5, SOCK_CLOEXEC) = 6 <unix:/s unix:>
    server recv(6, 100) = 5
    client close(5) = 0
    server close(6) = 0
    server close(5) = 0
    """
TCP_FIRST = """
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    server bind(3, server:80) = 0
    server listen(3, 8) = 0
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #1 client:5000 > server:80 S 1000
    #2 server:80 > client:5000 S. 5000 ack 1
    #3 client:5000 > server:80 . ack 1
    client c ... = 0 <client:5000 server:80>
    client send(3, 5) = 5
    #4 client:5000 > server:80 P. (5) ack 1
    server accept4(3, SOCK_CLOEXEC) = 4 <server:80 client:5000>
    server recv(4, 100) = 5
    client close(3) = 0
    #5 client:5000 > server:80 F. ack 1
    #6 server:80 > client:5000 . ack 7
    server close(4) = 0
    #7 server:80 > client:5000 F. ack 7
    #8 client:5000 > server:80 . ack 2
    server close(3) = 0
    """

UDP = f"""
    client socket(AF_INET, {DGRAM}, 0) = 3
    client connect(3, server:53) = 0 <client:5000 server:53>
    client send(3, 4) = 4
    #1 client:5000 > server:53 udp (4)
    """

CASES = [
    Case("0 and 3", socket.descriptor_is_not_negative, HOLDS, "client socket(AF_INET, S, 0) = 0"),
    Case("failed", socket.descriptor_is_not_negative, CANNOT, "client socket(A, S, 0) = -1 EMFILE"),
    Case("-2", socket.descriptor_is_not_negative, DIFFERS, "client socket(AF_INET, S, 0) = -2"),
    Case("silent", socket.socket_sends_nothing, HOLDS, "connected"),
    Case(
        "nothing captured at all",
        socket.socket_sends_nothing,
        CANNOT,
        "client socket(AF_INET, SOCK_STREAM, 0) = 3",
    ),
    Case(
        "a packet during it",
        socket.socket_sends_nothing,
        DIFFERS,
        """
        client c socket(AF_INET, SOCK_STREAM, 0) ...
        #1 client:5000 > server:80 S 1000
        client c ... = 3
        client close(3) = 0
        """,
    ),
    Case("same", socket.families_are_equal, HOLDS, asked("AF_INET", 2, "10.0.0.1:80")),
    Case("IPv6", socket.families_are_equal, HOLDS, asked("AF_INET6", 10, "[::1]:80")),
    Case("other domain", socket.families_are_equal, DIFFERS, asked("AF_INET", 3, "10.0.0.1:80")),
    Case("other name", socket.families_are_equal, DIFFERS, asked("AF_INET", 2, "[::1]:80")),
    Case("not asked", socket.families_are_equal, CANNOT, "client socket(AF_INET, S, 0) = 3"),
    Case(
        "same",
        socket.protocol_0_is_the_default,
        HOLDS,
        asked("AF_INET", 2, "10.0.0.1:80") + by_name(6),
    ),
    Case(
        "another",
        socket.protocol_0_is_the_default,
        DIFFERS,
        asked("AF_INET", 2, "10.0.0.1:80", 132) + by_name(6),
    ),
    Case(
        "refused",
        socket.protocol_0_is_the_default,
        DIFFERS,
        f"client socket(AF_INET, {STREAM}, 0) = -1 EPROTONOSUPPORT" + by_name(6),
    ),
    Case(
        "never by name",
        socket.protocol_0_is_the_default,
        CANNOT,
        asked("AF_INET", 2, "10.0.0.1:80"),
    ),
    Case("same", socket.unix_stream_shows_the_same_calls, HOLDS, TCP_FIRST + UNIX_SAME),
    Case(
        "other count",
        socket.unix_stream_shows_the_same_calls,
        DIFFERS,
        TCP_FIRST + UNIX_SAME.replace("send(5, 5) = 5", "send(5, 5) = 4"),
    ),
    Case(
        "packets",
        socket.unix_stream_shows_the_same_calls,
        DIFFERS,
        TCP_FIRST + UNIX_SAME + "#9 client:5001 > server:81 S 9000",
    ),
    Case("no Unix", socket.unix_stream_shows_the_same_calls, CANNOT, TCP_FIRST),
    Case("silent", socket.udp_connect_sends_nothing, HOLDS, UDP),
    Case(
        "a datagram",
        socket.udp_connect_sends_nothing,
        DIFFERS,
        UDP.replace("client send", "#1 client:5000 > server:53 udp (0)\nclient send").replace(
            "#1 client:5000 > server:53 udp (4)", "#2 client:5000 > server:53 udp (4)"
        ),
    ),
    Case(
        "no datagram ever",
        socket.udp_connect_sends_nothing,
        CANNOT,
        UDP.replace("#1 client:5000 > server:53 udp (4)", ""),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)
