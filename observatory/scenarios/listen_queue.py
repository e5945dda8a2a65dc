"""UNP 4.5: the queue of completed connections that listen() makes, and what if it is full."""

from __future__ import annotations

from contextlib import suppress
from select import POLLOUT
from socket import IPPROTO_TCP, SOCK_NONBLOCK, SOCK_STREAM, TCP_DEFER_ACCEPT
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent, timed
from observatory.scenarios.parts import (
    LOOPBACK,
    accept_until_eof,
    connected,
    listening,
    port_of,
)

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

HANDSHAKE = (sent("SYN", "connect", "client"), answered("SYN-ACK"), answered("ACK"))
NO_ANSWER_S = 0.25  # a handshake on loopback takes a thousandth of it
BACKLOGS = range(9)
MANY = 32  # who finds room for so many beyond any backlog here would find it for ever


@behaviour(
    "listen-backlog-sweep",
    section="4.5",
    title="How many connections a backlog of 0 to 8 holds",
    summary="With no accept() the backlog n lets n+1 clients connect on Linux; the next one's SYN "
    "is dropped.",
    expects=Expectations(
        calls={
            "server": "listen ok, close ok, " * len(BACKLOGS),
            "client": ", ".join(
                "connect EINPROGRESS, poll ok, " * (n + 2) + "close ok, " * (n + 2)
                for n in BACKLOGS
            ),
        },
        causes=(*HANDSHAKE, sent("RST", "close", "server")),
        absent=("FIN",),
    ),
)
def listen_backlog_sweep(stage: Stage) -> None:
    """UNP 4.5, figure 4.10, measured anew. For each backlog the client connects again and again,
    without waiting, until one attempt finds no answer within a quarter of a second; nobody
    accepts. Linux compares with "more than", so one more fits than was asked for
    (sk_acceptq_is_full): even a backlog of 0 holds one.

    The attempt that did not get in is given up before its SYN would be sent again. The others
    were whole connections; closing the listener resets them (see listen-close-pending).
    """

    def server(actor: Actor) -> None:
        for backlog in BACKLOGS:
            listener = listening(actor, backlog, name=f"port {backlog}")
            actor.ask(f"full {backlog}")
            listener.close()
            actor.tell(f"closed {backlog}")

    def client(actor: Actor) -> None:
        for backlog in BACKLOGS:
            address = (LOOPBACK, actor.ask(f"port {backlog}"))
            connections: list[InstrumentedSocket] = []
            while len(connections) < MANY and (sock := attempt(actor, address)):
                connections.append(sock)
            actor.tell(f"full {backlog}")
            actor.ask(f"closed {backlog}")
            for sock in connections:
                sock.close()

    def attempt(actor: Actor, address: tuple[str, int]) -> InstrumentedSocket | None:
        sock = actor.socket(type=SOCK_STREAM | SOCK_NONBLOCK)
        sock.connect_ex(address)
        if actor.poll([(sock, POLLOUT)], NO_ANSWER_S):
            return sock
        sock.close()
        return None

    stage.play(client=client, server=server)


