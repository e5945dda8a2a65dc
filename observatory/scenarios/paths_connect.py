"""UNP 4.3: connect() over a path of several hosts, of which each sees the segments pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

PORT = 7007


@behaviour(
    "connect-over-router",
    section="4.3",
    title="connect() to a server behind a router",
    summary="The three segments of the handshake pass a router on their way; connect() returns "
    "when the SYN-ACK is back.",
    lab="routed",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ok, send ok, close ok",
            "server": "bind ok, listen ok, accept4 ok, recv ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), sent("data", "send", "client")),
        absent=("RST", "ICMP"),
    ),
)
def connect_over_router(stage: Stage) -> None:
    """What a router does to a connection that works: nothing that its ends could tell. It takes
    no part in the handshake, has no socket and no state; each segment is seen four times, where it
    leaves its host, where it comes to the router, where it leaves that and where it arrives.
    """

    def server(actor: Actor) -> None:
        with actor.socket() as listener:
            listener.bind((actor.address(), PORT))
            listener.listen()
            actor.tell("listening")
            connection, _ = listener.accept()
            with connection:
                while connection.recv(100):
                    pass

    def client(actor: Actor) -> None:
        actor.ask("listening")
        with actor.socket() as sock:
            sock.connect((actor.address("server"), PORT))
            sock.sendall(b"hello")

    stage.play(server=server, client=client)
