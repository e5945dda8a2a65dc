"""What only a path of its own shows: segments that cross, that are lost at the end, that are too
large for a link further on.

Where segments are to cross, a delay keeps each on its way until the other has left. It is for TCP
alone, so that hosts find each other at once.
"""

from __future__ import annotations

from contextlib import suppress
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import TYPE_CHECKING

from observatory.lab.faults import MILLISECOND, Delay, Drop, SmallerMtu
from observatory.lab.match import FIN, RST, Match
from observatory.model import Protocol
from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent, timed

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

PORT = 7007
SLOW_LINK = Delay(("client", "server"), 250 * MILLISECOND, match=Match(Protocol.TCP))
"""Long enough for both ends to make their calls before either hears of the other's, on a busy
machine too."""


def _served(actor: Actor) -> InstrumentedSocket:
    """The server's end of one connection; the listener is closed behind it."""
    listener = actor.socket()
    listener.bind((actor.address(), PORT))
    listener.listen()
    actor.tell("listening")
    connection, _ = listener.accept()
    listener.close()
    return connection


def _met(actor: Actor) -> InstrumentedSocket:
    """The client's end."""
    actor.ask("listening")
    sock = actor.socket()
    sock.connect((actor.address("server"), PORT))
    return sock


def _together(actor: Actor, other: str) -> None:
    """Go on when the other is here, too."""
    actor.tell(f"{actor.role} is here")
    actor.ask(f"{other} is here")


@behaviour(
    "connect-simultaneous-open",
    section="4.3",
    title="Both ends connect() to each other",
    summary="Two SYNs cross on the way, and each is answered with SYN-ACK: one connection, both "
    "connect() succeed, and nobody has listened.",
    lab="pair",
    faults=(SLOW_LINK,),
    expects=Expectations(
        calls={
            "client": "socket ok, bind ok, connect ok, send ok, recv ok, close ok",
            "server": "socket ok, bind ok, connect ok, send ok, recv ok, close ok",
        },
        causes=(
            sent("SYN", "connect", "client"),
            sent("SYN", "connect", "server"),
            answered("SYN-ACK"),
            sent("data", "send", "client"),
            sent("data", "send", "server"),
        ),
        absent=("RST",),
    ),
)
def connect_simultaneous_open(stage: Stage) -> None:
    """RFC 9293 3.5, figure 8. Each end sends a SYN from the port that the other's SYN is for, and
    they pass each other on the wire. A SYN that comes to a socket in SYN-SENT makes it
    SYN-RECEIVED, and is answered; the SYN-ACK that comes to that makes it ESTABLISHED. So four
    segments open what three do otherwise, and what comes of it is one connection, not two.

    No program was written for this. It is how two hosts behind firewalls meet, each of which lets
    in only answers.
    """

    def play(actor: Actor, other: str) -> None:
        sock = actor.socket()
        sock.bind((actor.address(), PORT))
        _together(actor, other)
        sock.connect((actor.address(other), PORT))
        sock.send(b"you called?")
        sock.recv(100)
        sock.close()

    stage.play(
        client=lambda actor: play(actor, "server"), server=lambda actor: play(actor, "client")
    )


