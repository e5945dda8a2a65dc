"""UNP 15.5: the same client and server over TCP and over a Unix domain stream."""

from __future__ import annotations

from socket import AF_INET, AF_UNIX
from socket import socket as plain_socket
from typing import TYPE_CHECKING, Any

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

CONVERSATION = "socket ok, connect ok, send ok, recv ok, recv ok, close ok"
SERVICE = "socket ok, bind ok, listen ok, accept4 ok, recv ok, send ok, close ok, close ok"


@behaviour(
    "unix-stream-beside-tcp",
    section="15.5",
    title="One conversation over TCP, and the same over a Unix stream",
    summary="Call for call the same on both sides, results included; only the first is ever seen "
    "on the wire.",
    expects=Expectations(
        calls={
            "client": f"{CONVERSATION}, {CONVERSATION}",
            "server": f"{SERVICE}, {SERVICE}",
        },
        causes=(
            sent("SYN", "connect", "client"),
            answered("SYN-ACK"),
            sent("data", "send", "client"),
            sent("data", "send", "server"),
        ),
        absent=("RST",),
    ),
)
def unix_stream_beside_tcp(stage: Stage) -> None:
    """A protocol family is an argument of socket() and a kind of address; the rest of the API
    does not ask which it is (UNP 15.1, 15.5). Over TCP each step has its segments, over the Unix
    stream the kernel moves the bytes from one buffer to the other: there is no network to be seen
    on. The TCP conversation comes first, and shows that the capture would have seen anything.
    """

    def serve(actor: Actor, family: int, address: Any) -> None:
        listener = actor.socket(family)
        listener.bind(address)
        listener.listen(8)
        actor.tell(f"name {family}", plain_socket.getsockname(listener))
        connection, _ = listener.accept()
        connection.send(connection.recv(100))
        connection.close()
        listener.close()

    def talk(actor: Actor, family: int) -> None:
        address = actor.ask(f"name {family}")
        sock = actor.socket(family)
        sock.connect(tuple(address) if family == AF_INET else address)
        sock.send(b"hello")
        while sock.recv(100):
            pass
        sock.close()

    def server(actor: Actor) -> None:
        serve(actor, AF_INET, (LOOPBACK, 0))
        actor.ask("done over TCP")
        serve(actor, AF_UNIX, str(actor.folder / "server.sock"))

    def client(actor: Actor) -> None:
        talk(actor, AF_INET)
        actor.tell("done over TCP")
        talk(actor, AF_UNIX)

    stage.play(client=client, server=server)
