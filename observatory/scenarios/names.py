"""UNP 4.10: getsockname() and getpeername() ask the kernel what it knows; nothing is sent."""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_WR
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent
from observatory.scenarios.parts import LOOPBACK, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket


@behaviour(
    "getsockname-client",
    section="4.10",
    title="A client that called no bind() asks for its own address",
    summary="0.0.0.0 port 0 before connect(), the address and port that the kernel chose after it.",
    expects=Expectations(
        calls={
            "client": "socket ok, getsockname ok, connect ok, getsockname ok, getpeername ok, "
            "close ok",
            "server": "accept4 ok, getsockname ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"),),
        absent=("RST",),
    ),
)
def getsockname_client(stage: Stage) -> None:
    """A socket has no name until bind() or connect() gives it one (UNP 4.10). connect() takes the
    route's source address and an ephemeral port, just before the SYN is sent; getsockname() tells
    them afterwards. The answers come from the socket in the kernel: no segment is sent for them.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.getsockname()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.getsockname()
        sock.connect((LOOPBACK, actor.ask("port")))
        sock.getsockname()
        sock.getpeername()
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "getpeername-not-connected",
    section="4.10",
    title="getpeername() without a peer",
    summary="ENOTCONN for a socket that never connected, for one that listens, and for one whose "
    "connection was ended from both sides.",
    expects=Expectations(
        calls={
            "client": "socket ok, getpeername ENOTCONN, connect ok, getpeername ok, close ok",
            "server": "listen ok, getpeername ENOTCONN, accept4 ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"),),
        absent=("RST",),
    ),
)
def getpeername_not_connected(stage: Stage) -> None:
    """getpeername(2): "ENOTCONN The socket is not connected". A listener never has a peer: it is
    the socket that accept() returns which is connected. A connection that both ends have closed
    has no peer any more either, although its socket still exists.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        with suppress(OSError):
            listener.getpeername()
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = actor.socket()
        with suppress(OSError):
            sock.getpeername()
        sock.connect((LOOPBACK, actor.ask("port")))
        sock.getpeername()
        sock.shutdown(SHUT_WR)
        sock.recv(1)
        with suppress(OSError):
            sock.getpeername()
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "getsockname-errors",
    section="4.10",
    title="getsockname() and getpeername() of what is no socket",
    summary="Both return -1: EBADF for a number that names nothing, ENOTSOCK for a file.",
    expects=Expectations(
        calls={
            "program": "socket ok, bind ok, getsockname ok, getpeername ENOTCONN, close ok, "
            "getsockname EBADF, getpeername EBADF, getsockname ENOTSOCK, getpeername ENOTSOCK",
        },
        absent=("any",),
    ),
)
def getsockname_errors(stage: Stage) -> None:
    """Like every call of the socket API they return 0 or -1, and errno then says why. A socket
    always has a local name, if only 0.0.0.0 port 0, so getsockname() fails only where there is no
    socket: the descriptor is closed (EBADF), or its number was given to a file meanwhile
    (ENOTSOCK). getpeername() has one reason more, no peer: ENOTCONN.
    """

    def program(actor: Actor) -> None:
        sock = actor.socket()
        sock.bind((LOOPBACK, 0))
        sock.getsockname()
        stale = actor.adopt(sock.fileno())
        with suppress(OSError):
            sock.getpeername()
        sock.close()
        ask_both(stale)
        with (actor.folder / "file").open("w"):  # which is given the lowest number that is free
            ask_both(stale)
            stale.detach()

    def ask_both(sock: InstrumentedSocket) -> None:
        with suppress(OSError):
            sock.getsockname()
        with suppress(OSError):
            sock.getpeername()

    stage.play(program=program)