@behaviour(
    "listen-backlog-overflow",
    section="4.5",
    title="A client more than the queue holds",
    summary="Its SYN is dropped and connect() waits; once accept() has made room, the SYN that is "
    "sent again a second later succeeds.",
    slow=True,
    expects=Expectations(
        calls={
            "first": "connect ok, close ok",
            "second": "connect ok, close ok",
            "server": "listen ok, accept4 ok, accept4 ok, close ok",
        },
        causes=(
            sent("SYN", "connect", "first"),
            sent("SYN", "connect", "second"),
            timed("SYN"),
            answered("SYN-ACK"),
        ),
        absent=("RST",),
    ),
)
def listen_backlog_overflow(stage: Stage) -> None:
    """A full queue is thought to pass: a RST would make the client report an error that is none,
    and it could not tell "queue full" from "nobody listens" (UNP 4.5). So the kernel drops the
    SYN and counts on the client's TCP to send it again after a second. The price: connect() takes
    a second, although the server made room within a millisecond.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor, backlog=0)
        actor.when_blocked("second", "connect")
        accept_until_eof(listener)
        accept_until_eof(listener)
        listener.close()

    def first(actor: Actor) -> None:
        sock = connected(actor)
        actor.tell("queue is full")
        actor.when_blocked("second", "connect")
        sock.close()

    def second(actor: Actor) -> None:
        actor.ask("queue is full")
        sock = connected(actor)
        sock.close()

    stage.play(first=first, second=second, server=server)


@behaviour(
    "listen-abort-on-overflow",
    section="4.5",
    title="The same with tcp_abort_on_overflow=1",
    summary="A SYN to a full queue is dropped as ever. A RST there is only for a client whose "
    "handshake was under way when the queue became full.",
    sysctls={"net.ipv4.tcp_abort_on_overflow": "1"},
    slow=True,
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, connect ok, connect ok, send ok, send ok, "
            "recv ECONNRESET, close ok, close ok, close ok",
            "late": "connect ok, send ok, close ok",
            "server": "setsockopt ok, listen ok, accept4 ok, accept4 ok, accept4 ok, close ok",
        },
        causes=(
            *HANDSHAKE,
            sent("data", "send", "client"),
            answered("RST"),
            timed("SYN"),
        ),
    ),
)
def listen_abort_on_overflow(stage: Stage) -> None:
    """tcp(7) promises: "If the listening service is too slow to accept new connections, reset
    them". The late client sees nothing of it: its SYN comes to a full queue, is dropped, and its
    connect() waits as in listen-backlog-overflow. A SYN is dropped before the setting is looked
    at (Linux tcp_conn_request).

    The setting counts where a handshake is to be completed (tcp_check_req): the queue had room
    when the SYN came, and has none when the ACK comes. TCP_DEFER_ACCEPT opens that moment wide,
    since the server then goes by the first data instead of the bare ACK. There are two places;
    the first client has one, the data of the second takes the other, the data of the third, who
    was connected all the while, is answered with RST.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.setsockopt(IPPROTO_TCP, TCP_DEFER_ACCEPT, 5)
        listener.bind((LOOPBACK, 0))
        listener.listen(1)
        actor.tell("port", port_of(listener))
        actor.when_blocked("late", "connect")
        for _ in range(3):
            accept_until_eof(listener)
        listener.close()

    def client(actor: Actor) -> None:
        first = connected(actor)
        first.send(b"first")
        actor.when_acknowledged(first)
        second, third = connected(actor), connected(actor)
        second.send(b"second")
        actor.when_acknowledged(second)
        third.send(b"third")
        with suppress(ConnectionResetError):
            third.recv(100)
        actor.tell("queue is full")
        actor.when_blocked("late", "connect")
        for sock in (first, second, third):
            sock.close()

    def late(actor: Actor) -> None:
        actor.ask("queue is full")
        sock = connected(actor)
        sock.send(b"late")
        sock.close()

    stage.play(client=client, late=late, server=server)


@behaviour(
    "listen-close-pending",
    section="4.5",
    title="The listener closes with completed connections in its queue",
    summary="Nobody can accept them any more: close() resets each, and the clients' recv() fails "
    "with ECONNRESET.",
    expects=Expectations(
        calls={
            "client": "connect ok, connect ok, recv ECONNRESET, recv ECONNRESET, close ok",
            "server": "listen ok, close ok",
        },
        causes=(*HANDSHAKE, sent("RST", "close", "server")),
        absent=("FIN",),
    ),
)
def listen_close_pending(stage: Stage) -> None:
    """To the clients these are connections like any other, ESTABLISHED, and one has already been
    sent a request. The server's program has never seen them. Closing the listener leaves them
    without an owner, so the kernel aborts them (Linux inet_csk_listen_stop): one close(), two
    RSTs. A server that restarts loses those clients this way (UNP 4.5).
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        actor.when_blocked("client", "recv")
        listener.close()

    def client(actor: Actor) -> None:
        socks = [connected(actor) for _ in range(2)]
        socks[0].send(b"request")
        for sock in socks:
            with suppress(ConnectionResetError):
                sock.recv(100)
        for sock in socks:
            sock.close()

    stage.play(client=client, server=server)
