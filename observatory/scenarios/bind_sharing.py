"""UNP 4.4 and 7.5: one port, several sockets, and when bind() allows it."""

from __future__ import annotations

from contextlib import suppress
from socket import SO_REUSEADDR, SO_REUSEPORT, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket


@behaviour(
    "bind-time-wait",
    section="4.4",
    title="bind() to a port whose last connection is in TIME-WAIT",
    summary="The server closed first and starts anew: EADDRINUSE, until SO_REUSEADDR allows it.",
    expects=Expectations(
        calls={
            "server": "setsockopt ok, bind ok, listen ok, accept4 ok, close ok, close ok, "
            "socket ok, bind EADDRINUSE, setsockopt ok, bind ok, listen ok, close ok",
            "client": "connect ok, recv ok, close ok",
        },
        causes=(sent("FIN", "close", "server"), sent("FIN", "close", "client")),
        absent=("RST",),
    ),
)
def bind_time_wait(stage: Stage) -> None:
    """The side that closes first keeps the connection in TIME-WAIT (60 s on Linux), so that late
    segments cannot disturb a successor (RFC 9293 3.6.1, UNP 2.7). If that is the server, its port
    looks taken when it starts again. "All TCP servers should specify SO_REUSEADDR" (UNP 7.5): a
    connection in TIME-WAIT then does not keep the port.

    The option counts on both sides: Linux asks for it on the socket that left the connection
    behind as well.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, 0))
        listener.listen(8)
        address = (LOOPBACK, port_of(listener))
        actor.tell("port", address[1])
        connection, _ = listener.accept()
        connection.close()
        listener.close()
        actor.when_ended("client")

        anew = actor.socket()
        with suppress(OSError):
            anew.bind(address)
        anew.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        anew.bind(address)
        anew.listen(8)
        anew.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.recv(1)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "bind-reuseport",
    section="4.4",
    title="Several listeners on one port: SO_REUSEPORT",
    summary="With the option on each of them two sockets share the port, and the kernel deals out "
    "the connections; a third without it gets EADDRINUSE.",
    expects=Expectations(
        calls={
            "server": "setsockopt ok, bind ok, listen ok, setsockopt ok, bind ok, listen ok, "
            "bind EADDRINUSE, accept4 ok, accept4 ok, accept4 ok, accept4 ok",
            "client": "connect ok, connect ok, connect ok, connect ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def bind_reuseport(stage: Stage) -> None:
    """socket(7): all must have set SO_REUSEPORT before bind() and belong to one user, lest a
    stranger steal connections. Then each listener has a queue of its own, and which of them a
    connection joins is decided as its SYN arrives, by a hash over both endpoints. Servers with a
    process for each processor share their load so, without waking each other.
    """

    def sharing(actor: Actor, port: int) -> InstrumentedSocket:
        listener = actor.socket()
        listener.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(8)
        listener.setblocking(False)
        return listener

    def server(actor: Actor) -> None:
        one = sharing(actor, 0)
        other = sharing(actor, port_of(one))
        third = actor.socket()
        with suppress(OSError):
            third.bind((LOOPBACK, port_of(one)))
        third.close()
        actor.tell("port", port_of(one))
        actor.ask("connected")
        for listener in (one, other):
            with suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    connection.recv(1)
                    connection.close()
        one.close()
        other.close()

    def client(actor: Actor) -> None:
        socks = [connected(actor) for _ in range(4)]
        for sock in socks:
            sock.close()
        actor.tell("connected")

    stage.play(client=client, server=server)


@behaviour(
    "bind-client-port",
    section="4.4",
    title="bind() in a client",
    summary="connect() keeps the port that bind() gave; a second socket may share the port, but "
    "not the connection: EADDRNOTAVAIL.",
    expects=Expectations(
        calls={
            "client": "setsockopt ok, bind ok, connect ok, setsockopt ok, bind ok, "
            "connect EADDRNOTAVAIL, close ok, close ok",
            "server": "listen ok, accept4 ok, recv ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def bind_client_port(stage: Stage) -> None:
    """A client seldom calls bind(): connect() chooses a port. One that does (UNP 4.4; rlogin had
    to come from a reserved port) sends its SYN from there, and the server sees it.

    With SO_REUSEADDR another socket binds the same port. To the same server it would make the
    same connection, four numbers that are all equal, so connect() refuses before it sends
    anything: EADDRNOTAVAIL.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        server_address = (LOOPBACK, actor.ask("port"))
        sock = actor.socket()
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, 0))
        sock.connect(server_address)
        double = actor.socket()
        double.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        double.bind((LOOPBACK, port_of(sock)))
        double.connect_ex(server_address)
        double.close()
        sock.close()

    stage.play(client=client, server=server)
