import errno
import gc
import http.client
import os
import socket
import struct
import threading
import warnings

import pytest

from observatory.model import Endpoint, UnixAddress
from observatory.sources import instrumented
from observatory.sources.instrumented import InstrumentedSocket


@pytest.fixture
def make(recorder):
    made = []

    def new(family=socket.AF_INET, kind=socket.SOCK_STREAM):
        made.append(InstrumentedSocket(family, kind, journal=recorder.journal))
        return made[-1]

    yield new
    for sock in made:
        sock.close()


@pytest.fixture
def listener(make):
    sock = make()
    sock.bind(("127.0.0.1", 0))
    sock.listen(5)
    return sock


@pytest.mark.parametrize(
    ("room", "args"),
    [
        (None, {"flags": "SOCK_CLOEXEC", "sockaddr": "NULL"}),
        (4, {"flags": "SOCK_CLOEXEC", "room": 4, "address_length": 16}),
        (100, {"flags": "SOCK_CLOEXEC", "room": 100, "address_length": 16}),
    ],
)
def test_room_for_an_address_is_the_callers_to_give(recorder, make, listener, room, args):
    client = make()
    client.connect(listener.getsockname())
    with listener.accept_with_room(room) as connection:
        assert connection.getpeername() == client.getsockname()
    call = recorder.last("accept4")
    assert call.args == args
    assert call.result == recorder.last("close").fd
    assert call.peer == recorder.last("connect").local


def test_an_exchange_journals_what_was_asked(recorder, make, listener):
    client = make()
    client.connect(listener.getsockname())
    connection, address = listener.accept()
    with connection:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
    assert client.recv(99) == b"hello"

    assert isinstance(connection, InstrumentedSocket)
    assert address == client.getsockname()
    assert recorder.names == [
        "socket",
        "bind",
        "listen",
        "socket",
        "getsockname",
        "connect",
        "accept4",
        "send",
        "shutdown",
        "close",
        "recv",
        "getsockname",
    ]


def test_names_are_learned_where_the_kernel_knows_them(recorder, make, listener):
    client = make()
    client.connect(listener.getsockname())
    connection, _ = listener.accept()
    connection.close()

    bound, listening = recorder.last("bind"), recorder.last("listen")
    connected, accepted = recorder.last("connect"), recorder.last("accept4")
    assert bound.args == {"address": "127.0.0.1:0"}
    assert bound.local == listening.local == connected.peer == accepted.local
    assert connected.local == accepted.peer
    assert accepted.args == {"flags": "SOCK_CLOEXEC"}
    assert accepted.result == recorder.last("close").fd


def test_a_refused_connect_still_tells_its_port(recorder, make, listener):
    port = listener.getsockname()[1]
    listener.close()
    client = make()

    assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
    call = recorder.last("connect")
    assert (call.result, call.errno) == (-1, "ECONNREFUSED")
    assert call.local.port
    assert call.peer is None
    with pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port))


def test_a_non_blocking_connect(recorder, make, listener):
    client = make()
    client.setblocking(False)

    assert client.connect_ex(listener.getsockname()) == errno.EINPROGRESS
    assert recorder.last("connect").local.port
    connection, _ = listener.accept()
    connection.close()
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert recorder.last("getsockopt").peer.port == listener.getsockname()[1]


def test_dissolving_an_association(recorder, make):
    sock = make(kind=socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 9))
    sock.dissolve()
    with pytest.raises(OSError):
        sock.getpeername()

    connected, dissolved = (call for call in recorder.calls if call.name == "connect")
    assert connected.peer == Endpoint("127.0.0.1", 9)
    assert dissolved.args == {"address": "AF_UNSPEC"}
    assert dissolved.peer is None
    assert recorder.last("getpeername").errno == "ENOTCONN"


def test_unix_sockets(recorder, make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a path may be 107 bytes long
    server, client = make(socket.AF_UNIX), make(socket.AF_UNIX)
    server.bind("here")
    server.listen()
    client.connect("here")
    connection, _ = server.accept()
    connection.close()

    assert recorder.last("connect").peer == UnixAddress("here")
    assert recorder.last("bind").args == {"address": "unix:here"}
    assert client.getpeername() == "here"
    with pytest.raises(FileNotFoundError):
        make(socket.AF_UNIX).connect("missing")


def test_options_by_name(recorder, make):
    sock = make()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)

    assert [tuple(call.args.values()) for call in recorder.calls[1:]] == [
        ("SOL_SOCKET", "SO_LINGER", (1, 0)),
        ("IPPROTO_TCP", "TCP_NODELAY", 1),
        ("IPPROTO_TCP", "TCP_NODELAY", 1),
        ("SOL_SOCKET", "SO_LINGER", (1, 0)),
    ]


