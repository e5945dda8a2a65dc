"""UNP 4.3: connect() begins the three-way handshake and returns when it knows the outcome."""

from __future__ import annotations

from socket import AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

HANDSHAKE = (sent("SYN", "connect", "client"), answered("SYN-ACK"), answered("ACK"))
BOTH_CLOSE = (sent("FIN", "close", "client"), sent("FIN", "close", "server"))


@behaviour(
    "connect-established",
    section="4.3",
    title="connect() to a server that listens",
    summary="connect() sends the SYN and sleeps until the SYN-ACK is there; accept() returns with "
    "the ACK.",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ok, getsockname ok, getpeername ok, close ok",
            "server": "socket ok, bind ok, listen ok, accept4 ok, recv ok, close ok, close ok",
        },
        causes=HANDSHAKE + BOTH_CLOSE,
        absent=("RST",),
    ),
)
def connect_established(stage: Stage) -> None:
    """The three-way handshake (RFC 9293 3.5, UNP 2.6). Only the first of its segments is the
    doing of a process: connect() sends the SYN. The SYN-ACK and the ACK are sent by the two
    kernels, each as the answer to what has just arrived.

    So connect() returns after one round trip, when the SYN-ACK is in, while accept() returns
    another half round trip later. The client never called bind(): connect() chose its address
    and port, as getsockname() shows.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.when_blocked("server", "accept")
        sock = connected(actor)
        sock.getsockname()
        sock.getpeername()
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-refused",
    section="4.3",
    title="connect() to a port nobody listens on",
    summary="The server's kernel answers the SYN with RST, and connect() fails at once with "
    "ECONNREFUSED.",
    expects=Expectations(
        calls={"client": "socket ok, connect ECONNREFUSED, getsockname ok, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("RST")),
        absent=("SYN-ACK", "FIN"),
    ),
)
def connect_refused(stage: Stage) -> None:
    """A SYN for a port without a listener is answered with RST (RFC 9293 3.10.7.1), a "hard
    error" (UNP 4.3): connect() gives up at once, without a second try.

    There is no server process in this play: the kernel answers by itself. The failed connect()
    has given the socket a port all the same, which getsockname() still tells. close() then has
    nothing to send: there never was a connection.
    """

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.connect_ex((LOOPBACK, actor.unused_port()))
        sock.getsockname()
        sock.close()

    stage.play(client=client)


@behaviour(
    "connect-retry-after-refused",
    section="4.3",
    title="connect() again on the socket that was refused",
    summary="On Linux the socket is as good as new: once the server listens, the same descriptor "
    "connects.",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ECONNREFUSED, connect ok, close ok",
            "server": "socket ok, bind ok, listen ok, accept4 ok",
        },
        causes=(answered("RST"), *HANDSHAKE, *BOTH_CLOSE),
    ),
)
def connect_retry_after_refused(stage: Stage) -> None:
    """A socket that is bound but does not listen refuses as if there were none: the first SYN is
    answered with RST.

    UNP 4.3 warns that after a failed connect() the socket must be closed and made anew, and POSIX
    leaves its state unspecified. Linux puts it back into CLOSED, so the second connect() sends a
    new SYN with a new initial sequence number: in the report it is a second connection.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind((LOOPBACK, 0))
        actor.tell("port", port_of(listener))
        actor.ask("refused")
        listener.listen(1)
        actor.tell("listening")
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        address = (LOOPBACK, actor.ask("port"))
        sock = actor.socket()
        sock.connect_ex(address)
        actor.tell("refused")
        actor.ask("listening")
        sock.connect(address)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-already-connected",
    section="4.3",
    title="connect() on a socket that is connected",
    summary="A TCP socket has one peer for life: another connect() fails with EISCONN, and sends "
    "nothing.",
    expects=Expectations(
        calls={
            "client": "connect ok, connect EISCONN, connect EISCONN, close ok",
            "server": "listen ok, accept4 ok, connect EISCONN, close ok, close ok",
        },
        causes=HANDSHAKE + BOTH_CLOSE,
        absent=("RST",),
    ),
)
def connect_already_connected(stage: Stage) -> None:
    """EISCONN whatever the address is: the same peer, or any other (connect(2)). The kernel looks
    at the socket's state and nothing else, so no segment is sent. The side that accepted is
    connected just as well. Only connect() to AF_UNSPEC would end it (see connect-dissolve).
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, client_address = listener.accept()
        connection.connect_ex(client_address)
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.connect_ex((LOOPBACK, actor.ask("port")))
        sock.connect_ex((LOOPBACK, actor.unused_port()))
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-self",
    section="4.3",
    title="A socket connects to its own port",
    summary="With no server anywhere: the SYN comes back to the socket that sent it, and the "
    "simultaneous open of RFC 9293 makes it its own peer.",
    expects=Expectations(
        calls={"client": "bind ok, connect ok, getpeername ok, send ok, recv ok, close ok"},
        causes=(
            sent("SYN", "connect", "client"),
            answered("SYN-ACK"),
            sent("data", "send", "client"),
            sent("FIN", "close", "client"),
        ),
        absent=("RST",),
    ),
)
def connect_self(stage: Stage) -> None:
    """Both endpoints are the same, so the socket in SYN-SENT receives a SYN: its own. RFC 9293
    3.5 has a rule for two ends that open at the same time (SYN-SENT, SYN-RECEIVED, ESTABLISHED),
    and by it the handshake succeeds. What is sent is received.

    This is no curiosity: a client that tries in vain to reach a local server, on a port from the
    ephemeral range, over and over, is one day given that very port by the kernel, talks to
    itself, and keeps the server from binding it.
    """

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.bind((LOOPBACK, 0))
        sock.connect((LOOPBACK, port_of(sock)))
        sock.getpeername()
        sock.send(b"Is anybody there?")
        sock.recv(100)
        sock.close()

    stage.play(client=client)


@behaviour(
    "connect-ipv6",
    section="4.3",
    title="connect() over IPv6",
    summary="The same handshake between [::1] and [::1]: only the addresses are longer.",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ok, close ok",
            "server": "bind ok, listen ok, accept4 ok, close ok",
        },
        causes=HANDSHAKE + BOTH_CLOSE,
        absent=("RST",),
    ),
)
def connect_ipv6(stage: Stage) -> None:
    """TCP does not care what carries it: the segments, states and errnos are those of IPv4 (RFC
    8200 8.1 changes the checksum alone). The IPv6 socket address has a scope besides the port
    (UNP 3.4), which ::1 does not need.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket(AF_INET6)
        listener.bind(("::1", 0))
        listener.listen(8)
        actor.tell("port", port_of(listener))
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = actor.socket(AF_INET6)
        sock.connect(("::1", actor.ask("port")))
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-v4-mapped",
    section="4.3",
    title="IPv6 sockets that speak IPv4",
    summary="Two AF_INET6 sockets, connected to ::ffff:127.0.0.1: on the wire there is IPv4 alone.",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ok, getpeername ok, close ok",
            "server": "setsockopt ok, bind ok, listen ok, accept4 ok, getpeername ok, close ok",
        },
        causes=HANDSHAKE + BOTH_CLOSE,
        absent=("RST",),
    ),
)
def connect_v4_mapped(stage: Stage) -> None:
    """An IPv4-mapped address says: take IPv4 (RFC 4291 2.5.5.2, UNP 12.4). The server listens on
    :: with IPV6_V6ONLY off (ipv6(7)), so its port takes connections of both kinds, and
    getpeername() shows which one came: an IPv4 client has a mapped address.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket(AF_INET6)
        listener.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
        listener.bind(("::", 0))
        listener.listen(8)
        actor.tell("port", port_of(listener))
        connection, _ = listener.accept()
        connection.getpeername()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = actor.socket(AF_INET6)
        sock.connect(("::ffff:127.0.0.1", actor.ask("port")))
        sock.getpeername()
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-wildcard",
    section="4.3",
    title="connect() to 0.0.0.0",
    summary="The wildcard is no destination: Linux takes it for this host, and the connection "
    "runs over 127.0.0.1.",
    expects=Expectations(
        calls={
            "client": "connect ok, getpeername ok, close ok",
            "server": "listen ok, accept4 ok, close ok",
        },
        causes=HANDSHAKE + BOTH_CLOSE,
        absent=("RST",),
    ),
)
def connect_wildcard(stage: Stage) -> None:
    """In bind() the wildcard means "any of my addresses". In connect() it means nothing, RFC 1122
    3.2.1.3 even forbids it as a destination; BSD and Linux take it for the host itself. The
    kernel puts 127.0.0.1 in its place before anything is sent: neither the wire nor
    getpeername() ever shows 0.0.0.0.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.connect(("0.0.0.0", actor.ask("port")))
        sock.getpeername()
        sock.close()

    stage.play(client=client, server=server)
