import array
import io
import os
import socket

import pytest

from observatory.sources.instrumented import InstrumentedSocket


@pytest.fixture
def pair(recorder):
    """A journaled TCP socket and the plain one that it is connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = socket.create_connection(listener.getsockname())
        second, _ = listener.accept()
    with InstrumentedSocket(fileno=first.detach(), journal=recorder.journal) as ours, second:
        yield ours, second


@pytest.fixture
def datagram(recorder):
    with InstrumentedSocket(socket.AF_INET, socket.SOCK_DGRAM, journal=recorder.journal) as sock:
        yield sock


@pytest.mark.parametrize("data", [b"hello", bytearray(b"hello"), memoryview(b"hello")])
def test_send(recorder, pair, data):
    ours, theirs = pair

    assert ours.send(data, socket.MSG_DONTWAIT) == 5
    assert theirs.recv(9) == b"hello"
    call = recorder.last("send")
    assert (call.args, call.result) == ({"length": 5, "flags": "MSG_DONTWAIT"}, 5)


def test_length_is_in_bytes_whatever_the_buffers_items(recorder, pair):
    ours, theirs = pair

    assert ours.send(array.array("i", [1, 2])) == 8
    assert len(theirs.recv(99)) == 8


def test_sendall_is_as_many_sends_as_it_takes(recorder, pair):
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.settimeout(5)
    data = os.urandom(300_000)
    ours.settimeout(30)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            got = bytearray()
            while len(got) < len(data):
                got += theirs.recv(1 << 16)
            status = int(got != data)
        finally:
            os._exit(status)
    ours.sendall(data)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    sends = [call for call in recorder.calls if call.name == "send"]
    assert len(sends) > 1
    assert sum(call.result for call in sends if call.succeeded) == len(data)


def test_sendall_of_nothing_asks_once(recorder, pair):
    pair[0].sendall(b"")

    assert recorder.names == ["send"]


def test_sending_to_a_peer_that_is_gone(recorder, pair):
    ours, theirs = pair
    theirs.close()
    ours.send(b"first")
    with pytest.raises(OSError):
        for _ in range(100):
            ours.send(b"again")

    assert recorder.last("send").errno in ("EPIPE", "ECONNRESET")


def test_sendto_learns_the_ephemeral_port_once(recorder, datagram):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        to = receiver.getsockname()
        assert datagram.sendto(b"abc", to) == 3
        assert datagram.sendto(b"de", 0, to) == 2
        assert receiver.recvfrom(9)[1][1] == datagram.getsockname()[1]

    first, second = (call for call in recorder.calls if call.name == "sendto")
    assert first.args == {"length": 3, "flags": "0", "address": f"127.0.0.1:{to[1]}"}
    assert first.local.port
    assert second.local is None


def test_sendmsg(recorder, datagram):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        assert datagram.sendmsg([b"ab", b"cd"], [], 0, receiver.getsockname()) == 4
        datagram.connect(receiver.getsockname())
        assert datagram.sendmsg([b"e"]) == 1
        assert [receiver.recv(9), receiver.recv(9)] == [b"abcd", b"e"]

    first, second = (call for call in recorder.calls if call.name == "sendmsg")
    assert first.args["length"] == 4
    assert first.args["address"].startswith("127.0.0.1:")
    assert first.local.port
    assert second.args == {"length": 1, "flags": "0", "address": None}


def test_sendmsg_that_fails(recorder, datagram):
    with pytest.raises(OSError):
        datagram.sendmsg([b"nowhere"])

    assert recorder.last().errno == "EDESTADDRREQ"


def test_write_and_read(recorder, pair):
    ours, theirs = pair
    assert ours.write(b"abc") == 3
    theirs.send(theirs.recv(9))
    assert ours.read(9) == b"abc"

    assert [(call.name, call.args, call.result) for call in recorder.calls] == [
        ("write", {"length": 3}, 3),
        ("read", {"length": 9}, 3),
    ]


@pytest.mark.parametrize(("offset", "count", "expected"), [(0, None, 9), (4, None, 5), (2, 3, 3)])
def test_sendfile(recorder, pair, tmp_path, offset, count, expected):
    ours, theirs = pair
    (tmp_path / "file").write_bytes(b"012345678")
    with (tmp_path / "file").open("rb") as file:
        assert ours.sendfile(file, offset, count) == expected
        assert file.tell() == offset + expected
    assert theirs.recv(99) == b"012345678"[offset : offset + expected]

    call = recorder.last("sendfile")
    assert (call.args["offset"], call.args["length"]) == (offset, expected)
    assert call.result == expected


def test_sendfile_of_what_is_no_file_is_sends(recorder, pair):
    ours, theirs = pair
    assert ours.sendfile(io.BytesIO(b"abc")) == 3
    assert theirs.recv(9) == b"abc"

    assert recorder.names == ["send"]


def test_recv_to_the_end(recorder, pair):
    ours, theirs = pair
    theirs.send(b"abc")
    theirs.close()

    assert ours.recv(2, socket.MSG_PEEK) == b"ab"
    assert ours.recv(99) == b"abc"
    assert ours.recv(99) == b""
    peeked, received, ended = recorder.calls
    assert (peeked.args, peeked.result) == ({"length": 2, "flags": "MSG_PEEK"}, 2)
    assert (received.result, ended.result, ended.errno) == (3, 0, None)


def test_recv_into(recorder, pair):
    ours, theirs = pair
    theirs.send(b"abcdef")
    room = bytearray(4)

    assert ours.recv_into(room) == 4
    assert bytes(room) == b"abcd"
    assert ours.recv_into(memoryview(room)[1:], 1) == 1
    assert bytes(room) == b"aecd"
    assert [call.args["length"] for call in recorder.calls] == [4, 1]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_recvfrom_tells_the_sender(recorder, family):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with (
        InstrumentedSocket(family, socket.SOCK_DGRAM, journal=recorder.journal) as ours,
        socket.socket(family, socket.SOCK_DGRAM) as theirs,
    ):
        try:
            ours.bind((host, 0))
        except OSError:
            pytest.skip("no IPv6 here")
        theirs.bind((host, 0))
        theirs.sendto(b"abc", ours.getsockname())
        theirs.sendto(b"", ours.getsockname())

        assert ours.recvfrom(9) == (b"abc", theirs.getsockname())
        assert ours.recvfrom_into(bytearray(3))[0] == 0
        port = theirs.getsockname()[1]
    shown = f"127.0.0.1:{port}" if family == socket.AF_INET else f"[::1]:{port}"
    assert recorder.last("recvfrom").args == {"length": 3, "flags": "0", "address": shown}


def test_recvfrom_on_a_connection_has_no_address(recorder, pair):
    ours, theirs = pair
    theirs.send(b"abc")

    assert ours.recvfrom(9)[0] == b"abc"
    assert recorder.last().args["address"] is None


def test_recvmsg(recorder, pair):
    ours, theirs = pair
    theirs.send(b"abcdef")
    room = bytearray(2)

    assert ours.recvmsg_into([room])[0] == 2
    data, control, _flags, _address = ours.recvmsg(9)
    assert (bytes(room), data, control) == (b"ab", b"cdef", [])
    assert [(call.name, call.result) for call in recorder.calls] == [("recvmsg", 2), ("recvmsg", 4)]


def test_calls_on_a_closed_socket_are_asked_and_refused(recorder, pair):
    ours, _ = pair
    ours.close()
    for use in (lambda: ours.send(b"x"), lambda: ours.recv(1), lambda: ours.sendmsg([b"x"])):
        with pytest.raises(OSError, match="Bad file descriptor"):
            use()

    assert [call.errno for call in recorder.calls[1:]] == ["EBADF"] * 3
