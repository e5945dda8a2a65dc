import pytest

from observatory.claims import predicates_accept as accept
from tests.claims.held import CANNOT, DIFFERS, HOLDS, Case, check

SERVER = """
    server socket(AF_INET, SOCK_STREAM, 0) = 3
    server bind(3, server:80) = 0 <server:80 ->
    server listen(3, 8) = 0 <server:80 ->
    """


def client(port: int) -> str:
    return f"""
    client socket(AF_INET, SOCK_STREAM, 0) = {port - 5000 + 3}
    client c{port} connect({port - 5000 + 3}, server:80) ...
    client:{port} > server:80 S 1000
    server:80 > client:{port} S. 5000 ack 1
    client:{port} > server:80 . ack 1
    client c{port} ... = 0 <client:{port} server:80>
    """


def accepted(port: int, fd: int, label: str = "") -> str:
    return f"server {label} accept4(3, SOCK_CLOEXEC) = {fd} <server:80 client:{port}>\n"


TWO = SERVER + client(5000) + client(5001)
BOTH = TWO + accepted(5000, 4, "a") + accepted(5001, 5, "b")
NULL = {"sockaddr": "NULL"}


def rooms(*told: tuple[int, int]) -> dict[str, dict[str, object]]:
    args = [{"room": room, "address_length": length} for room, length in told]
    return {"a": args[0], "b": args[1], "n": NULL}


THREE = BOTH + client(5002) + accepted(5002, 6, "n")
VALUE_RESULT = accept.address_is_value_result

CASES = [
    Case("in order", accept.first_in_first_out, HOLDS, BOTH),
    Case(
        "the last one first",
        accept.first_in_first_out,
        DIFFERS,
        TWO + accepted(5001, 4) + accepted(5000, 5),
    ),
    Case("no queue", accept.first_in_first_out, CANNOT, SERVER + client(5000) + accepted(5000, 4)),
    Case(
        "slept",
        accept.accept_sleeps_until_there_is_one,
        HOLDS,
        SERVER
        + "server a accept4(3, SOCK_CLOEXEC) ..."
        + client(5000)
        + "server a ... = 4 <server:80 client:5000>",
    ),
    Case(
        "returned before the ACK",
        accept.accept_sleeps_until_there_is_one,
        DIFFERS,
        SERVER + "server a accept4(3, SOCK_CLOEXEC) = 4 <server:80 client:5000>" + client(5000),
    ),
    Case("one was there", accept.accept_sleeps_until_there_is_one, CANNOT, BOTH),
    Case("numbers of their own", accept.listener_lives_on, HOLDS, BOTH),
    Case(
        "the listener's number",
        accept.listener_lives_on,
        DIFFERS,
        TWO + accepted(5000, 3) + accepted(5001, 5),
    ),
    Case("only one", accept.listener_lives_on, CANNOT, SERVER + client(5000) + accepted(5000, 4)),
    Case("true length", VALUE_RESULT, HOLDS, THREE, rooms((128, 16), (4, 16))),
    Case("as it went in", VALUE_RESULT, DIFFERS, THREE, rooms((128, 128), (4, 4))),
    Case("cut", VALUE_RESULT, DIFFERS, THREE, rooms((128, 16), (4, 4))),
    Case(
        "null pointers refused",
        VALUE_RESULT,
        DIFFERS,
        BOTH + "server n accept4(3, SOCK_CLOEXEC) = -1 EFAULT",
        rooms((128, 16), (4, 16)),
    ),
    Case("one length", VALUE_RESULT, CANNOT, THREE, rooms((128, 16), (128, 16))),
    Case("as ever", VALUE_RESULT, CANNOT, THREE),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_predicate_can_come_out_either_way(case: Case) -> None:
    check(case)
