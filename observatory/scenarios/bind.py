"""UNP 4.4: bind() gives a socket its own address, and sends nothing."""

from __future__ import annotations

from contextlib import suppress
from socket import SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

NOT_OURS = "192.0.2.1"  # RFC 5737: no address of anybody
RESERVED_PORT = 1023


@behaviour(
    "bind-wildcard",
    section="4.4",
    title="bind() to 0.0.0.0",
    summary="The listener takes connections to every address of the host; each accepted socket "
    "knows the one that its client used.",
    expects=Expectations(
        calls={
            "server": "bind ok, getsockname ok, listen ok, accept4 ok, getsockname ok, "
            "accept4 ok, getsockname ok",
            "client": "connect ok, connect ok, close ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def bind_wildcard(stage: Stage) -> None:
    """INADDR_ANY leaves the local address open (UNP 4.4). The listener's own name stays
    0.0.0.0:port for as long as it lives. A connection has to have a real address at either end:
    it is the destination of the client's SYN, 127.0.0.1 the first time, 127.0.0.2 the second, and
    the server learns it with getsockname() on the accepted socket (UNP 4.10).
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind(("0.0.0.0", 0))
        listener.getsockname()
        listener.listen(8)
        actor.tell("port", port_of(listener))
        for _ in range(2):
            connection, _ = listener.accept()
            connection.getsockname()
            connection.recv(1)
            connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        for address in ("127.0.0.1", "127.0.0.2"):
            sock = actor.socket()
            sock.connect((address, actor.ask("port")))
            sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "bind-ephemeral",
    section="4.4",
    title="bind() to port 0",
    summary="The kernel chooses a free port; only getsockname() tells which.",
    expects=Expectations(
        calls={
            "program": "bind ok, getsockname ok, bind ok, getsockname ok, bind ok, getsockname ok"
        },
        absent=("any",),
    ),
)
def bind_ephemeral(stage: Stage) -> None:
    """bind() does not return the port: its argument is const (UNP 4.4), so one asks with
    getsockname(). The ports come from ip_local_port_range (ip(7)). TCP and UDP have port numbers
    of their own each: the third socket may take, for UDP, the very number of the first.
    """

    def program(actor: Actor) -> None:
        one = actor.socket()
        one.bind((LOOPBACK, 0))
        _, port = one.getsockname()
        other = actor.socket()
        other.bind((LOOPBACK, 0))
        other.getsockname()
        datagrams = actor.socket(type=SOCK_DGRAM)
        datagrams.bind((LOOPBACK, port))
        datagrams.getsockname()
        for sock in (one, other, datagrams):
            sock.close()

    stage.play(program=program)


@behaviour(
    "bind-address-in-use",
    section="4.4",
    title="bind() to a port where somebody listens",
    summary="EADDRINUSE, with SO_REUSEADDR too: that option does not help against a listener; "
    "another address of the host is free.",
    expects=Expectations(
        calls={
            "server": "bind ok, listen ok, close ok",
            "rival": "socket ok, bind EADDRINUSE, setsockopt ok, bind EADDRINUSE, bind EADDRINUSE, "
            "bind ok, close ok",
        },
        absent=("any",),
    ),
)
def bind_address_in_use(stage: Stage) -> None:
    """Two listeners on one port would leave open whose a connection is. So the kernel refuses:
    the same address, and the wildcard as well, which contains it (UNP 7.5). SO_REUSEADDR allows
    what is harmless, a port whose only users are connections or TIME-WAIT, but no second
    listener (socket(7)). The same port on 127.0.0.2 is another address: free.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        actor.ask("done")
        listener.close()

    def rival(actor: Actor) -> None:
        port = actor.ask("port")
        sock = actor.socket()
        with suppress(OSError):
            sock.bind((LOOPBACK, port))
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        with suppress(OSError):
            sock.bind((LOOPBACK, port))
        with suppress(OSError):
            sock.bind(("0.0.0.0", port))
        sock.bind(("127.0.0.2", port))
        sock.close()
        actor.tell("done")

    stage.play(rival=rival, server=server)


@behaviour(
    "bind-address-not-available",
    section="4.4",
    title="bind() to an address of another host",
    summary="One's own address must be one's own: EADDRNOTAVAIL.",
    expects=Expectations(
        calls={"program": "socket ok, bind EADDRNOTAVAIL, bind ok, close ok"},
        absent=("any",),
    ),
)
def bind_address_not_available(stage: Stage) -> None:
    """bind() names the local end, so the address must be that of one of the host's interfaces
    (bind(2), UNP 4.4); the kernel looks it up in its own tables. Every address in 127.0.0.0/8
    belongs to loopback. The failed call leaves the socket as it was: it may be bound after all.
    """

    def program(actor: Actor) -> None:
        sock = actor.socket()
        with suppress(OSError):
            sock.bind((NOT_OURS, 0))
        sock.bind(("127.1.2.3", 0))
        sock.close()

    stage.play(program=program)


@behaviour(
    "bind-privileged-port",
    section="4.4",
    title="bind() to a port below 1024 without privilege",
    summary="Reserved ports take CAP_NET_BIND_SERVICE: EACCES.",
    expects=Expectations(
        calls={"program": "socket ok, bind EACCES, bind ok, close ok"},
        absent=("any",),
    ),
)
def bind_privileged_port(stage: Stage) -> None:
    """Ports below ip_unprivileged_port_start (1024) are for privileged processes (ip(7), UNP
    2.9): who connects to one may believe that the host's administrator answers. The actors of
    this stage have given up every capability, root included, so the kernel says EACCES before it
    looks whether the port is free. One port higher, nobody asks.
    """

    def program(actor: Actor) -> None:
        sock = actor.socket()
        for port in (RESERVED_PORT, RESERVED_PORT + 1):
            with suppress(OSError):
                sock.bind((LOOPBACK, port))
        sock.close()

    stage.play(program=program)


@behaviour(
    "bind-twice",
    section="4.4",
    title="bind() on a socket that is bound",
    summary="A socket is named once: the second bind() fails with EINVAL.",
    expects=Expectations(
        calls={"program": "bind ok, bind EINVAL, getsockname ok, close ok"},
        absent=("any",),
    ),
)
def bind_twice(stage: Stage) -> None:
    """EINVAL: "The socket is already bound to an address" (bind(2)), the same address or any
    other. The name can only be given up along with the socket, by close(); so also after
    connect() or listen() have chosen one. Here getsockname() shows that the first name stands.
    """

    def program(actor: Actor) -> None:
        sock = actor.socket()
        sock.bind((LOOPBACK, 0))
        with suppress(OSError):
            sock.bind((LOOPBACK, 0))
        sock.getsockname()
        sock.close()

    stage.play(program=program)


@behaviour(
    "bind-time-wait",
    section="4.4",
    title="bind() to a port whose last connection is in TIME-WAIT",
    summary="The server closed first and starts anew: EADDRINUSE, until SO_REUSEADDR allows it.",
    expects=Expectations(
        calls={
            "server": "setsockopt ok, bind ok, listen ok, accept4 ok, close ok, close ok, recv ok, "
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
