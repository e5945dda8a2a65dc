import pytest

from observatory.claims import predicates_connect as connect
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check

REFUSED = """
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #1 client:5000 > server:80 S 1000
    #2 server:80 > client:5000 R. 0 ack 1
    client c ... = -1 ECONNREFUSED <0.0.0.0:5000 ->
    """
HANDSHAKE = """
    client c connect(3, server:80) ...
    #1 client:5000 > server:80 S 1000
    #2 server:80 > client:5000 S. 5000 ack 1
    #3 client:5000 > server:80 . ack 1
    client c ... = 0 <client:5000 server:80>
    """
OPENED = "client socket(AF_INET, SOCK_STREAM, 0) = 3\n" + HANDSHAKE
NAMED = f"""
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client getsockname(3, 0.0.0.0:0) = 0
    {HANDSHAKE}
    client getsockname(3, client:5000) = 0
    """
TOLD = "kernel in client sock:inet_sock_set_state client:5000 > server:80 CLOSED -> {} socket=a"


def states(before: str, during: str, after: str, kernel: str = "") -> str:
    """What TCP_INFO told of a socket that connects without blocking."""
    ask = "client getsockopt(3, IPPROTO_TCP, TCP_INFO, {}) = 0"
    return f"""
    client socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0) = 3
    {ask.format(before)}
    client c connect(3, server:80) ...
    {kernel}
    #1 client:5000 > server:80 S 1000
    client c ... = -1 EINPROGRESS <client:5000 ->
    {ask.format(during)}
    #2 server:80 > client:5000 S. 5000 ack 1
    #3 client:5000 > server:80 . ack 1
    {ask.format(after)}
    """


THREE_RESETS = """
    host stranger 10.0.0.3
    client socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:9) ...
    #1 client:5000 > server:9 S 1000
    #2 server:9 > client:5000 R. 0 ack 1
    client c ... = -1 ECONNREFUSED <0.0.0.0:5000 ->
    client socket(AF_INET, SOCK_STREAM, 0) = 4
    client d connect(4, server:80) ...
    #3 client:5001 > server:80 S 1000
    #4 server:80 > client:5001 S. 5000 ack 1
    #5 client:5001 > server:80 . ack 1
    client d ... = 0 <client:5001 server:80>
    client setsockopt(4, SOL_SOCKET, SO_LINGER, (1, 0)) = 0
    client close(4) = 0
    #6 client:5001 > server:80 R. ack 1
    #7 stranger:6000 > server:80 . 7 ack 1
    #8 server:80 > stranger:6000 R 1
    """


def again(outcome: str, answer: str = "") -> str:
    return REFUSED + f"client d connect(3, server:80) ...\n{answer}\nclient d ... = {outcome}"


ACCEPTED = """
    #3 client:5000 > server:80 S 2000
    #4 server:80 > client:5000 S. 7000 ack 1
    """
REFUSED_AGAIN = """
    #3 client:5000 > server:80 S 2000
    #4 server:80 > client:5000 R. 0 ack 1
    """
PORTS = "net.ipv4.ip_local_port_range"
RANGE = {PORTS: "5000 5001"}
CHOOSES = connect.kernel_chooses_address_and_port
WAITS = connect.connect_waits_for_the_handshake
STATE = connect.connect_moves_through_the_states
RESETS = connect.reset_has_three_causes
USELESS = connect.socket_is_of_no_use_after_failure
AT_ONCE = connect.reset_means_refused_at_once

