"""Several captures begun and ended as one, in a private namespace."""

import pytest

from observatory.errors import CaptureError
from observatory.model import Interface
from observatory.sources import captures as module
from observatory.sources.captures import Captures, Place
from observatory.sources.ring import LARGEST_FRAME


def places(loopback, count=2):
    return [Place(loopback.packet_socket(), f"host{n}:lo", f"host{n}") for n in range(count)]


def test_each_interface_has_its_number_its_name_and_its_count(loopback):
    with Captures(places(loopback)) as captures:
        assert captures.planned[1] == Interface("host1:lo", 1, LARGEST_FRAME, host="host1")
        loopback.do("udp", count=3, size=1)
        captures.stop()

    assert [frame.interface for frame in captures.frames].count(0) == 3
    assert [frame.interface for frame in captures.frames].count(1) == 3
    first, second = captures.interfaces
    assert (first.name, first.host, first.captured, first.dropped) == ("host0:lo", "host0", 3, 0)
    assert (second.name, second.captured) == ("host1:lo", 3)


def test_frames_of_all_are_in_one_order_of_time(loopback):
    with Captures(places(loopback, 3)) as captures:
        loopback.do("tcp", size=5000)
        captures.stop()
    times = [frame.time_ns for frame in captures.frames]
    assert times == sorted(times)
    assert {frame.interface for frame in captures.frames} == {0, 1, 2}


def test_they_wait_together(loopback):
    """For what one sees all wait, once."""
    answers = iter([False, False, True])
    with Captures(places(loopback)) as captures:
        loopback.do("udp", count=1, size=1)
        captures.stop(settled=lambda: next(answers))
    assert len(captures.frames) == 2


def test_they_are_halted_before_any_is_read_to_its_end(loopback, monkeypatch):
    order = []
    for name in ("halt", "finish"):
        done = getattr(module.Capture, name)

        def noting(capture, name=name, done=done):
            order.append(name)
            done(capture)

        monkeypatch.setattr(module.Capture, name, noting)
    with Captures(places(loopback)) as captures:
        captures.stop()
    assert order[:3] == ["halt", "halt", "finish"]


def test_the_ring_is_shared_out(loopback):
    with Captures(places(loopback, 4)) as captures:
        assert captures.method.endswith(("16 MiB", "KiB"))
        captures.stop()


def test_an_interface_that_is_down_is_a_failure_unless_it_may_be(loopback):
    loopback.do("link", up=False)
    with pytest.raises(CaptureError, match="is down"), Captures(places(loopback)):
        pass
    with Captures(places(loopback), may_be_down=True) as captures:
        loopback.do("link", up=True)
        loopback.do("udp", count=2, size=1)
        captures.stop()
    assert len(captures.frames) == 4


def test_what_fails_in_one_is_raised_by_all(loopback):
    with Captures(places(loopback)) as captures:
        captures._captures[1].failure = CaptureError("the cable burns")
        with pytest.raises(CaptureError, match="the cable burns"):
            captures.stop()


def test_an_exception_in_the_block_ends_them(loopback):
    with pytest.raises(ZeroDivisionError), Captures(places(loopback)) as captures:
        1 / 0  # noqa: B018
    assert [interface.dropped for interface in captures.interfaces] == [0, 0]
