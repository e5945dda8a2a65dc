"""What Python asks of the kernel out of sight is in the journal."""

import errno
import os
import signal
import socket
import time

import pytest

from observatory.sources.instrumented import InstrumentedSocket


@pytest.fixture
def alarm():
    before = signal.getsignal(signal.SIGALRM)

    def after(seconds, handler=lambda *_: None):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield after
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pair(recorder):
    """A journaled socket and a plain one, connected."""
    first, second = socket.socketpair()
    with InstrumentedSocket(fileno=first.detach(), journal=recorder.journal) as ours, second:
        yield ours, second


@pytest.fixture
def full_listener():
    """The address of a listener whose accept queue is full: a connect to it stays unanswered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address):
            yield address


def steps(recorder):
    return [(call.name, call.errno) for call in recorder.calls]


def test_a_timeout_polls_before_the_call(recorder, pair):
    ours, theirs = pair
    ours.settimeout(5)
    theirs.send(b"x")
    ours.recv(10)

    assert steps(recorder) == [("ioctl", None), ("poll", None), ("recv", None)]
    assert recorder.calls[0].args == {"request": "FIONBIO", "value": 1}


def test_a_timeout_that_passes_is_a_poll_that_found_nothing(recorder, pair):
    ours, _ = pair
    ours.settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        ours.recv(10)

    assert steps(recorder) == [("ioctl", None), ("poll", None)]
    assert recorder.last().result == 0


def test_a_non_blocking_socket_does_not_poll(recorder, pair):
    ours, _ = pair
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(10)

    assert steps(recorder) == [("ioctl", None), ("recv", "EAGAIN")]


def test_an_interrupted_call_is_made_again_in_sight(recorder, pair, alarm):
    ours, theirs = pair
    alarm(0.02, lambda *_: theirs.send(b"woken"))

    assert ours.recv(10) == b"woken"
    assert steps(recorder) == [("recv", "EINTR"), ("recv", None)]


def test_an_interruptible_socket_lets_eintr_through(recorder, pair, alarm):
    ours, _ = pair
    ours.interruptible = True
    alarm(0.02)

    with pytest.raises(InterruptedError):
        ours.recv(10)
    assert steps(recorder) == [("recv", "EINTR")]


def test_a_handler_that_raises_ends_the_call(recorder, pair, alarm):
    ours, _ = pair

    def give_up(*_):
        raise KeyboardInterrupt

    alarm(0.02, give_up)
    with pytest.raises(KeyboardInterrupt):
        ours.recv(10)
    assert steps(recorder) == [("recv", "EINTR")]


def test_an_interrupted_connect_goes_on_as_python_would(recorder, full_listener, alarm):
    with InstrumentedSocket(journal=recorder.journal) as sock:
        alarm(0.02, lambda *_: alarm(0.02, lambda *_: sock.shutdown(socket.SHUT_RDWR)))
        sock.connect_ex(full_listener)

    connect, poll = recorder.calls[1:3]
    assert (connect.name, connect.errno) == ("connect", "EINTR")
    assert (poll.name, poll.errno) == ("poll", "EINTR")
    assert ("getsockopt", None) in steps(recorder)


def test_an_interruptible_connect_says_eintr_and_the_kernel_goes_on(recorder, full_listener, alarm):
    with InstrumentedSocket(journal=recorder.journal) as sock:
        sock.interruptible = True
        alarm(0.02)
        assert sock.connect_ex(full_listener) == errno.EINTR
        sock.setblocking(False)
        assert sock.connect_ex(full_listener) == errno.EALREADY

    interrupted = recorder.calls[1]
    assert (interrupted.name, interrupted.errno) == ("connect", "EINTR")
    assert interrupted.local.port


def test_a_connect_with_a_timeout_is_connect_poll_so_error(recorder):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        InstrumentedSocket(journal=recorder.journal) as sock,
    ):
        sock.settimeout(5)
        sock.connect(listener.getsockname())

        asked = recorder.last("getsockopt")
        assert steps(recorder)[2:] == [
            ("connect", "EINPROGRESS"),
            ("poll", None),
            ("getsockopt", None),
        ]
        assert asked.args == {"level": "SOL_SOCKET", "option": "SO_ERROR", "value": 0}
        assert asked.peer.port == listener.getsockname()[1]


def test_a_connect_whose_timeout_passes(recorder, full_listener):
    with InstrumentedSocket(journal=recorder.journal) as sock:
        sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            sock.connect(full_listener)
    with InstrumentedSocket(journal=recorder.journal) as sock:
        sock.settimeout(0.02)
        assert sock.connect_ex(full_listener) == errno.EWOULDBLOCK


def test_the_default_timeout_is_set_in_sight(recorder):
    socket.setdefaulttimeout(3)
    try:
        with InstrumentedSocket(journal=recorder.journal) as sock:
            assert sock.gettimeout() == 3
    finally:
        socket.setdefaulttimeout(None)

    assert steps(recorder)[:2] == [("socket", None), ("ioctl", None)]


def test_accept_makes_the_new_socket_blocking_as_python_does(recorder):
    with InstrumentedSocket(journal=recorder.journal) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(5)
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.gettimeout() is None
                assert recorder.last().fd == connection.fileno()

    assert ("poll", None) in steps(recorder)
    blocking = [call.args["value"] for call in recorder.calls if call.name == "ioctl"]
    assert blocking == [1, 0]


def test_a_socket_made_non_blocking_at_once(recorder):
    kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    with InstrumentedSocket(socket.AF_INET, kind, journal=recorder.journal) as sock:
        assert sock.gettimeout() == 0
        assert sock.type == socket.SOCK_STREAM
        assert not os.get_blocking(sock.fileno())

    assert recorder.calls[0].args["type"] == "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC"


def test_a_timeout_covers_all_of_sendall(recorder, pair):
    ours, _ = pair
    ours.settimeout(0.05)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ours.sendall(bytes(50_000_000))

    assert time.monotonic() - began < 5
    assert steps(recorder)[1] == ("poll", None)


def test_an_impossible_socket_is_journaled_with_its_errno(recorder):
    with pytest.raises(OSError, match="not supported"):
        InstrumentedSocket(socket.AF_INET, socket.SOCK_STREAM, 17, journal=recorder.journal)

    call = recorder.last()
    assert (call.name, call.fd, call.result, call.errno) == ("socket", None, -1, "EPROTONOSUPPORT")
