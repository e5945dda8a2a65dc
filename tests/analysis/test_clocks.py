"""The difference of two clocks, from handshakes made up for it."""

import pytest

from observatory.analysis.clocks import Offset, estimate, shift
from observatory.model import Call, Endpoint, Protocol, Segment

SERVER = Endpoint("10.0.0.1", 80)
SECOND = 1_000_000_000
TRIP = 20_000_000  # there and back


def connect(number: int, at: int, took: int = TRIP + 50_000) -> Call:
    address = {"address": str(SERVER)}
    return Call(number, "connect", 1, 1, 3, address, at, at + took, 0)


def handshake(port: int, at: int) -> list[Segment]:
    client = Endpoint("10.0.0.2", port)

    def segment(src: Endpoint, dst: Endpoint, flags: str, time_ns: int) -> Segment:
        return Segment(1, time_ns, 0, Protocol.TCP, src, dst, 0, flags, port)

    return [
        segment(client, SERVER, "S", at),
        segment(SERVER, client, "SA", at + TRIP),
        segment(client, SERVER, "A", at + TRIP),
    ]


def observed(offset: int, count: int = 3) -> tuple[list[Call], list[Segment]]:
    calls, segments = [], []
    for number in range(count):
        at = 1_700_000_000 * SECOND + 123 + number * SECOND
        calls.append(connect(number + 1, at))
        segments += handshake(40_000 + number, at + 20_000 + offset)
    return calls, segments


def test_one_clock_is_seen_as_one() -> None:
    found = estimate(*observed(0))
    assert found is not None
    assert found.same_clock
    assert found.handshakes == 3


@pytest.mark.parametrize("offset", [90 * SECOND, -3_600 * SECOND, 5_000_000])
def test_a_difference_is_found(offset: int) -> None:
    found = estimate(*observed(offset))
    assert found is not None
    assert not found.same_clock
    assert found.low_ns <= offset <= found.high_ns
    assert abs(found.middle_ns - offset) < 100_000


def test_syns_of_others_do_not_confuse_it() -> None:
    calls, segments = observed(90 * SECOND)
    segments += handshake(50_000, 1_700_000_000 * SECOND + 500_000_000)
    found = estimate(calls, segments)
    assert found is not None
    assert found.low_ns <= 90 * SECOND <= found.high_ns
    assert found.handshakes == 3


def test_a_server_log_is_bounded_by_accept_and_the_first_reply() -> None:
    _, segments = observed(0, count=1)
    syn = segments[0]
    acked = segments[2].time_ns
    data = Segment(4, acked + 400_000, 0, Protocol.TCP, SERVER, syn.src, 10, "PA")
    accept = Call(1, "accept4", 2, 2, 3, {}, acked - SECOND, acked + 60_000, 5, peer=syn.src)
    send = Call(2, "send", 2, 2, 5, {}, acked + 380_000, acked + 420_000, 10)
    late = shift([accept, send], -7 * SECOND)
    found = estimate(late, [*segments, data])
    assert found is not None
    assert found.low_ns <= 7 * SECOND <= found.high_ns


def test_without_handshakes_nothing_is_said() -> None:
    calls, segments = observed(0)
    assert estimate(calls, []) is None
    assert estimate([], segments) is None


def test_it_is_told_in_words() -> None:
    assert "90.000000 s behind the capture's" in str(Offset(90 * SECOND, 90 * SECOND, 2))
    assert "ahead of the capture's" in str(Offset(-SECOND, -SECOND, 2))


def test_cut_stamps_widen_the_bounds() -> None:
    calls = [connect(1, 1_700_000_000 * SECOND, 0)]
    found = estimate(calls, handshake(40_000, 1_700_000_000 * SECOND + 700_000_000))
    assert found is not None
    assert found.same_clock
