"""UNP 4.4: bind() gives a socket its own address, and sends nothing."""

from __future__ import annotations

from contextlib import suppress
from socket import SO_REUSEADDR, SOCK_DGRAM, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

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
            "client": "connect ok, close ok, connect ok, close ok",
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
