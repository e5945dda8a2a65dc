"""What is asked of the kernel about a socket, and that asking changes nothing."""

import os
import resource
import socket
import struct
import time
from contextlib import closing

import pytest

from observatory.codec.tcp_info import named
from observatory.sources import inquiry
from observatory.sources.inquiry import about, about_open, about_sending
from observatory.sources.instrumented import InstrumentedSocket


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        yield listener


@pytest.fixture
def connected(listener):
    """A journal-less pair: client and server socket of one connection."""
    with socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield client, server


def until(condition):
    for _ in range(100_000):
        if condition():
            return
    raise AssertionError("waited in vain")


def test_what_was_not_read_is_told(connected):
    client, server = connected
    client.send(b"0123456789")
    server.recv(3)

    found = named(about(server))

    assert (found["state"], found["unread"]) == ("ESTABLISHED", 7)
    assert found["rto_us"] >= 200_000
    assert found["cwnd"] >= 2


def test_a_listener_tells_its_queue(listener):
    with closing(socket.create_connection(listener.getsockname())):
        began = time.time_ns()
        found = named(about(listener))
        assert began <= found.pop("at_ns") <= time.time_ns()
        assert found == {"state": "LISTEN", "queue": 1, "queue_limit": 1}


def test_a_full_send_buffer_is_told(listener):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        client.connect(listener.getsockname())
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                client.send(bytes(50_000))

        found = named(about_sending(client))

    assert found["send_memory"] >= found["send_buffer"] >= 20_000
    assert found["unacked"] > 0


def test_a_pending_error_is_left_to_the_program(listener):
    with socket.socket() as client:
        client.setblocking(False)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            client.connect_ex(nobody.getsockname())
            until(lambda: named(about(client))["state"] == "CLOSED")
            about_sending(client)

        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def test_a_reset_is_left_to_the_program(connected):
    client, server = connected
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    until(lambda: named(about(client))["state"] == "CLOSED")

    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_unix_sockets_and_datagrams_tell_what_waits():
    one, other = socket.socketpair()
    with one, other:
        one.send(b"abc")
        assert about(other) == {"unread": 3}
        assert about(one) == {"unread": 0}
    with (
        socket.socket(type=socket.SOCK_DGRAM) as receiver,
        socket.socket(type=socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        assert about(receiver) is None
        sender.sendto(b"abcd", receiver.getsockname())
        sender.sendto(b"ab", receiver.getsockname())
        assert about(receiver) == {"next_datagram": 4}


def test_what_is_no_socket_any_more_has_no_answer(connected):
    client, _ = connected
    client.close()
    assert about(client) is None
    assert about_sending(client) is None


def test_a_kernel_that_tells_less_is_not_believed_by_halves(connected, monkeypatch):
    monkeypatch.setattr(inquiry, "_getsockopt", lambda *_: bytes(104))
    assert about(connected[0]) is None


def test_before_its_end_a_process_asks_all_its_internet_sockets(connected):
    client, server = connected
    client.send(b"xyz")
    one, other = socket.socketpair()
    with one, other:
        found = about_open(1 << 20)["sockets"]
        assert named(found[str(server.fileno())])["unread"] == 3
        assert str(one.fileno()) not in found
        assert str(server.fileno()) not in about_open(server.fileno()).get("sockets", {})


def test_a_process_without_a_free_descriptor_asks_them_too(connected):
    _, server = connected
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        found = about_open(900)["sockets"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert str(server.fileno()) in found


# In the journal.


@pytest.fixture
def ours(recorder):
    sockets = []

    def make(*arguments, **options):
        sockets.append(InstrumentedSocket(*arguments, **options, journal=recorder.journal))
        return sockets[-1]

    yield make
    for sock in sockets:
        sock.close()


def test_close_is_asked_beforehand_what_it_will_throw_away(recorder, ours, listener):
    client = ours()
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    with server:
        server.send(b"unread")
        until(lambda: named(about(client))["unread"])
        client.close()

    connect, close = recorder.last("connect"), recorder.last("close")
    assert connect.asked["after"]["state"] == "ESTABLISHED"
    assert list(connect.asked) == ["after"]
    assert close.asked["before"]["unread"] == 6
    assert list(close.asked) == ["before"]


def test_shutdown_and_accept_are_asked_beforehand(recorder, ours):
    listening = ours()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1)
    with socket.create_connection(listening.getsockname()):
        served, _ = listening.accept()
        served.shutdown(socket.SHUT_WR)
        served.close()
    listening.close()

    accept = recorder.last("accept4")
    found = dict(accept.asked["before"])
    assert found.pop("at_ns") <= accept.entered_ns
    assert found == {"state": "LISTEN", "queue": 1, "queue_limit": 1}
    assert recorder.last("shutdown").asked["before"]["state"] == "ESTABLISHED"
    assert recorder.last("close").asked["before"]["queue"] == 0


def test_what_failed_is_asked_afterwards(recorder, ours, listener):
    client = ours()
    client.connect(listener.getsockname())
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    with pytest.raises(BlockingIOError):
        while True:
            client.send(bytes(1 << 20))

    assert recorder.last("recv").asked["after"]["unread"] == 0
    send = recorder.last("send").asked["after"]
    assert send["send_memory"] >= send["send_buffer"]
    assert send["unacked"] > 0


def test_what_succeeds_at_once_is_not_asked(recorder, ours, listener):
    client = ours()
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    with server:
        client.send(b"x")
        server.send(b"y")
        client.recv(1)

    assert recorder.last("send").asked == recorder.last("recv").asked == {}
    assert recorder.last("socket").asked == {}


def test_a_descriptor_that_names_nothing_is_not_asked(recorder, ours, listener):
    first = ours()
    os.close(first.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        first.listen(1)
    assert recorder.last("listen").asked == {}
    first.detach()
