"""UNP 4.9 and 6.6: ending one direction of a connection, and what an end sees afterwards."""

from __future__ import annotations

from contextlib import suppress
from signal import SIGKILL, SIGPIPE
from socket import AF_INET, MSG_NOSIGNAL, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import connected, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage


@behaviour(
    "shutdown-write",
    section="4.9",
    title="Half-close: the client is done sending, not receiving",
    summary="shutdown(SHUT_WR) sends FIN and keeps the socket; the server reads to the end of "
    "file and then answers.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, shutdown ok, recv ok, recv ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, send ok, close ok",
        },
        causes=(
            sent("FIN", "shutdown", "client"),
            sent("data", "send", "server"),
            sent("FIN", "close", "server"),
        ),
        absent=("RST",),
    ),
)
def shutdown_write(stage: Stage) -> None:
    """A connection is two streams, and each ends by itself (RFC 9293 3.6). The FIN tells the
    server that the request is complete; the client, in FIN-WAIT-2, still takes the answer. With
    close() instead, the answer would have been met by RST (UNP 6.6, figure 6.12). The later
    close() has nothing left to send.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        while connection.recv(100):
            pass
        connection.send(b"the answer to all of it")
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"the whole request")
        sock.shutdown(SHUT_WR)
        while sock.recv(100):
            pass
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "shutdown-read",
    section="4.9",
    title="shutdown(SHUT_RD) says nothing to the peer",
    summary="No segment is sent. recv() returns 0 at once; data that come later are acknowledged, "
    "and on Linux even handed out.",
    expects=Expectations(
        calls={
            "client": "connect ok, shutdown ok, recv ok, recv ok, recv ok, close ok",
            "server": "accept4 ok, send ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "server"), sent("FIN", "close", "client")),
        absent=("RST",),
    ),
)
def shutdown_read(stage: Stage) -> None:
    """TCP has no way to say "I shall not read any more": SHUT_RD is a note in the socket. recv()
    finds the note when the buffer is empty and returns 0, just like an end of file. UNP 6.6: data
    received afterwards are "acknowledged and then silently discarded". Linux acknowledges them,
    but keeps them, and recv() returns them before it looks at the note again.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        actor.ask("shut")
        connection.send(b"unwelcome")
        actor.tell("sent")
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.shutdown(SHUT_RD)
        sock.recv(100)
        actor.tell("shut")
        actor.ask("sent")
        sock.recv(100)
        sock.recv(100)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "shutdown-both",
    section="4.9",
    title="shutdown(SHUT_RDWR): FIN now, the descriptor later",
    summary="The FIN is sent, recv() returns 0 and send() fails with EPIPE; close() then only "
    "gives the descriptor back.",
    expects=Expectations(
        calls={
            "client": "connect ok, shutdown ok, recv ok, send EPIPE, close ok",
            "server": "accept4 ok, recv ok, close ok",
        },
        causes=(sent("FIN", "shutdown", "client"), sent("FIN", "close", "server")),
        absent=("RST", "data"),
    ),
)
def shutdown_both(stage: Stage) -> None:
    """As if SHUT_RD and SHUT_WR were called one after the other (UNP 6.6). Unlike close() it acts
    at once however many descriptors name the socket, and the descriptor stays valid: the errors
    are EPIPE and an end of file, not EBADF.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.shutdown(SHUT_RDWR)
        sock.recv(100)
        with suppress(BrokenPipeError):
            sock.send(b"too late")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "shutdown-not-connected",
    section="4.9",
    title="shutdown() of a socket that has no connection",
    summary="Nothing to end: ENOTCONN, for a new TCP socket as for an unconnected UDP one.",
    expects=Expectations(
        calls={
            "client": "socket ok, shutdown ENOTCONN, close ok, "
            "socket ok, shutdown ENOTCONN, close ok",
        },
        absent=("any",),
    ),
)
def shutdown_not_connected(stage: Stage) -> None:
    """shutdown(2): "ENOTCONN The specified socket is not connected". There is no peer to tell, so
    nothing is sent.
    """

    def client(actor: Actor) -> None:
        sock = actor.socket()
        with suppress(OSError):
            sock.shutdown(SHUT_WR)
        sock.close()
        datagrams = actor.socket(AF_INET, SOCK_DGRAM)
        with suppress(OSError):
            datagrams.shutdown(SHUT_RDWR)
        datagrams.close()

    stage.play(client=client)


@behaviour(
    "write-after-peer-close",
    section="4.9",
    title="Writing to a peer that has closed",
    summary="The first send() works and draws a RST, the second fails with EPIPE; without "
    "MSG_NOSIGNAL SIGPIPE kills the process.",
    expects=Expectations(
        calls={
            "client": "connect ok, recv ok, send ok, send EPIPE, send …",
            "server": "accept4 ok, close ok",
        },
        causes=(
            sent("FIN", "close", "server"),
            sent("data", "send", "client"),
            answered("RST"),
        ),
    ),
)
def write_after_peer_close(stage: Stage) -> None:
    """UNP 5.12, 5.13. To the client's TCP the FIN only says that the server sends no more: sending
    is allowed, and send() returns when the bytes are buffered. But nobody is there to read; the
    server's kernel answers with RST. The next send() finds the connection gone: EPIPE, with the
    signal SIGPIPE, whose default is to kill. MSG_NOSIGNAL asks for the error alone.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.recv(100)
        sock.send(b"first")
        with suppress(BrokenPipeError):
            sock.send(b"second", MSG_NOSIGNAL)
        actor.default_signal(SIGPIPE)
        sock.send(b"third")

    stage.play(client=client, server=server)


@behaviour(
    "exit-closes",
    section="4.9",
    title="A process that exits closes what it had open",
    summary="No close() is called: exit() drops every descriptor, and the kernel sends the FIN.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, exit …",
            "server": "accept4 ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "client"), sent("FIN", "exit", "client")),
        absent=("RST",),
    ),
)
def exit_closes(stage: Stage) -> None:
    """_exit(2): "Any open file descriptors belonging to the process are closed". For TCP it makes
    no difference how the last descriptor went: unsent data, then FIN (UNP 5.7).
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        while connection.recv(100):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"my last words")
        actor.exit(3)

    stage.play(client=client, server=server)


@behaviour(
    "kill-closes",
    section="4.9",
    title="A process that is killed closes what it had open, too",
    summary="SIGKILL cannot be caught and the process runs no line more, yet its connection ends "
    "in order, with FIN.",
    expects=Expectations(
        calls={
            "client": "connect ok, recv …",
            "server": "accept4 ok, kill ok, recv ok, close ok",
        },
        causes=(sent("FIN", "kill", "server"), sent("FIN", "close", "server")),
        absent=("RST",),
    ),
)
def kill_closes(stage: Stage) -> None:
    """UNP 5.12: "as part of process termination, all open descriptors are closed. This causes a
    FIN to be sent". The kernel does it, so even SIGKILL cannot prevent it; only the loss of the
    host or the network can. The recv() in which the client died never returns.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        actor.when_blocked("client", "recv")
        actor.kill("client", SIGKILL)
        connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.recv(100)

    stage.play(client=client, server=server)
