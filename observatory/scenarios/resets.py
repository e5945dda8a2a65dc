"""Where resets come from when no one asked for one (UNP 4.3, 5.14, 5.15)."""

from __future__ import annotations

import struct
from contextlib import suppress
from socket import IPPROTO_TCP, SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

TCP_REPAIR = 19  # linux/tcp.h; Python has no name for it


@behaviour(
    "half-open",
    section="5.15",
    title="The server has lost the connection, and the client does not know",
    summary="No FIN told the client. Its next send() works, draws RST, and recv() fails with "
    "ECONNRESET.",
    privileged=("server",),
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, send ok, recv ECONNRESET, close ok",
            "server": "accept4 ok, recv ok, setsockopt ok, close ok",
        },
        causes=(sent("data", "send", "client"), answered("RST")),
        absent=("FIN",),
    ),
)
def half_open(stage: Stage) -> None:
    """What remains when a server host crashes and comes up again (UNP 5.15): the client's end is
    ESTABLISHED, the server's is gone, and the wire was silent about it. RFC 9293 3.5.1 calls the
    connection half-open. The client notices only by sending: the segment is for no connection
    that the server's kernel knows, and is answered with RST.

    The crash is done with TCP_REPAIR, made for checkpoint and restore: a socket in repair mode is
    closed without a segment (Linux tcp_close).
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(100)
        connection.setsockopt(IPPROTO_TCP, TCP_REPAIR, 1)
        connection.close()
        listener.close()
        actor.tell("crashed")

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"are you there?")
        actor.ask("crashed")
        sock.send(b"are you still there?")
        with suppress(ConnectionResetError):
            sock.recv(100)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "rst-three-causes",
    section="4.3",
    title="The three causes of a RST",
    summary="A SYN for a port where nobody listens, an abort by a program, and a segment for a "
    "connection that does not exist.",
    privileged=("stranger",),
    expects=Expectations(
        calls={
            "client": "connect ECONNREFUSED, connect ok, setsockopt ok, close ok",
            "server": "accept4 ok, recv ECONNRESET, close ok",
            "stranger": "socket ok, sendto ok, close ok",
        },
        causes=(
            answered("RST"),
            sent("RST", "close", "client"),
            sent("ACK", "sendto", "stranger"),
        ),
        absent=("FIN",),
    ),
)
def rst_three_causes(stage: Stage) -> None:
    """UNP 4.3 lists them: "when a SYN arrives for a port that has no listening server [...], when
    TCP wants to abort an existing connection, and when TCP receives a segment for a connection
    that does not exist". The last segment is made by hand and sent through a raw socket: an ACK
    out of nowhere, to a port where a server does listen.
    """

    def server(actor: Actor) -> None:
        actor.tell("closed port", actor.unused_port())
        listener = listening(actor)
        connection, _ = listener.accept()
        actor.tell("accepted")
        with suppress(ConnectionResetError):
            connection.recv(100)
        connection.close()
        actor.ask("answered")
        listener.close()

    def client(actor: Actor) -> None:
        refused = actor.socket()
        refused.connect_ex((LOOPBACK, actor.ask("closed port")))
        refused.close()
        aborting = connected(actor)
        actor.ask("accepted")
        aborting.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        aborting.close()
        actor.tell("aborted")

    def stranger(actor: Actor) -> None:
        layers = actor.scapy()
        actor.ask("aborted")
        source = actor.unused_port()
        segment = layers.TCP(
            sport=source, dport=actor.ask("port"), flags="A", seq=1000, ack=2000, window=512
        )
        actor.craft(layers.IP(src=LOOPBACK, dst=LOOPBACK) / segment)
        actor.tell("answered")

    stage.play(client=client, server=server, stranger=stranger)
