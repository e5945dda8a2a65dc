import pytest

from observatory.claims import predicates_processes as processes
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check

FORKED = "connected\nserver f fork() = server.1\n"
CHILD_SENDS = """
    server.1 send(4, 5) = 5
    #4 server:80 > client:5000 P. (5) ack 1
    #5 client:5000 > server:80 . ack 6
    """
PARENT_CLOSES = "server close(4) = 0\n"
CHILD_CLOSES = """
    server.1 close(4) = 0
    #6 server:80 > client:5000 F. ack 1
    #7 client:5000 > server:80 . ack 7
    """
EARLY_FIN = """
    #4 server:80 > client:5000 F. ack 1
    #5 client:5000 > server:80 . ack 2
    server.1 close(4) = 0
    """
CHILD_EXITS = """
    server.1 exit(0) = ?
    #6 server:80 > client:5000 F. ack 1
    server.1 ends status 0
    #7 client:5000 > server:80 . ack 7
    """

CLOSES = processes.parents_close_does_not_end_it
EXITS = processes.exit_closes_the_childs_descriptors
SHARED = processes.descriptors_are_shared_by_fork
RUNS_OUT = processes.parent_runs_out_of_descriptors
SHUTS = processes.shutdown_ends_whoever_holds_it
ASKS = processes.execd_program_asks_for_its_client
CONCURRENT = processes.tcp_server_is_concurrent
ITERATIVE = processes.udp_server_is_iterative


def leaking(
    child_closes: str = "server.1 close(4) = 0", early: str = "", emfile: str = "EMFILE"
) -> str:
    return f"""
    connected
    server fork() = server.1
    {child_closes}
    server.1 exit(0) = ?
    server.1 ends status 0
    {early}
    server accept4(3, SOCK_CLOEXEC) = -1 {emfile}
    server exit(0) = ?
    server:80 > client:5000 F. ack 1
    server ends status 0
    """


SHUT = (
    FORKED
    + """
    server.1 s shutdown(4, SHUT_WR) = 0
    #4 server:80 > client:5000 F. ack 1
    #5 client:5000 > server:80 . ack 2
    server.1 close(4) = 0
    server close(4) = 0
    """
)
SHUT_IN_VAIN = (
    FORKED
    + """
    server.1 s shutdown(4, SHUT_WR) = 0
    server.1 close(4) = 0
    server close(4) = 0
    #4 server:80 > client:5000 F. ack 1
    """
)
BECAME = FORKED + "server.1 e execve(/bin/daemon, (daemon)) = ?\n"

DGRAM = "SOCK_DGRAM|SOCK_CLOEXEC"


def servers(first: str, second: str) -> str:
    """Two clients' connections, a child for each; which child answers first is told."""
    return f"""
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    server bind(3, server:80) = 0 <server:80 ->
    server listen(3, 8) = 0 <server:80 ->
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client a connect(3, server:80) ...
    client:5000 > server:80 S 1000
    server:80 > client:5000 S. 5000 ack 1
    client:5000 > server:80 . ack 1
    client a ... = 0 <client:5000 server:80>
    server accept4(3, SOCK_CLOEXEC) = 4 <server:80 client:5000>
    server fork() = server.1
    server close(4) = 0
    client socket(AF_INET, SOCK_STREAM, 0) = 4
    client b connect(4, server:80) ...
    client:5001 > server:80 S 1000
    server:80 > client:5001 S. 5000 ack 1
    client:5001 > server:80 . ack 1
    client b ... = 0 <client:5001 server:80>
    server accept4(3, SOCK_CLOEXEC) = 4 <server:80 client:5001>
    server fork() = server.2
    server close(4) = 0
    {first}
    {second}
    """


ONE = "server.1 send(4, 5) = 5\nserver:80 > client:5000 P. (5) ack 1"
OTHER = "server.2 send(4, 5) = 5\nserver:80 > client:5001 P. (5) ack 1"


def datagrams(*lines: str) -> str:
    return f"""
    server socket(AF_INET, {DGRAM}, 0) = 3
    server bind(3, server:53) = 0 <server:53 ->
    """ + "\n".join(lines)


