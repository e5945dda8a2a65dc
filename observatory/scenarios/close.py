"""UNP 4.9: close() gives up a descriptor; what TCP then sends depends on what it leaves."""

from __future__ import annotations

import struct
from contextlib import suppress
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

LINGER = struct.Struct("ii")  # struct linger: on or off, seconds


@behaviour(
    "close-active",
    section="4.9",
    title="The end that closes first goes through TIME-WAIT",
    summary="close() returns at once and sends the FIN; the client's end then waits twice the "
    "lifetime of a segment in TIME-WAIT.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, close ok",
        },
        causes=(
            sent("data", "send", "client"),
            sent("FIN", "close", "client"),
            sent("FIN", "close", "server"),
        ),
        absent=("RST",),
    ),
)
def close_active(stage: Stage) -> None:
    """The active close of UNP figure 2.4: the client's FIN comes after its data, the server's
    recv() returns 0 when everything before the FIN was read, its own close() sends the second
    FIN. The client acknowledges it from FIN-WAIT-2 and stays in TIME-WAIT, for 60 seconds on
    Linux (TCP_TIMEWAIT_LEN), although its process has long gone (RFC 9293 3.6.1).
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
        sock.send(b"all I have to say")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "close-passive",
    section="4.9",
    title="The end that is closed upon waits in CLOSE-WAIT until it closes too",
    summary="The server's FIN is acknowledged by the client's kernel; the client's own FIN waits "
    "for the client's close().",
    expects=Expectations(
        calls={
            "client": "connect ok, recv ok, recv ok, close ok",
            "server": "accept4 ok, send ok, close ok",
        },
        causes=(
            sent("data", "send", "server"),
            sent("FIN", "close", "server"),
            sent("FIN", "close", "client"),
        ),
        absent=("RST",),
    ),
)
def close_passive(stage: Stage) -> None:
    """The server sends its answer and closes at once, as a daytime server does (UNP 1.5). To the
    client the FIN is an end of file, read after the data. Its kernel acknowledges the FIN without
    asking; but only the process can close its end, and until it does the connection stays in
    CLOSE-WAIT and the server's end in FIN-WAIT-2. A program that forgets close() here collects
    CLOSE-WAITs.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.send(b"the time of day")
        connection.close()
        actor.tell("closed")
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        while sock.recv(100):
            pass
        actor.ask("closed")
        actor.pause(0.05)  # the kernel's delayed ACK of the FIN goes out alone
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "close-unread-data",
    section="4.9",
    title="close() with received data that nobody read",
    summary="Data would be lost, so the kernel says so: close() sends RST instead of FIN, and the "
    "peer's recv() fails with ECONNRESET.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, recv ECONNRESET, close ok",
            "server": "accept4 ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "client"), sent("RST", "close", "server")),
        absent=("FIN",),
    ),
)
def close_unread_data(stage: Stage) -> None:
    """RFC 1122 4.2.2.13 (and RFC 2525 2.17): a host that closes while received data is unread
    "SHOULD send a RST to show that data was lost". The server reads the first 5 of 13 bytes and
    closes; the client, whose send() had worked, learns that not everything was taken.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(5)
        actor.when_blocked("client", "recv")
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"hello, server")
        with suppress(ConnectionResetError):
            sock.recv(100)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "close-linger-zero",
    section="4.9",
    title="close() with SO_LINGER on and a timeout of 0",
    summary="An abort: whatever is still to be sent is thrown away, RST goes out instead of FIN, "
    "and there is no TIME-WAIT.",
    expects=Expectations(
        calls={
            "client": "connect ok, setsockopt ok, close ok",
            "server": "accept4 ok, recv ECONNRESET, close ok",
        },
        causes=(sent("RST", "close", "client"),),
        absent=("FIN",),
    ),
)
def close_linger_zero(stage: Stage) -> None:
    """UNP 7.5: with l_onoff set and l_linger 0 "TCP aborts the connection when it is closed".
    It is the one way to ask for RFC 9293's ABORT call (3.10.5) while keeping the connection's
    end in the program's hand. The server, which sat in recv(), is told "Connection reset by peer".
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        with suppress(ConnectionResetError):
            connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER.pack(1, 0))
        actor.when_blocked("server", "recv")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "close-linger-wait",
    section="4.9",
    title="close() with SO_LINGER waits for the peer's ACK",
    summary="With a timeout that is not 0, close() sleeps until data and FIN are acknowledged: "
    "here until the server makes room by reading.",
    expects=Expectations(
        calls={
            "client": "connect ok, setsockopt ok, send ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, close ok",
        },
        causes=(
            sent("data", "send", "client"),
            sent("FIN", "close", "client"),
        ),
        absent=("RST",),
    ),
)
def close_linger_wait(stage: Stage) -> None:
    """Usually close() returns at once and the kernel goes on sending. With l_onoff set and a
    linger time (UNP 7.5, figure 7.8) the process "is put to sleep until either all the data is
    sent and acknowledged by the peer TCP, or the linger time expires".

    The server's receive buffer is small and full, so the last of the data, and the FIN behind
    them, must wait; the client is inside close() until the server has read. That the peer's
    kernel acknowledged does not say that the peer's program read everything.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
        listener.bind((LOOPBACK, 0))
        listener.listen(8)
        actor.tell("port", port_of(listener))
        connection, _ = listener.accept()
        actor.when_blocked("client", "close")
        while connection.recv(65536):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER.pack(1, 5))
        sock.send(bytes(20_000))
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "close-then-use",
    section="4.9",
    title="A descriptor is used after close()",
    summary="The number names nothing any more: EBADF, decided in the process's own table, with "
    "nothing sent.",
    expects=Expectations(
        calls={
            "client": "connect ok, close ok, send EBADF, recv EBADF, close EBADF",
            "server": "accept4 ok, recv ok, close ok",
        },
        causes=(sent("FIN", "close", "client"),),
        absent=("RST", "data"),
    ),
)
def close_then_use(stage: Stage) -> None:
    """close(2) gives the number back to the process's table. TCP goes on by itself (the FIN, its
    ACK, TIME-WAIT), but no call can reach that socket again: send(), recv() and a second close()
    fail with EBADF before any protocol is asked. In a program with threads the danger is another
    one: the number may already name a new file.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        stale = actor.adopt(sock.fileno())  # someone keeps the number, as a careless program does
        sock.close()
        with suppress(OSError):
            stale.send(b"anyone there?")
        with suppress(OSError):
            stale.recv(100)
        with suppress(OSError):
            stale.close()

    stage.play(client=client, server=server)


@behaviour(
    "close-dup",
    section="4.9",
    title="Two descriptors, one socket: the first close() is silent",
    summary="dup() makes a second name for the connection; only when both are closed is FIN sent.",
    expects=Expectations(
        calls={
            "client": "connect ok, dup ok, close ok, send ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, close ok",
        },
        causes=(
            sent("data", "send", "client"),
            sent("FIN", "close", "client"),
            answered("SYN-ACK"),
        ),
        absent=("RST",),
    ),
)
def close_dup(stage: Stage) -> None:
    """The same within one process as fork() does between two (UNP 4.9): "close just decrements
    the reference count". After the first close() the connection is open and data flow; the second
    gives up the last name and starts TCP's termination.
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
        second = sock.dup()
        sock.close()
        second.send(b"still open")
        second.close()

    stage.play(client=client, server=server)
