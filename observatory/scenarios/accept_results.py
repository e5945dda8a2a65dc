"""UNP 4.5, 4.6: what accept() hands over with a connection: its data so far, its client's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import connected, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

WHOLE = 128  # sizeof(struct sockaddr_storage)
TOO_LITTLE = 4  # of the 16 bytes of a struct sockaddr_in


@behaviour(
    "accept-queued-data",
    section="4.5",
    title="Data that arrive before accept()",
    summary="The kernel acknowledges and keeps them with the connection in the queue; the first "
    "recv() after accept() has them at once.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, send ok, recv ok, close ok",
            "server": "listen ok, accept4 ok, recv ok, close ok, close ok",
        },
        causes=(
            sent("SYN", "connect", "client"),
            answered("SYN-ACK"),
            sent("data", "send", "client"),
        ),
        absent=("RST",),
    ),
)
def accept_queued_data(stage: Stage) -> None:
    """To TCP a connection in the accept queue is ESTABLISHED: it has a receive buffer and a
    window, and data are acknowledged before any process has the socket (UNP 4.5). So send()
    works, and the server reads the request as soon as it has accepted, both parts of it with one
    recv().
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        actor.ask("acknowledged")
        connection, _ = listener.accept()
        connection.recv(100)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(b"a request ")
        sock.send(b"in two parts")
        actor.when_acknowledged(sock)
        actor.tell("acknowledged")
        sock.recv(100)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "accept-address-argument",
    section="4.6",
    title="accept() with much, little and no room for the client's address",
    summary="The length is a value-result argument: the room that there is goes in, the address's "
    "true length comes out. Two null pointers ask for nothing.",
    expects=Expectations(
        calls={
            "client": "connect ok, connect ok, connect ok, close ok, close ok, close ok",
            "server": "listen ok, accept4 ok, accept4 ok, accept4 ok, getpeername ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def accept_address_argument(stage: Stage) -> None:
    """The kernel writes no more than there is room for, and says how long the address is (UNP
    4.6, 3.3): 16 for IPv4, whether 128 bytes were offered or 4. A server that does not care who
    calls passes null pointers; the connection is as good, and getpeername() still tells.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        actor.ask("connected")
        connections = [listener.accept_with_room(room) for room in (WHOLE, TOO_LITTLE, None)]
        connections[-1].getpeername()
        for connection in connections:
            connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        socks = [connected(actor) for _ in range(3)]
        actor.tell("connected")
        for sock in socks:
            sock.recv(1)
        for sock in socks:
            sock.close()

    stage.play(client=client, server=server)
