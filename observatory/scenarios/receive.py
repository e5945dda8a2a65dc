"""Receiving without taking, without waiting, and before the handshake is over (UNP 13.7, 14)."""

from __future__ import annotations

import struct
from contextlib import suppress
from select import POLLIN
from socket import (
    IPPROTO_TCP,
    MSG_FASTOPEN,
    MSG_PEEK,
    SO_LINGER,
    SO_RCVTIMEO,
    SOL_SOCKET,
    TCP_FASTOPEN,
)
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage


@behaviour(
    "read-eof",
    section="4.9",
    title="End of file: recv() returns 0, again and again",
    summary="The FIN comes after the data and is read after them; then every recv() returns 0 at "
    "once.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "client"), sent("FIN", "close", "client")),
        absent=("RST",),
    ),
)
def read_eof(stage: Stage) -> None:
    """0 is not an error and not "no data yet" (that would be EAGAIN): it says that the peer will
    send nothing more, because its FIN has come (recv(2)). The FIN takes a number in the sequence
    space (RFC 9293 3.4), so it cannot overtake data. It is not used up by being read.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        actor.ask("closed")
        for _ in range(3):
            connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"and that is all")
        sock.close()
        actor.tell("closed")

    stage.play(client=client, server=server)


@behaviour(
    "read-after-reset",
    section="4.9",
    title="A reset is reported once",
    summary="The first recv() after the RST fails with ECONNRESET, the second returns 0, and "
    "send() fails with EPIPE.",
    expects=Expectations(
        calls={
            "client": "connect ok, setsockopt ok, close ok",
            "server": "accept4 ok, recv ECONNRESET, recv ok, send EPIPE, close ok",
        },
        causes=(sent("RST", "close", "client"),),
        absent=("FIN",),
    ),
)
def read_after_reset(stage: Stage) -> None:
    """An arriving RST sets the socket's pending error and ends the connection; data not yet read
    are lost (RFC 9293 3.10.7.4). The next call takes the error away with it, as getsockopt
    SO_ERROR would (UNP 7.5). What is left is a socket that is shut in both directions: an end of
    file for the reader, a broken pipe for the writer.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        actor.ask("reset")
        with suppress(ConnectionResetError):
            connection.recv(100)
        connection.recv(100)
        with suppress(BrokenPipeError):
            connection.send(b"hello?")
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        actor.tell("reset")

    stage.play(client=client, server=server)


@behaviour(
    "recv-peek",
    section="14.7",
    title="MSG_PEEK looks at data without taking them",
    summary="recv(MSG_PEEK) returns the bytes and leaves them: the next recv() returns them again.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "client"),),
        absent=("RST",),
    ),
)
def recv_peek(stage: Stage) -> None:
    """UNP 14.7: to know what, or how much, is there before deciding how to read it. The data stay
    in the receive buffer, so no room is made and no window update is sent.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(4, MSG_PEEK)
        connection.recv(100, MSG_PEEK)
        while connection.recv(100):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"PUT /index.html")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "recv-timeout",
    section="14.2",
    title="Two ways to give recv() a timeout",
    summary="SO_RCVTIMEO makes recv() itself fail with EAGAIN; a settimeout() of Python's is a "
    "poll() before it. Nothing is sent in either case.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, close ok",
            "server": "accept4 ok, setsockopt ok, recv EAGAIN, ioctl ok, poll ok, poll ok, "
            "recv ok, close ok",
        },
        causes=(sent("data", "send", "client"),),
        absent=("RST",),
    ),
)
def recv_timeout(stage: Stage) -> None:
    """UNP 14.2 knows three ways; two are shown. SO_RCVTIMEO is the kernel's (socket(7)): the
    blocking recv() returns EAGAIN when the time is over. Python's settimeout() makes the socket
    non-blocking and calls poll() first; if that returns 0, recv() is never called. The peer
    learns nothing of either, and data that come later are received as ever.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, struct.pack("ll", 0, 100_000))
        with suppress(BlockingIOError):
            connection.recv(100)
        connection.settimeout(0.1)
        with suppress(TimeoutError):
            connection.recv(100)
        actor.tell("timed out")
        connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        actor.ask("timed out")
        sock.send(b"sorry, I am late")
        actor.poll([(sock, POLLIN)])
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "fast-open",
    section="13.9",
    title="TCP Fast Open: data in the SYN",
    summary="The first connection fetches a cookie; the second sends the cookie and its data in "
    "the SYN, and accept() returns before the handshake is over.",
    sysctls={"net.ipv4.tcp_fastopen": "3"},
    expects=Expectations(
        calls={
            "client": "sendto ok, recv ok, close ok, sendto ok, recv ok, close ok",
            "server": "setsockopt ok, listen ok, accept4 ok, recv ok, send ok, accept4 ok, "
            "recv ok, send ok",
        },
        causes=(sent("SYN", "sendto", "client"), sent("data", "sendto", "client")),
        absent=("RST",),
    ),
)
def fast_open(stage: Stage) -> None:
    """RFC 7413. sendto() with MSG_FASTOPEN is connect() and send() in one (tcp(7), the descendant
    of T/TCP in UNP 13.9). The first time the client has no cookie: its SYN asks for one, the
    data follow the handshake. The second time SYN, cookie and data are one segment; the server
    knows the address is genuine, hands the data to recv() and may answer with its SYN-ACK's
    successor: one round trip is saved.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, 5)
        listener.bind((LOOPBACK, 0))
        listener.listen(8)
        actor.tell("port", port_of(listener))
        for _ in range(2):
            connection, _ = listener.accept()
            connection.recv(100)
            connection.send(b"reply")
            connection.recv(100)
            connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        address = (LOOPBACK, actor.ask("port"))
        for _ in range(2):
            sock = actor.socket()
            sock.sendto(b"request", MSG_FASTOPEN, address)
            sock.recv(100)
            sock.close()

    stage.play(client=client, server=server)
