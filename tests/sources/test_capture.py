"""A capture from its first frame to its last, in a private namespace."""

import threading

import pytest

from observatory.errors import CaptureError
from observatory.sources.capture import Capture, Statistics


def test_every_frame_of_a_connection_is_there_when_stop_returns(loopback):
    with Capture(loopback.packet_socket()) as capture:
        loopback.do("tcp", size=100_000)
        capture.stop()
    payload = sum(max(0, len(frame.data) - 14 - 20 - 32) for frame in capture.frames)
    assert payload >= 100_000
    # FIN is the lowest bit of the TCP flags, at 14 + 20 + 13; both ends have sent one.
    assert sum(frame.data[47] & 1 for frame in capture.frames) == 2
    assert capture.statistics == Statistics(len(capture.frames), 0)


def test_leaving_the_block_stops(loopback):
    with Capture(loopback.packet_socket()) as capture:
        loopback.do("udp", count=3, size=1)
    assert len(capture.frames) == 3
    capture.stop()
    assert capture.statistics.captured == 3


def test_stop_waits_until_settled(loopback):
    seen = threading.Event()

    def settled():
        if not seen.is_set():
            loopback.do("udp", count=1, size=1)
            seen.set()
            return False
        return len(capture.frames) >= 1

    with Capture(loopback.packet_socket()) as capture:
        capture.stop(settled=settled)
    assert len(capture.frames) == 1


def test_what_never_settles_is_cut_off_at_the_limit(loopback):
    with Capture(loopback.packet_socket()) as capture:
        loopback.do("udp", count=2, size=1)
        capture.stop(settled=lambda: False, limit=0.1)
    assert len(capture.frames) == 2


def test_frames_are_in_time_order_and_carry_the_interface_number(loopback):
    with Capture(loopback.packet_socket(), index=3) as capture:
        loopback.do("tcp", size=10)
    times = [frame.time_ns for frame in capture.frames]
    assert times == sorted(times)
    assert {frame.interface for frame in capture.frames} == {3}


def test_the_sink_gets_every_frame_as_it_comes(loopback):
    kept = []
    with Capture(loopback.packet_socket(), sink=kept.extend) as capture:
        loopback.do("udp", count=30, size=1)
    assert sorted(kept, key=lambda frame: frame.time_ns) == list(capture.frames)


def test_a_failing_sink_is_reported_and_loses_nothing(loopback):
    def refuse(_frames):
        raise CaptureError("disk full")

    capture = Capture(loopback.packet_socket(), sink=refuse)
    capture.start()
    loopback.do("udp", count=3, size=1)
    with pytest.raises(CaptureError, match="disk full"):
        capture.stop()
    assert len(capture.frames) == 3


def test_interface_and_method_go_into_the_run_file(loopback):
    with Capture(loopback.packet_socket()) as capture:
        loopback.do("udp", count=1, size=1)
    interface = capture.interface
    assert (interface.name, interface.linktype) == ("lo", 1)
    assert (interface.captured, interface.dropped) == (1, 0)
    assert capture.method.startswith("scapy over ")


def test_counts_are_refused_while_capturing(loopback):
    with Capture(loopback.packet_socket()) as capture, pytest.raises(CaptureError, match="stopped"):
        _ = capture.statistics


def test_losses_are_counted(loopback):
    capture = Capture(loopback.packet_socket(), ring_bytes=2 << 20, sink=lambda _: gate.wait(10))
    gate = threading.Event()
    capture.start()
    loopback.do("udp", count=300, size=60000)
    gate.set()
    capture.stop()
    captured, dropped = capture.statistics.captured, capture.statistics.dropped
    assert dropped > 0
    assert captured + dropped == 300


def test_an_error_in_the_block_closes_everything(loopback):
    with pytest.raises(ZeroDivisionError), Capture(loopback.packet_socket()) as capture:
        _ = 1 / 0
    assert capture.frames == ()


def test_an_interface_that_is_down_is_refused_at_start(loopback):
    loopback.do("link", up=False)
    capture = Capture(loopback.packet_socket())
    with pytest.raises(CaptureError, match="ip link set lo up"):
        capture.start()
