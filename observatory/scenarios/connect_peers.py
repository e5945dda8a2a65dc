"""UNP 4.3, 8.11, 15.4: connect() that sends nothing, and what becomes of peers and ports."""

from __future__ import annotations

from contextlib import suppress
from socket import AF_UNIX, SOCK_DGRAM
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, connected, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

FIRST_PORT, LAST_PORT = 50000, 50001
SERVER_PORT = 8080  # outside the range that clients are given


@behaviour(
    "connect-unix",
    section="4.3",
    title="connect() to a Unix socket: alive, stale, missing",
    summary="A path with a listener connects, the path that a dead server left behind refuses "
    "(ECONNREFUSED), no path at all is ENOENT.",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ok, send ok, recv ok, close ok, "
            "socket ok, connect ECONNREFUSED, connect ENOENT, close ok",
            "server": "socket ok, bind ok, listen ok, accept4 ok, close ok, close ok",
        },
        absent=("any",),
    ),
)
def connect_unix(stage: Stage) -> None:
    """Unix sockets never touch the network: no segment is captured (unix(7), UNP 15.4). bind()
    makes a file, and closing the socket does not remove it. So a path can outlive its server:
    connect() finds the file, but nobody listens: ECONNREFUSED, as for TCP, though here no RST has
    said so. Without the file there is nothing to find: ENOENT.
    """

    def server(actor: Actor) -> None:
        path = str(actor.folder / "server.sock")
        listener = actor.socket(AF_UNIX)
        listener.bind(path)
        listener.listen(8)
        actor.tell("path", path)
        connection, _ = listener.accept()
        connection.send(connection.recv(100))
        connection.recv(100)
        connection.close()
        listener.close()
        actor.tell("stale")

    def client(actor: Actor) -> None:
        path = actor.ask("path")
        sock = actor.socket(AF_UNIX)
        sock.connect(path)
        sock.send(b"hello")
        sock.recv(100)
        sock.close()
        actor.ask("stale")
        sock = actor.socket(AF_UNIX)
        sock.connect_ex(path)
        sock.connect_ex(path + ".missing")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-udp",
    section="4.3",
    title="connect() on a UDP socket",
    summary="It only remembers the peer and sends nothing. That nobody is there is learnt after "
    "the first datagram, by the call after it.",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ok, getpeername ok, send ok, recv ECONNREFUSED, "
            "send ok, send ECONNREFUSED, close ok"
        },
        causes=(sent("UDP", "send", "client"), answered("ICMP")),
    ),
)
def connect_udp(stage: Stage) -> None:
    """UNP 8.9 and 8.11. connect() looks up a route, chooses the local address and stores the
    peer: it cannot fail because nobody is there, as nobody was asked.

    The datagram to a closed port draws ICMP "port unreachable" from the peer's kernel. send() has
    returned by then, its datagram was sent; the error waits in the socket and is reported, once,
    by the next call, whichever it is: first a recv(), then a send(), whose own datagram is not
    sent. An unconnected socket would hear nothing of it.
    """

    def client(actor: Actor) -> None:
        sock = actor.socket(type=SOCK_DGRAM)
        sock.connect((LOOPBACK, actor.unused_port(type=SOCK_DGRAM)))
        sock.getpeername()
        sock.send(b"anybody there?")
        with suppress(ConnectionRefusedError):
            sock.recv(100)
        sock.send(b"really nobody?")
        with suppress(ConnectionRefusedError):
            sock.send(b"not sent")
        sock.close()

    stage.play(client=client)


@behaviour(
    "connect-dissolve",
    section="4.3",
    title="connect() to AF_UNSPEC",
    summary="A UDP socket forgets its peer, and nothing is sent; a TCP connection is aborted with "
    "RST, and the socket may connect anew.",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ok, connect ok, getpeername ENOTCONN, close ok, "
            "socket ok, connect ok, connect ok, getpeername ENOTCONN, connect ok, close ok",
            "server": "listen ok, accept4 ok, recv ECONNRESET, close ok, accept4 ok, recv ok, "
            "close ok",
        },
        causes=(sent("RST", "connect", "client"), sent("FIN", "close", "client")),
    ),
)
def connect_dissolve(stage: Stage) -> None:
    """An address whose family is AF_UNSPEC takes the peer away (connect(2), UNP 8.11). For UDP
    that is a change in the kernel's own books: nobody else had known of the peer.

    TCP has an agreement with the other side. Linux ends it at once (tcp_disconnect): RST, and the
    server's recv() fails with ECONNRESET. The client's socket is CLOSED, and as good as new: a
    second connect() makes a second connection with the same descriptor.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        aborted, _ = listener.accept()
        actor.tell("accepted")
        with suppress(ConnectionResetError):
            aborted.recv(1)
        aborted.close()
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = actor.socket(type=SOCK_DGRAM)
        sock.connect((LOOPBACK, actor.ask("port")))
        sock.dissolve()
        with suppress(OSError):
            sock.getpeername()
        sock.close()

        sock = connected(actor)
        actor.ask("accepted")
        actor.when_blocked("server", "recv")
        sock.dissolve()
        with suppress(OSError):
            sock.getpeername()
        sock.connect((LOOPBACK, actor.ask("port")))
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-port-exhaustion",
    section="4.3",
    title="connect() when no local port is left",
    summary="With a range of two ports the third connection to the same server fails with "
    "EADDRNOTAVAIL, unsent; to another address there is room again.",
    sysctls={"net.ipv4.ip_local_port_range": f"{FIRST_PORT} {LAST_PORT}"},
    expects=Expectations(
        calls={
            "client": "connect ok, connect ok, connect EADDRNOTAVAIL, connect ok",
            "server": "accept4 ok, accept4 ok, accept4 ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def connect_port_exhaustion(stage: Stage) -> None:
    """A connection is known by its two endpoints (RFC 9293 3.3.1). Towards one server only the
    client's port can differ, so there are never more connections than ports in
    ip_local_port_range (ip(7)); without one left, connect() fails with EADDRNOTAVAIL, and no
    segment is sent. Busy proxies meet this, not least for the ports still held in TIME-WAIT.

    The same ports serve again for a server with another address: 127.0.0.2 instead of 127.0.0.1.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind(("0.0.0.0", SERVER_PORT))
        listener.listen(8)
        actor.tell("listening")
        connections = [listener.accept()[0] for _ in range(3)]
        for connection in connections:
            connection.recv(1)
            connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.ask("listening")
        socks = [actor.socket() for _ in range(FIRST_PORT, LAST_PORT + 1)]
        for sock in socks:
            sock.connect((LOOPBACK, SERVER_PORT))
        one_more = actor.socket()
        one_more.connect_ex((LOOPBACK, SERVER_PORT))
        one_more.connect_ex(("127.0.0.2", SERVER_PORT))
        for sock in (*socks, one_more):
            sock.close()

    stage.play(client=client, server=server)