@behaviour(
    "close-simultaneous",
    section="4.9",
    title="Both ends close() at once",
    summary="Two FINs cross on the way: both ends go through CLOSING, and both end in TIME-WAIT.",
    lab="pair",
    faults=(SLOW_LINK,),
    expects=Expectations(
        calls={"client": "connect ok, close ok", "server": "accept4 ok, close ok"},
        causes=(sent("FIN", "close", "client"), sent("FIN", "close", "server"), answered("ACK")),
        absent=("RST", "data"),
    ),
)
def close_simultaneous(stage: Stage) -> None:
    """RFC 9293 3.6, figure 13. Each end has sent its FIN (FIN-WAIT-1) when the other's arrives,
    which is not the answer to its own: CLOSING, until that one is acknowledged. Then both wait in
    TIME-WAIT, for both have closed actively (UNP 2.6).
    """

    def server(actor: Actor) -> None:
        connection = _served(actor)
        _together(actor, "client")
        connection.close()

    def client(actor: Actor) -> None:
        sock = _met(actor)
        _together(actor, "server")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "fin-lost",
    section="4.9",
    title="The FIN is lost, and the peer never closes",
    summary="The client's kernel sends the FIN again long after close() has returned; it waits for "
    "the server's until tcp_fin_timeout is up, and answers what comes later with RST.",
    lab="routed",
    sysctls={"client": {"net.ipv4.tcp_fin_timeout": "1"}},
    faults=(Drop(FIN.towards("server"), first=1),),
    slow=True,
    expects=Expectations(
        calls={
            "client": "connect ok, close ok",
            "server": "accept4 ok, recv ok, send ok, send EPIPE, close ok",
        },
        causes=(
            sent("FIN", "close", "client"),
            timed("FIN"),
            sent("data", "send", "server"),
            answered("RST"),
        ),
    ),
)
def fin_lost(stage: Stage) -> None:
    """close() returns at once (UNP 4.9): that the FIN arrives is the kernel's business, which
    keeps the connection, now without a program, and sends the FIN again as it would data.

    With the FIN acknowledged the client is in FIN-WAIT-2, where RFC 9293 would let it stay for
    ever, as the server may still send. Nobody is there to read that, and Linux waits no longer than
    tcp_fin_timeout (tcp(7); 60 s by default, 1 s here). A server that has read EOF and sends
    nonetheless is told by RST, and its next send() fails with EPIPE.
    """

    def server(actor: Actor) -> None:
        connection = _served(actor)
        connection.recv(100)
        actor.pause(1.6)
        connection.send(b"are you still there?")
        actor.when_state(connection, "CLOSED")
        with suppress(BrokenPipeError):
            connection.send(b"it seems not")
        connection.close()

    def client(actor: Actor) -> None:
        _met(actor).close()

    stage.play(client=client, server=server)


@behaviour(
    "rst-lost",
    section="4.9",
    title="The RST is lost: a half-open connection",
    summary="A RST is sent once and never acknowledged. The server does not know that the client "
    "has aborted, until its own data draws another RST.",
    lab="routed",
    faults=(Drop(RST.towards("server"), first=1),),
    expects=Expectations(
        calls={
            "client": "connect ok, setsockopt ok, close ok",
            "server": "accept4 ok, send ok, recv ECONNRESET, close ok",
        },
        causes=(
            sent("RST", "close", "client"),
            sent("data", "send", "server"),
            answered("RST"),
        ),
        absent=("FIN",),
    ),
)
def rst_lost(stage: Stage) -> None:
    """With SO_LINGER on and a time of 0, close() aborts (UNP 7.5): the client's kernel sends RST
    and forgets the connection. Where that RST is lost, nothing sends it again, as nobody
    acknowledges a RST. The server's end stays ESTABLISHED: half-open (RFC 9293 3.5.1).

    It is found out by a segment: the server's data comes to a host that knows no such connection,
    and RST is the answer to that (UNP 4.3). A server that only reads would wait for ever.
    """

    def server(actor: Actor) -> None:
        connection = _served(actor)
        actor.ask("aborted")
        connection.send(b"are you still there?")
        with suppress(ConnectionResetError):
            connection.recv(100)
        connection.close()

    def client(actor: Actor) -> None:
        sock = _met(actor)
        sock.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
        sock.close()
        actor.tell("aborted")

    stage.play(client=client, server=server)


@behaviour(
    "send-path-mtu",
    section="2.11",
    title="A segment that is too large for a link further on",
    summary="The router cannot forward the full segments and says so (ICMP fragmentation needed); "
    "the client's kernel sends the data again in smaller ones. No call notices.",
    lab="routed",
    faults=(SmallerMtu(1000),),
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "client"), answered("ICMP"), answered("data")),
        absent=("RST",),
    ),
)
def send_path_mtu(stage: Stage) -> None:
    """UNP 2.9 and 2.11: each end tells the other in its SYN how much its own link takes (MSS 1460),
    and neither knows of a narrower link between them. IPv4 packets of TCP carry "don't fragment",
    so a router must drop what is too large and send ICMP "fragmentation needed" with the size that
    fits (RFC 1191). The kernel notes the path's MTU and sends the data again, in segments that fit.

    A path whose firewall drops these messages is a black hole for large segments alone: the
    handshake works, and the first page hangs.
    """

    def server(actor: Actor) -> None:
        connection = _served(actor)
        while connection.recv(4000):
            pass
        connection.close()

    def client(actor: Actor) -> None:
        sock = _met(actor)
        sock.send(bytes(range(200)) * 14)
        sock.close()

    stage.play(client=client, server=server)
