"""Sending: what a successful send() puts on the wire, and when (UNP 2.11, 7.9, 14, 16, 24)."""

from __future__ import annotations

from contextlib import suppress
from select import POLLOUT, POLLPRI
from socket import (
    IPPROTO_TCP,
    MSG_OOB,
    SO_RCVBUF,
    SO_SNDBUF,
    SOL_SOCKET,
    TCP_NODELAY,
    TCP_QUICKACK,
)
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent, timed
from observatory.scenarios.parts import LOOPBACK, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

SMALL = 4096


def _listening_with_small_buffer(actor: Actor) -> InstrumentedSocket:
    """A listener whose connections advertise a window of a few kilobytes only."""
    listener = actor.socket()
    listener.setsockopt(SOL_SOCKET, SO_RCVBUF, SMALL)
    listener.bind((LOOPBACK, 0))
    listener.listen(8)
    actor.tell("port", port_of(listener))
    return listener


def _delayed_reader(actor: Actor) -> None:
    """A server that lets its kernel delay ACKs, as in the midst of a dialogue, and reads to the
    end when everything was sent."""
    listener = listening(actor)
    connection, _ = listener.accept()
    connection.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 0)
    actor.tell("ready")
    actor.ask("sent")
    while connection.recv(100):
        pass
    connection.close()
    listener.close()


@behaviour(
    "send-nagle",
    section="7.9",
    title="Nagle's algorithm holds small segments back",
    summary="The first small send() leaves at once; the next two wait for its ACK, and then leave "
    "together in one segment.",
    expects=Expectations(
        calls={"client": "connect ok, send ok, send ok, send ok, close ok"},
        causes=(sent("data", "send", "client"),),
        absent=("RST",),
    ),
)
def send_nagle(stage: Stage) -> None:
    """RFC 9293 3.7.4 (RFC 896): while data are unacknowledged, a segment that is not full waits.
    All three send() return at once, for send() only fills the buffer. The server delays its ACK
    in the hope of sending it with data (RFC 9293 3.8.6.3, 40 ms on Linux), so the small writes
    wait for just this long: the classic bad meeting of two good ideas (UNP 7.9).

    On loopback ACKs usually are immediate and nothing is to be seen; the server here turns off
    TCP_QUICKACK, which puts its end in the state it has in any longer dialogue.
    """

    def client(actor: Actor) -> None:
        sock = connected(actor)
        actor.ask("ready")
        sock.send(b"one,")
        sock.send(b"two,")
        sock.send(b"three")
        actor.pause(0.06)  # longer than the delayed ACK
        actor.tell("sent")
        sock.close()

    stage.play(client=client, server=_delayed_reader)


@behaviour(
    "send-nodelay",
    section="7.9",
    title="TCP_NODELAY: every send() leaves at once",
    summary="The same three small writes without Nagle's algorithm: three segments, none waits "
    "for an ACK.",
    expects=Expectations(
        calls={"client": "connect ok, setsockopt ok, send ok, send ok, send ok, close ok"},
        causes=(sent("data", "send", "client"),),
        absent=("RST",),
    ),
)
def send_nodelay(stage: Stage) -> None:
    """UNP 7.9: TCP_NODELAY disables Nagle's algorithm for this socket. More packets, less delay:
    right for a program that writes each message in one call and wants it there soon. The server
    delays its ACK as before and no send() waits for it; only the kernel grows uneasy after some
    milliseconds and sends the last segment again, a tail loss probe (RFC 8985 7).
    """

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        actor.ask("ready")
        sock.send(b"one,")
        sock.send(b"two,")
        sock.send(b"three")
        actor.pause(0.06)
        actor.tell("sent")
        sock.close()

    stage.play(client=client, server=_delayed_reader)