def heard(port: int) -> str:
    return f"server recvfrom(3, 100, 0, client:{port}) = 4"


def answered(port: int) -> str:
    return f"server sendto(3, 4, 0, client:{port}) = 4"


TURNS = (heard(5000), answered(5000), heard(5001), answered(5001))

CASES = [
    Case("used by the child", SHARED, HOLDS, FORKED + CHILD_SENDS),
    Case("not in its table", SHARED, DIFFERS, FORKED + "server.1 send(4, 5) = -1 EBADF"),
    Case("no fork", SHARED, CANNOT, "connected"),
    Case("never used", SHARED, CANNOT, FORKED),
    Case(
        "FIN with the child's", CLOSES, HOLDS, FORKED + PARENT_CLOSES + CHILD_SENDS + CHILD_CLOSES
    ),
    Case("FIN with the parent's", CLOSES, DIFFERS, FORKED + PARENT_CLOSES + EARLY_FIN),
    Case(
        "the child closed first", CLOSES, CANNOT, FORKED + "server.1 close(4) = 0\n" + PARENT_CLOSES
    ),
    Case("FIN with the exit", EXITS, HOLDS, FORKED + PARENT_CLOSES + CHILD_SENDS + CHILD_EXITS),
    Case(
        "no FIN",
        EXITS,
        DIFFERS,
        FORKED + PARENT_CLOSES + "server.1 exit(0) = ?\nserver.1 ends status 0",
    ),
    Case(
        "FIN before",
        EXITS,
        DIFFERS,
        FORKED + PARENT_CLOSES + "+1ms #4 server:80 > client:5000 F. ack 1\nserver.1 exit(0) = ?",
    ),
    Case("closed by itself", EXITS, CANNOT, FORKED + PARENT_CLOSES + CHILD_SENDS + CHILD_CLOSES),
    Case("EMFILE, and no FIN", RUNS_OUT, HOLDS, leaking()),
    Case(
        "FIN all the same",
        RUNS_OUT,
        DIFFERS,
        leaking(early="+1ms server:80 > client:5000 F. ack 1"),
    ),
    Case("never out of them", RUNS_OUT, DIFFERS, leaking(emfile="EAGAIN")),
    Case("the child did not close", RUNS_OUT, CANNOT, leaking(child_closes="")),
    Case("FIN at once", SHUTS, HOLDS, SHUT),
    Case("FIN with the last close", SHUTS, DIFFERS, SHUT_IN_VAIN),
    Case("nobody else had it", SHUTS, CANNOT, "connected\nserver shutdown(4, SHUT_WR) = 0"),
    Case("told", ASKS, HOLDS, BECAME + "server.1 getpeername(4, client:5000) = 0"),
    Case("told another", ASKS, DIFFERS, BECAME + "server.1 getpeername(4, client:7) = 0"),
    Case("not told", ASKS, DIFFERS, BECAME + "server.1 getpeername(4) = -1 ENOTCONN"),
    Case(
        "told in its arguments",
        ASKS,
        CANNOT,
        BECAME.replace("(daemon)", "(daemon, client:5000)")
        + "server.1 getpeername(4, client:5000) = 0",
    ),
    Case("not asked", ASKS, CANNOT, BECAME),
    Case("the later first", CONCURRENT, HOLDS, servers(OTHER, ONE)),
    Case("in turn", CONCURRENT, DIFFERS, servers(ONE, OTHER)),
    Case("one only", CONCURRENT, CANNOT, FORKED + CHILD_SENDS),
    Case("in turn", ITERATIVE, HOLDS, datagrams(*TURNS)),
    Case("heard all first", ITERATIVE, DIFFERS, datagrams(TURNS[0], TURNS[2], TURNS[1], TURNS[3])),
    Case("forked", ITERATIVE, DIFFERS, datagrams(*TURNS, "server fork() = server.1")),
    Case("one client", ITERATIVE, CANNOT, datagrams(*TURNS[:2])),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)
