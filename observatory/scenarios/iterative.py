"""UNP 4.8 and 8.4: a UDP server needs neither accept() nor fork(): one socket serves all."""

from __future__ import annotations

from socket import AF_INET6, SOCK_DGRAM
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent
from observatory.scenarios.parts import port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor, Part
    from observatory.lab.stage import Stage

LOOPBACK_V6 = "::1"


@behaviour(
    "udp-iterative-server",
    section="4.8",
    title="An iterative server over UDP and IPv6",
    summary="One process, one socket, several clients: recvfrom() tells who asked, sendto() "
    "answers that one.",
    expects=Expectations(
        calls={
            "server": "socket ok, bind ok, recvfrom ok, sendto ok, recvfrom ok, sendto ok, "
            "recvfrom ok, sendto ok, close ok",
            "client1": "socket ok, sendto ok, recvfrom ok, close ok",
            "client2": "socket ok, sendto ok, recvfrom ok, close ok",
        },
        causes=(
            sent("UDP", "sendto", "client1"),
            sent("UDP", "sendto", "client3"),
            sent("UDP", "sendto", "server"),
        ),
        absent=("SYN", "FIN", "RST", "ICMP"),
    ),
)
def udp_iterative_server(stage: Stage) -> None:
    """UDP has no connections (RFC 768): no handshake goes before the first datagram, nothing
    follows the last, and close() sends nothing. Most UDP servers are iterative (UNP 8.4): all
    datagrams for the port wait in one receive buffer, the server takes one after the other, and
    the address that recvfrom() returns with each is all it knows of the client.
    """

    def server(actor: Actor) -> None:
        sock = actor.socket(AF_INET6, SOCK_DGRAM)
        sock.bind((LOOPBACK_V6, 0))
        actor.tell("port", port_of(sock))
        actor.ask("all asked")
        for _ in range(3):
            request, client_address = sock.recvfrom(100)
            sock.sendto(b"reply to " + request, client_address)
        sock.close()

    def client(number: int) -> Part:
        def play(actor: Actor) -> None:
            sock = actor.socket(AF_INET6, SOCK_DGRAM)
            port = actor.ask("port")
            if number > 1:
                actor.ask(f"client {number - 1} asked")
            sock.sendto(b"request %d" % number, (LOOPBACK_V6, port))
            actor.tell(f"client {number} asked" if number < 3 else "all asked")
            sock.recvfrom(100)
            sock.close()

        return play

    stage.play(client1=client(1), client2=client(2), client3=client(3), server=server)
