import pytest

from observatory.claims import predicates_listen as listen
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check


def listening(
    before: int = 0, after: int = 1, answer: str = "S. 5000 ack 1", loud: str = ""
) -> str:
    return f"""
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    server bind(3, server:80) = 0 <server:80 ->
    server getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, {before}) = 0
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #1 client:5000 > server:80 S 1000
    #2 server:80 > client:5000 R. 0 ack 1
    client c ... = -1 ECONNREFUSED <0.0.0.0:5000 ->
    server l listen(3, 8) ...
    {loud}
    server l ... = 0 <server:80 ->
    server getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, {after}) = 0
    client socket(AF_INET, SOCK_STREAM, 0) = 4
    client d connect(4, server:80) ...
    client:5001 > server:80 S 1000
    server:80 > client:5001 {answer}
    client:5001 > server:80 . ack 1
    client d ... = 0 <client:5001 server:80>
    """


KERNEL = "kernel in server sock:inet_sock_set_state server:80 CLOSED -> {} socket=a"
SERVER = """
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    server bind(3, server:80) = 0 <server:80 ->
    server listen(3, 8) = 0 <server:80 ->
    """
INCOMPLETE = (
    SERVER
    + """
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #1 client:5000 > server:80 S 1000
    #2 server:80 > client:5000 S. 5000 ack 1
    client c ... = 0 <client:5000 server:80>
    """
)
SENT_AGAIN = "+1s #3 server:80 > client:5000 S. 5000 ack 1\n"
COMPLETE = """
    #4 client:5000 > server:80 . ack 1
    """
ACCEPT = "server a accept4(3, SOCK_CLOEXEC) ...\n"
ACCEPTED = "server a ... = 4 <server:80 client:5000>\n"
AT_ONCE = "server accept4(3, SOCK_CLOEXEC) = 4 <server:80 client:5000>\n"

QUEUED = (
    SERVER
    + """
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #1 client:5000 > server:80 S 1000
    #2 server:80 > client:5000 S. 5000 ack 1
    #3 client:5000 > server:80 . ack 1
    client c ... = 0 <client:5000 server:80>
    """
)


def sweep(*held: int, unanswered: bool = True) -> str:
    """Backlogs of 0, 1, 2 … that held so many connections, with one attempt more."""
    lines = []
    for backlog, count in enumerate(held):
        port = 80 + backlog
        lines += [
            "server socket(AF_INET, SOCK_STREAM, 0) = 3",
            f"server bind(3, server:{port}) = 0 <server:{port} ->",
            f"server listen(3, {backlog}) = 0 <server:{port} ->",
        ]
        for client in range(count + unanswered):
            lines += [
                "client socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0) = 3",
                f"client connect(3, server:{port}) = -1 EINPROGRESS <client:{5000 + client} ->",
                f"client:{5000 + client} > server:{port} S 1000",
            ]
            if client < count:
                lines += [
                    f"server:{port} > client:{5000 + client} S. 5000 ack 1",
                    f"client:{5000 + client} > server:{port} . ack 1",
                ]
            lines.append("client close(3) = 0")
        lines.append("server close(3) = 0")
    return "\n".join(lines)


EARLY = (
    QUEUED
    + """
    client send(3, 5) = 5
    #4 client:5000 > server:80 P. (5) ack 1
    #5 server:80 > client:5000 . ack 6
    """
)
FUDGE = listen.backlog_has_a_fudge_factor
PASSIVE = listen.listen_makes_a_socket_passive
WAITS = listen.incomplete_connections_wait_apart

CASES = [
    Case("refused, then answered", PASSIVE, HOLDS, listening()),
    Case("as the kernel told too", PASSIVE, HOLDS, listening(loud=KERNEL.format("LISTEN"))),
    Case("told another state", PASSIVE, DIFFERS, listening(loud=KERNEL.format("ESTABLISHED"))),
    Case("not passive after it", PASSIVE, DIFFERS, listening(after=0)),
    Case("passive before it", PASSIVE, DIFFERS, listening(before=1)),
    Case("refused after it", PASSIVE, DIFFERS, listening(answer="R. 0 ack 1")),
    Case("loud", PASSIVE, DIFFERS, listening(loud="server:80 > client:9 . 1 ack 1")),
    Case("nobody came before", PASSIVE, CANNOT, QUEUED),
    Case(
        "accepted after the ACK",
        WAITS,
        HOLDS,
        INCOMPLETE + ACCEPT + SENT_AGAIN + COMPLETE + ACCEPTED,
    ),
    Case("looked for in vain", WAITS, HOLDS, INCOMPLETE + ACCEPT + SENT_AGAIN),
    Case("accepted before", WAITS, DIFFERS, INCOMPLETE + AT_ONCE + SENT_AGAIN),
    Case("accepted later", WAITS, CANNOT, INCOMPLETE + SENT_AGAIN + COMPLETE + AT_ONCE),
    Case("nobody looked", WAITS, CANNOT, INCOMPLETE + SENT_AGAIN),
    Case("all ACKs arrived", WAITS, CANNOT, QUEUED),
    Case("fetched", listen.complete_connections_are_queued, HOLDS, QUEUED + AT_ONCE),
    Case(
        "another was fetched",
        listen.complete_connections_are_queued,
        DIFFERS,
        QUEUED + AT_ONCE.replace("client:5000", "client:6000"),
    ),
    Case(
        "accept() waited",
        listen.complete_connections_are_queued,
        CANNOT,
        QUEUED.replace("client c connect", ACCEPT + "client c connect") + ACCEPTED,
    ),
    Case("one more", FUDGE, HOLDS, sweep(1, 2, 3)),
    Case("half as much again", FUDGE, HOLDS, sweep(1, 2, 4)),
    Case("exactly", FUDGE, DIFFERS, sweep(0, 1, 2)),
    Case("less", FUDGE, DIFFERS, sweep(1, 0)),
    Case("no bound", FUDGE, DIFFERS, sweep(3, 3, unanswered=False)),
    Case("one backlog", FUDGE, CANNOT, sweep(1)),
    Case("accepted meanwhile", FUDGE, CANNOT, QUEUED + AT_ONCE),
    Case("nobody", listen.backlog_0_admits_nobody, HOLDS, sweep(0, 2)),
    Case("one", listen.backlog_0_admits_nobody, DIFFERS, sweep(1, 2)),
    Case("not tried", listen.backlog_0_admits_nobody, CANNOT, QUEUED),
    Case(
        "read",
        listen.early_data_are_queued,
        HOLDS,
        EARLY + AT_ONCE + "server recv(4, 100, 0) = 5",
    ),
    Case(
        "lost",
        listen.early_data_are_queued,
        DIFFERS,
        EARLY + AT_ONCE + "server recv(4, 100, 0) = -1 EAGAIN",
    ),
    Case("no data before", listen.early_data_are_queued, CANNOT, QUEUED + AT_ONCE),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)


def test_the_finding_tells_how_many_each_backlog_held() -> None:
    seen = Case("", FUDGE, HOLDS, sweep(1, 2, 3)).finding().seen
    assert "0: 1, 1: 2, 2: 3 (always 1 more;" in seen
