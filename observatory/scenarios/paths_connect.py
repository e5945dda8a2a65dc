"""connect() over a path of several hosts: what the network between them does to it (UNP 4.3)."""

from __future__ import annotations

from observatory.lab.actor import Actor
from observatory.lab.playing import Stage
from observatory.scenarios.catalogue import behaviour

PORT = 7007


@behaviour(
    "connect-over-router",
    section="4.3",
    title="connect() to a server behind a router",
    summary="The three segments of the handshake pass a router on their way; connect() returns "
    "when the SYN-ACK is back.",
    lab="routed",
)
def connect_over_router(stage: Stage) -> None:
    def server(actor: Actor) -> None:
        with actor.socket() as listener:
            listener.bind((actor.address(), PORT))
            listener.listen()
            actor.tell("listening")
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)

    def client(actor: Actor) -> None:
        actor.ask("listening")
        with actor.socket() as sock:
            sock.connect((actor.address("server"), PORT))
            sock.sendall(b"hello")

    stage.play(server=server, client=client)
