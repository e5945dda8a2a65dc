"""UNP 4.3: the states that connect() takes a socket through, as the program itself is told them."""

from __future__ import annotations

from select import POLLOUT
from socket import IPPROTO_TCP, SOCK_NONBLOCK, SOCK_STREAM, TCP_INFO
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent, timed
from observatory.scenarios.parts import (
    LOOPBACK,
    accept_until_eof,
    connected,
    listening,
)

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

STATE_ONLY = 1  # tcpi_state is the first byte of struct tcp_info (linux/tcp.h)


@behaviour(
    "connect-states",
    section="4.3",
    title="A program asks for the state of its own socket",
    summary="TCP_INFO says CLOSED before connect(), SYN-SENT while the SYN is unanswered, "
    "ESTABLISHED when the connection is there.",
    slow=True,
    expects=Expectations(
        calls={
            "client": "socket ok, getsockopt ok, connect EINPROGRESS, getsockopt ok, poll ok, "
            "getsockopt ok, close ok",
            "server": "listen ok, accept4 ok, accept4 ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), timed("SYN")),
        absent=("RST",),
    ),
)
def connect_states(stage: Stage) -> None:
    """UNP 4.3 names the states that connect() moves through, and tcp(7) has an option that tells
    them: TCP_INFO, whose first byte is 7 for CLOSED, 2 for SYN-SENT, 1 for ESTABLISHED (the
    kernel's tcp_states.h). SYN-SENT lasts here, for the SYN finds the accept queue full and is
    dropped; when the server has made room, the one that is sent again a second later succeeds.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor, backlog=0)
        actor.when_blocked("client", "poll")
        accept_until_eof(listener)
        accept_until_eof(listener)
        listener.close()

    def first(actor: Actor) -> None:
        sock = connected(actor)
        actor.tell("queue is full")
        actor.when_blocked("client", "poll")
        sock.close()

    def client(actor: Actor) -> None:
        actor.ask("queue is full")
        sock = actor.socket(type=SOCK_STREAM | SOCK_NONBLOCK)
        ask(sock)
        sock.connect_ex((LOOPBACK, actor.ask("port")))
        ask(sock)
        actor.poll([(sock, POLLOUT)])
        ask(sock)
        sock.close()

    def ask(sock: InstrumentedSocket) -> None:
        sock.getsockopt(IPPROTO_TCP, TCP_INFO, STATE_ONLY)

    stage.play(client=client, first=first, server=server)
