import pytest

from observatory.claims import predicates_unanswered as unanswered
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check

SYN = "client:5000 > server:80 S 1000"


def schedule(*pauses: str, end: str = "45s", outcome: str = "-1 ETIMEDOUT", limit: str = "") -> str:
    """SYNs with these pauses between them, and the end after the last."""
    again = "\n".join(f"+{pause} {SYN}" for pause in pauses)
    return f"""
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    {limit}
    client c connect(3, server:80) ...
    {SYN}
    {again}
    +{end} client c ... = {outcome} <0.0.0.0:5000 ->
    """


LIMIT = "client setsockopt(3, IPPROTO_TCP, TCP_SYNCNT, 1) = 0"
SCHEDULE = unanswered.syns_follow_the_books_schedule


def unreachable(middle: str, end: str, outcome: str, code: int = 1) -> str:
    return f"""
    host router 10.0.0.254
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #1 {SYN}
    #2 router > client icmp 3/{code} quotes #1
    {middle}
    +{end} client c ... = {outcome} <0.0.0.0:5000 ->
    """


AGAIN = f"""
    +6s #3 {SYN}
    #4 router > client icmp 3/1 quotes #3
    """
SOFT = unanswered.unreachable_is_a_soft_error

QUEUE = unanswered.full_queue_ignores_the_syn
FULL = """
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    server bind(3, server:80) = 0
    server listen(3, 0) = 0
    client socket(AF_INET, SOCK_STREAM, 0) = 4
    client a connect(4, server:80) ...
    #1 client:4000 > server:80 S 1000
    #2 server:80 > client:4000 S. 5000 ack 1
    #3 client:4000 > server:80 . ack 1
    client a ... = 0 <client:4000 server:80>
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #4 client:5000 > server:80 S 1000
    """
ADMITTED = """
    +1s #5 client:5000 > server:80 S 1000
    #6 server:80 > client:5000 S. 5000 ack 1
    client c ... = 0 <client:5000 server:80>
    """
RESET = """
    #5 server:80 > client:5000 R. 0 ack 1
    client c ... = -1 ECONNREFUSED <0.0.0.0:5000 ->
    """
NEVER = """
    +1s #5 client:5000 > server:80 S 1000
    +2s client c ... = -1 ETIMEDOUT <0.0.0.0:5000 ->
    """

CASES = [
    Case("the book's", SCHEDULE, HOLDS, schedule("6s", "24s")),
    Case("Linux's", SCHEDULE, DIFFERS, schedule("1s", "1s", "1s", "2s", "4s", end="8s")),
    Case("another end", SCHEDULE, DIFFERS, schedule("6s", "24s", end="90s")),
    Case("another errno", SCHEDULE, DIFFERS, schedule("6s", "24s", outcome="-1 EHOSTUNREACH")),
    Case("too few", SCHEDULE, DIFFERS, schedule("6s", end="69s")),
    Case("limited, as far", SCHEDULE, CANNOT, schedule("6s", end="10s", limit=LIMIT)),
    Case("limited, other times", SCHEDULE, DIFFERS, schedule("1s", end="2s", limit=LIMIT)),
    Case(
        "limited by the setting",
        SCHEDULE,
        CANNOT,
        "setting net.ipv4.tcp_syn_retries 1" + schedule("6s", end="10s"),
    ),
    Case("answered", SCHEDULE, CANNOT, unreachable("", "1ms", "-1 EHOSTUNREACH")),
    Case("tried on, until the timer", SOFT, HOLDS, unreachable(AGAIN, "24s", "-1 EHOSTUNREACH")),
    Case("network", SOFT, DIFFERS, unreachable("", "1ms", "-1 ENETUNREACH", 0)),
    Case("at once", SOFT, DIFFERS, unreachable("", "1ms", "-1 EHOSTUNREACH")),
    Case("by the second message", SOFT, DIFFERS, unreachable(AGAIN, "1ms", "-1 EHOSTUNREACH")),
    Case("forgotten in the end", SOFT, DIFFERS, unreachable(AGAIN, "24s", "-1 ETIMEDOUT")),
    Case("a port", SOFT, CANNOT, unreachable("", "1ms", "-1 ECONNREFUSED", 3)),
    Case("admitted later", QUEUE, HOLDS, FULL + ADMITTED),
    Case("reset", QUEUE, DIFFERS, FULL + RESET),
    Case("never admitted", QUEUE, DIFFERS, FULL + NEVER),
    Case("nobody was turned away", QUEUE, CANNOT, "connected"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)


def test_the_finding_tells_when_each_syn_was_sent() -> None:
    case = Case("", SCHEDULE, DIFFERS, schedule("1s", "2s", end="4s", limit=LIMIT))
    seen = case.finding().seen
    assert "again after 1 s, 3 s; -1 ETIMEDOUT after 7 s (tries limited by TCP_SYNCNT 1)" in seen
