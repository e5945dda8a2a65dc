"""UNP 4.6: accept() takes the next completed connection from the queue that listen() made."""

from __future__ import annotations

import struct
from contextlib import suppress
from select import POLLIN
from socket import IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_DEFER_ACCEPT
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

ABORT_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, with a timeout of 0


@behaviour(
    "accept-blocks",
    section="4.6",
    title="accept() sleeps until a handshake completes",
    summary="The queue is empty, so accept() waits; the ACK that ends a handshake wakes it.",
    expects=Expectations(
        calls={
            "server": "listen ok, accept4 ok, close ok, close ok",
            "client": "connect ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK"), answered("ACK")),
        absent=("RST",),
    ),
)
def accept_blocks(stage: Stage) -> None:
    """The server is inside accept() before any client exists (accept(2): "If no pending
    connections are present on the queue, and the socket is not marked as nonblocking, accept()
    blocks the caller until a connection is present").

    accept() itself sends nothing. The SYN is answered by the server's kernel, and it is the
    third segment of the handshake, the client's ACK, that puts the connection in the queue.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.when_blocked("server", "accept")
        sock = connected(actor)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "accept-order",
    section="4.6",
    title="accept() returns connections in the order of their handshakes",
    summary="Three connections are complete before the first accept(): they come first in, first "
    "out.",
    expects=Expectations(
        calls={
            "server": "listen ok, accept4 ok, accept4 ok, accept4 ok",
            "client": "connect ok, connect ok, connect ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def accept_order(stage: Stage) -> None:
    """Handshakes complete in the kernel, without the server's process: all three connect()
    return although nobody has called accept() yet. The accept queue is first in, first out
    (UNP 4.5, Linux reqsk_queue_remove), so the first accept() gets the oldest.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        actor.ask("connected")
        taken = [listener.accept()[0] for _ in range(3)]
        actor.tell("accepted")
        for connection in taken:
            connection.recv(1)
            connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        socks = [connected(actor) for _ in range(3)]
        actor.tell("connected")
        actor.ask("accepted")
        for sock in socks:
            sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "accept-nonblocking",
    section="4.6",
    title="accept() on a non-blocking listener",
    summary="An empty queue: accept() fails with EAGAIN at once; poll() says when to try again.",
    expects=Expectations(
        calls={
            "server": "listen ok, ioctl ok, accept4 EAGAIN, poll ok, accept4 ok, accept4 EAGAIN",
            "client": "connect ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def accept_nonblocking(stage: Stage) -> None:
    """EAGAIN says that the queue was empty at that moment, no more (accept(2)). A listener is
    readable when its queue is not empty (poll(2)), so POLLIN comes with the handshake's last ACK.

    UNP 16.6 tells why a server that polls must have a non-blocking listener: the connection may
    be gone again between poll() and accept().
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        listener.setblocking(False)
        with suppress(BlockingIOError):
            listener.accept()
        actor.tell("tried")
        actor.poll([(listener, POLLIN)])
        connection, _ = listener.accept()
        with suppress(BlockingIOError):
            listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.ask("tried")
        actor.when_blocked("server", "poll")
        sock = connected(actor)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "accept-aborted",
    section="4.6",
    title="The client resets the connection before accept()",
    summary="Linux hands out the dead connection all the same: accept() works, recv() fails with "
    "ECONNRESET.",
    expects=Expectations(
        calls={
            "server": "listen ok, accept4 ok, recv ECONNRESET, close ok",
            "client": "connect ok, setsockopt ok, close ok",
        },
        causes=(sent("RST", "close", "client"), answered("SYN-ACK")),
        absent=("FIN",),
    ),
)
def accept_aborted(stage: Stage) -> None:
    """UNP 5.11: the three-way handshake completes, and the client sends a RST while the
    connection still waits in the queue. POSIX has accept() fail with ECONNABORTED; BSD takes the
    connection out of the queue in silence. Linux leaves it there: accept() returns it, and the
    first call on it reports ECONNRESET.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        actor.ask("reset")
        connection, _ = listener.accept()
        with suppress(ConnectionResetError):
            connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.setsockopt(SOL_SOCKET, SO_LINGER, ABORT_ON_CLOSE)
        sock.close()
        actor.tell("reset")

    stage.play(client=client, server=server)


@behaviour(
    "accept-descriptor-limit",
    section="4.6",
    title="accept() without a free descriptor",
    summary="EMFILE takes nothing from the queue: once a descriptor is free, accept() returns the "
    "same connection.",
    expects=Expectations(
        calls={
            "server": "listen ok, socket ok, accept4 EMFILE, close ok, accept4 ok",
            "client": "connect ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def accept_descriptor_limit(stage: Stage) -> None:
    """accept() needs a descriptor for the connection it returns. With RLIMIT_NOFILE reached it
    fails with EMFILE (accept(2)) before it looks at the queue, and the client, whose connect()
    returned long ago, notices nothing. The listener stays readable: a server that only polls and
    tries again would spin. Giving up a spare descriptor, held for this day, makes room.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        spare = actor.socket()
        actor.ask("connected")
        actor.limit_descriptors(spare.fileno() + 1)
        with suppress(OSError):
            listener.accept()
        spare.close()
        connection, _ = listener.accept()
        actor.tell("accepted")
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        actor.tell("connected")
        actor.ask("accepted")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "accept-deferred",
    section="4.6",
    title="TCP_DEFER_ACCEPT: accept() waits for data, not for the handshake",
    summary="The server's kernel ignores the bare ACK of the handshake; the client's first data "
    "wake accept().",
    expects=Expectations(
        calls={
            "server": "setsockopt ok, listen ok, accept4 ok, recv ok",
            "client": "connect ok, send ok, close ok",
        },
        causes=(
            sent("SYN", "connect", "client"),
            answered("SYN-ACK"),
            sent("data", "send", "client"),
        ),
        absent=("RST",),
    ),
)
def accept_deferred(stage: Stage) -> None:
    """tcp(7): TCP_DEFER_ACCEPT "allow a listener to be awakened only when data arrives on the
    socket". To the client nothing is different: the SYN-ACK is all that connect() waits for. But
    the server's kernel drops the ACK that follows and stays in SYN-RECEIVED (Linux
    tcp_check_req); the segment with the request makes the connection, and recv() need not wait.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.setsockopt(IPPROTO_TCP, TCP_DEFER_ACCEPT, 5)
        listener.bind((LOOPBACK, 0))
        listener.listen(8)
        actor.tell("port", port_of(listener))
        connection, _ = listener.accept()
        connection.recv(100)
        connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.when_blocked("server", "accept")
        sock = connected(actor)
        actor.pause(0.05)
        actor.when_blocked("server", "accept")
        sock.send(b"request")
        sock.close()

    stage.play(client=client, server=server)