@behaviour(
    "send-zero-window",
    section="7.5",
    title="The receiver's window closes, and probes ask for it",
    summary="The server does not read: its window falls to 0, send() sleeps, and the client's "
    "kernel probes until recv() opens the window again.",
    expects=Expectations(
        calls={
            "client": "connect ok, setsockopt ok, send ok, close ok",
            "server": "accept4 ok, recv ok, close ok",
        },
        causes=(
            sent("data", "send", "client"),
            timed("ACK"),
            sent("ACK", "recv", "server"),
            sent("FIN", "close", "client"),
        ),
        absent=("RST",),
    ),
)
def send_zero_window(stage: Stage) -> None:
    """Flow control (RFC 9293 3.8.6): the receiver advertises how much room its buffer has left,
    and the sender must not send more. With both buffers full a blocking send() sleeps (UNP 2.11).
    The window's opening is announced in an ACK, which could be lost; so the sender asks again
    and again with a segment that must be answered, the window probe (3.8.6.1).
    """

    def server(actor: Actor) -> None:
        listener = _listening_with_small_buffer(actor)
        connection, _ = listener.accept()
        actor.when_blocked("client", "send")
        actor.pause(0.5)  # two probes of the kernel's persist timer
        while connection.recv(65536):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.setsockopt(SOL_SOCKET, SO_SNDBUF, SMALL)
        sock.send(bytes(40_000))
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "send-would-block",
    section="16.2",
    title="A non-blocking send() with a full buffer",
    summary="send() takes what fits and says how much, then fails with EAGAIN; poll() waits until "
    "there is room.",
    expects=Expectations(
        calls={
            "client": "connect ok, ioctl ok, send ok, send EAGAIN, poll ok, send ok, close ok",
            "server": "accept4 ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "client"), sent("FIN", "close", "client")),
        absent=("RST",),
    ),
)
def send_would_block(stage: Stage) -> None:
    """UNP 16.2: for a non-blocking socket, "if there is no room at all in the socket send buffer
    return is made immediately with an error of EWOULDBLOCK. If there is some room [...] the return
    value will be the number of bytes that the kernel was able to copy": a short count. When the
    server reads, its ACKs free the client's buffer, and the socket is writable again.
    """

    def server(actor: Actor) -> None:
        listener = _listening_with_small_buffer(actor)
        connection, _ = listener.accept()
        actor.when_blocked("client", "poll")
        while connection.recv(65536):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.setsockopt(SOL_SOCKET, SO_SNDBUF, SMALL)
        sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sock.send(bytes(20_000))
        actor.poll([(sock, POLLOUT)])
        sock.send(b"the end")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "send-urgent",
    section="24.2",
    title="Urgent data: one byte out of band",
    summary="MSG_OOB marks a byte in the stream with the URG flag; poll() tells of it with "
    "POLLPRI, and recv(MSG_OOB) takes it ahead of what came before.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, send ok, close ok",
            "server": "accept4 ok, poll ok, recv ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "client"),),
        absent=("RST",),
    ),
)
def send_urgent(stage: Stage) -> None:
    """TCP has no second channel: the urgent byte travels in its place in the stream, and the
    header's urgent pointer says where (RFC 9293 3.8.5; RFC 6093 advises against all of it). The
    server's kernel takes it out of line: recv(MSG_OOB) returns it first, an ordinary recv() the
    bytes around it (UNP 24.2).
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        actor.poll([(connection, POLLPRI)])
        connection.recv(1, MSG_OOB)
        while connection.recv(100):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"all is well")
        actor.when_blocked("server", "poll")
        sock.send(b"!", MSG_OOB)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "send-file",
    section="14.3",
    title="sendfile(): from a file to the wire without a copy in between",
    summary="One call sends a whole file, in as many segments as the window takes.",
    expects=Expectations(
        calls={
            "client": "connect ok, sendfile ok, close ok",
            "server": "accept4 ok, recv ok, close ok",
        },
        causes=(sent("data", "sendfile", "client"), sent("FIN", "close", "client")),
        absent=("RST",),
    ),
)
def send_file(stage: Stage) -> None:
    """sendfile(2) copies between descriptors inside the kernel. To TCP it is one more way to
    append to the send buffer: its bytes follow those of the send() before it, and the reader
    cannot tell the calls apart.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        while connection.recv(65536):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        path = actor.folder / "page.html"
        path.write_bytes(b"x" * 100_000)
        sock = connected(actor)
        sock.send(b"HTTP/1.0 200 OK\r\n\r\n")
        with path.open("rb") as page:
            sock.sendfile(page)
        sock.close()

    stage.play(client=client, server=server)