@pytest.mark.parametrize(
    ("seconds", "blocking"), [(None, True), (0, False), (0.0, False), (2, True)]
)
def test_timeouts_read_back(make, seconds, blocking):
    sock = make()
    sock.settimeout(seconds)

    assert sock.gettimeout() == sock.timeout == seconds
    assert sock.getblocking() is blocking
    assert os.get_blocking(sock.fileno()) is (seconds is None)


def test_a_negative_timeout_is_refused(make):
    with pytest.raises(ValueError, match="out of range"):
        make().settimeout(-1)


def test_keeping_a_descriptor_over_exec_is_an_ioctl(recorder, make):
    sock = make()
    sock.set_inheritable(True)
    assert sock.get_inheritable()
    sock.set_inheritable(False)
    assert not sock.get_inheritable()

    asked = [call.args["request"] for call in recorder.calls if call.name == "ioctl"]
    assert asked == ["FIONCLEX", "FIOCLEX"]


def test_dup_shares_the_socket(recorder, make, listener):
    copy = listener.dup()
    with copy:
        assert isinstance(copy, InstrumentedSocket)
        assert copy.getsockname() == listener.getsockname()
        assert recorder.last("dup").result == copy.fileno()
        assert recorder.last("dup").fd == listener.fileno()


def test_detach_closes_nothing(recorder, make):
    fd = make().detach()
    assert recorder.names == ["socket", "detach"]
    os.close(fd)


def test_close_is_asked_once(recorder, make):
    sock = make()
    fd = sock.fileno()
    sock.close()
    sock.close()

    assert recorder.names == ["socket", "close"]
    assert recorder.last().fd == fd
    assert sock.fileno() == -1


def test_a_forgotten_socket_is_closed_in_sight_with_pythons_warning(recorder):
    def forget():
        InstrumentedSocket(journal=recorder.journal)

    with pytest.warns(ResourceWarning, match="unclosed"):
        forget()
        gc.collect()

    assert recorder.names == ["socket", "close"]


def test_an_open_file_on_the_socket_puts_the_close_off(recorder, make, listener):
    client = make()
    client.connect(listener.getsockname())
    connection, _ = listener.accept()
    with connection.makefile("rwb") as file:
        connection.close()
        assert "close" not in recorder.names
        file.write(b"line\n")
        file.flush()
        assert recorder.last().name == "send"
        client.sendall(b"answer\n")
        assert file.readline() == b"answer\n"
        assert recorder.last().name == "recv"
        assert recorder.last().site.file == "test_instrumented.py"

    assert recorder.last().name == "close"


def test_the_standard_library_runs_on_it(recorder, make, listener):
    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    thread = threading.Thread(target=serve)
    thread.start()
    request = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1])
    request.sock = make()
    request.sock.connect(listener.getsockname())
    request.request("GET", "/")
    assert request.getresponse().read() == b"hi"
    thread.join()
    request.close()

    assert {"connect", "send", "recv"} <= set(recorder.names)


def test_a_socketpair(recorder):
    first, second = instrumented.socketpair(journal=recorder.journal)
    with first, second:
        first.send(b"x")
        assert second.recv(1) == b"x"
        assert recorder.calls[0].args == {
            "family": "AF_UNIX",
            "type": "SOCK_STREAM|SOCK_CLOEXEC",
            "protocol": 0,
            "fds": (first.fileno(), second.fileno()),
        }


def test_a_socketpair_that_cannot_be(recorder):
    with pytest.raises(OSError, match="not supported"):
        instrumented.socketpair(socket.AF_INET, journal=recorder.journal)

    assert recorder.last().errno == "EOPNOTSUPP"


def test_its_repr_asks_nothing(recorder, make):
    sock = make()
    assert repr(sock) == f"<InstrumentedSocket fd={sock.fileno()} AF_INET SOCK_STREAM>"
    assert recorder.names == ["socket"]


def test_errors_before_the_kernel_is_asked_leave_no_call(recorder, make):
    sock = make()
    with pytest.raises(OverflowError):
        sock.bind(("127.0.0.1", 70000))
    with warnings.catch_warnings(), pytest.raises(TypeError):
        sock.connect(5)

    assert recorder.names == ["socket"]