CASES = [
    Case("chosen", CHOOSES, HOLDS, NAMED),
    Case("in the range", CHOOSES, HOLDS, NAMED, settings=RANGE),
    Case("beyond it", CHOOSES, DIFFERS, NAMED, settings={PORTS: "1 4999"}),
    Case(
        "another name", CHOOSES, DIFFERS, NAMED.replace("name(3, client:5000", "name(3, client:1")
    ),
    Case("a name before", CHOOSES, DIFFERS, NAMED.replace("0.0.0.0:0", "client:5000")),
    Case(
        "bound",
        CHOOSES,
        CANNOT,
        NAMED.replace(HANDSHAKE, "client bind(3, client:5000) = 0\n" + HANDSHAKE),
    ),
    Case("not asked", CHOOSES, CANNOT, OPENED),
    Case("told", connect.name_of_unbound_client, HOLDS, NAMED),
    Case(
        "another",
        connect.name_of_unbound_client,
        DIFFERS,
        NAMED.replace("name(3, client:5000", "name(3, client:1"),
    ),
    Case("not asked", connect.name_of_unbound_client, CANNOT, OPENED),
    Case("whole", WAITS, HOLDS, OPENED),
    Case(
        "returned before the answer",
        WAITS,
        DIFFERS,
        """
        client socket(AF_INET, SOCK_STREAM, 0) = 3
        client connect(3, server:80) = 0 <client:5000 server:80>
        #1 client:5000 > server:80 S 1000
        +1ms #2 server:80 > client:5000 S. 5000 ack 1
        #3 client:5000 > server:80 . ack 1
        """,
    ),
    Case(
        "no answer at all",
        WAITS,
        DIFFERS,
        """
        client socket(AF_INET, SOCK_STREAM, 0) = 3
        client connect(3, server:80) = 0 <client:5000 server:80>
        #1 client:5000 > server:80 S 1000
        """,
    ),
    Case("no last ACK", WAITS, DIFFERS, OPENED.replace("#3 client:5000 > server:80 . ack 1", "")),
    Case("refused", WAITS, CANNOT, REFUSED),
    Case("after the RST", connect.connect_waits_for_the_failure, HOLDS, REFUSED),
    Case(
        "before the RST",
        connect.connect_waits_for_the_failure,
        DIFFERS,
        """
        client socket(AF_INET, SOCK_STREAM, 0) = 3
        client connect(3, server:80) = -1 ECONNREFUSED <0.0.0.0:5000 ->
        #1 client:5000 > server:80 S 1000
        +1ms #2 server:80 > client:5000 R. 0 ack 1
        """,
    ),
    Case("no failure", connect.connect_waits_for_the_failure, CANNOT, OPENED),
    Case("at once", AT_ONCE, HOLDS, REFUSED),
    Case("another errno", AT_ONCE, DIFFERS, REFUSED.replace("ECONNREFUSED", "ETIMEDOUT")),
    Case("much later", AT_ONCE, DIFFERS, REFUSED.replace("client c ...", "+2s client c ...")),
    Case(
        "tried again",
        AT_ONCE,
        DIFFERS,
        REFUSED.replace("client c ...", "#3 client:5000 > server:80 S 1000\nclient c ..."),
    ),
    Case("no RST", AT_ONCE, CANNOT, OPENED),
    Case("all three", RESETS, HOLDS, THREE_RESETS),
    Case(
        "no RST for the stranger",
        RESETS,
        DIFFERS,
        THREE_RESETS.replace("#8 server:80 > stranger:6000 R 1", ""),
    ),
    Case(
        "FIN instead of an abort",
        RESETS,
        DIFFERS,
        THREE_RESETS.replace("#6 client:5001 > server:80 R.", "#6 client:5001 > server:80 F."),
    ),
    Case(
        "the SYN ignored",
        RESETS,
        DIFFERS,
        THREE_RESETS.replace("#2 server:9 > client:5000 R.", "#2 server:9 > client:5000 ."),
    ),
    Case("no stranger", RESETS, CANNOT, THREE_RESETS.partition("#7")[0]),
    Case("no abort", RESETS, CANNOT, THREE_RESETS.replace("(1, 0)", "(1, 5)")),
    Case("told", STATE, HOLDS, states("0x07", "0x02", "0x01")),
    Case("the kernel too", STATE, HOLDS, states("0x07", "0x02", "0x01", TOLD.format("SYN-SENT"))),
    Case("the kernel not", STATE, DIFFERS, states("0x07", "0x02", "0x01", TOLD.format("LISTEN"))),
    Case("still closed", STATE, DIFFERS, states("0x07", "0x07", "0x01")),
    Case("never there", STATE, DIFFERS, states("0x07", "0x02", "0x02")),
    Case(
        "asked too late", STATE, CANNOT, states("", "0x02", "0x01").replace("TCP_INFO, )", "X, 0)")
    ),
    Case("nobody told", STATE, CANNOT, OPENED),
    Case("connected", USELESS, DIFFERS, again("0 <client:5000 server:80>", ACCEPTED)),
    Case("refused by its own kernel", USELESS, HOLDS, again("-1 ECONNABORTED <0.0.0.0:0 ->")),
    Case(
        "refused by the server",
        USELESS,
        CANNOT,
        again("-1 ECONNREFUSED <0.0.0.0:5000 ->", REFUSED_AGAIN),
    ),
    Case("not tried", USELESS, CANNOT, REFUSED),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)
