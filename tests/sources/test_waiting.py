import os
import select
import signal
import socket

import pytest

from observatory.sources import waiting


@pytest.fixture
def pair():
    first, second = socket.socketpair()
    with first, second:
        yield first, second


@pytest.fixture
def alarm():
    """Raises SIGALRM after some seconds; what is given handles it."""
    before = signal.getsignal(signal.SIGALRM)

    def after(seconds, handler=lambda *_: None):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield after
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_poll_tells_what_is_ready(recorder, pair):
    first, second = pair
    second.send(b"x")

    ready = waiting.poll(recorder.journal, [(first.fileno(), select.POLLIN)], 1.0, False)

    assert ready == [(first.fileno(), select.POLLIN)]
    call = recorder.last("poll")
    assert call.args == {
        "fds": ((first.fileno(), "POLLIN"),),
        "timeout_ms": 1000,
        "ready": ((first.fileno(), "POLLIN"),),
    }
    assert (call.result, call.fd) == (1, None)


def test_poll_that_times_out_returns_nothing(recorder, pair):
    ready = waiting.poll(recorder.journal, [(pair[0].fileno(), select.POLLIN)], 0.0, False)

    assert ready == []
    assert (recorder.last().result, recorder.last().args["ready"]) == (0, ())


def test_an_interrupted_poll_is_made_again_in_sight(recorder, pair, alarm):
    alarm(0.02)

    waiting.poll(recorder.journal, [(pair[0].fileno(), select.POLLIN)], 0.05, False)

    first, *_, last = recorder.calls
    assert (first.result, first.errno) == (-1, "EINTR")
    assert last.result == 0
    assert last.args["timeout_ms"] < first.args["timeout_ms"]


def test_an_interruptible_poll_says_so(recorder, pair, alarm):
    alarm(0.02)

    with pytest.raises(InterruptedError):
        waiting.poll(recorder.journal, [(pair[0].fileno(), select.POLLIN)], None, True)

    assert recorder.names == ["poll"]


def test_a_handler_that_raises_ends_the_call_and_it_is_journaled(recorder, pair, alarm):
    def give_up(*_):
        raise KeyboardInterrupt

    alarm(0.02, give_up)

    with pytest.raises(KeyboardInterrupt):
        waiting.poll(recorder.journal, [(pair[0].fileno(), select.POLLIN)], None, False)

    assert (recorder.last().errno, recorder.names) == ("EINTR", ["poll"])


def test_the_poll_object_is_a_drop_in(recorder, pair):
    first, second = pair
    poll = waiting.Poll(recorder.journal)
    poll.register(first, select.POLLIN)
    poll.register(second.fileno())
    poll.modify(second, select.POLLOUT)

    assert poll.poll(100) == [(second.fileno(), select.POLLOUT)]
    poll.unregister(second)
    assert poll.poll(0) == []
    with pytest.raises(FileNotFoundError):
        poll.modify(second, 0)
    with pytest.raises(KeyError):
        poll.unregister(second)


def test_select_returns_what_it_was_given(recorder, pair):
    first, second = pair
    second.send(b"x")

    assert waiting.select(recorder.journal, [first], [second.fileno()], [], 1.0) == (
        [first],
        [second.fileno()],
        [],
    )
    assert recorder.last("select").args == {
        "read": (first.fileno(),),
        "write": (second.fileno(),),
        "except": (),
        "timeout_ms": 1000,
        "ready_read": (first.fileno(),),
        "ready_write": (second.fileno(),),
        "ready_except": (),
    }


def test_select_that_times_out(recorder, pair):
    assert waiting.select(recorder.journal, [pair[0]], [], [], 0) == ([], [], [])
    assert recorder.last().result == 0


def test_select_on_what_is_no_descriptor_fails_as_the_kernel_says(recorder):
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)

    with pytest.raises(OSError, match="Bad file descriptor"):
        waiting.select(recorder.journal, [closed], [], [], 0)

    assert recorder.last().errno == "EBADF"


def test_select_refuses_descriptors_beyond_its_set(recorder):
    with pytest.raises(ValueError, match="out of range"):
        waiting.select(recorder.journal, [1024], [], [])
