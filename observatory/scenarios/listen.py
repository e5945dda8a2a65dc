"""UNP 4.5: listen() turns a socket passive; from then on the kernel shakes hands by itself."""

from __future__ import annotations

from contextlib import suppress
from socket import SO_ACCEPTCONN, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, accept_until_eof, connected, listening, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

HANDSHAKE = (sent("SYN", "connect", "client"), answered("SYN-ACK"), answered("ACK"))


@behaviour(
    "listen-state",
    section="4.5",
    title="What listen() makes of a socket",
    summary="Bound is not enough: only after listen() are SYNs answered, and by the kernel alone, "
    "before any accept().",
    expects=Expectations(
        calls={
            "server": "bind ok, getsockopt ok, listen ok, getsockopt ok, connect EISCONN, "
            "recv ENOTCONN, accept4 ok, close ok, close ok",
            "client": "connect ECONNREFUSED, connect ok, close ok",
        },
        causes=(answered("RST"), *HANDSHAKE),
    ),
)
def listen_state(stage: Stage) -> None:
    """listen() moves the socket from CLOSED to LISTEN (RFC 9293 3.3.2), and sends nothing. Until
    then the kernel answers a SYN to its port with RST, although the port is bound.

    After it the socket is passive for good: it neither connects (EISCONN on Linux) nor receives
    (ENOTCONN), it only makes new sockets. And the client's connect() succeeds while the server is
    busy elsewhere: the handshake is the kernel's work, accept() merely fetches the result.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind((LOOPBACK, 0))
        listener.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)
        actor.tell("port", port_of(listener))
        actor.ask("refused")
        listener.listen(8)
        listener.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)
        listener.connect_ex((LOOPBACK, actor.unused_port()))
        with suppress(OSError):
            listener.recv(1)
        actor.tell("listening")
        actor.ask("connected")
        accept_until_eof(listener)
        listener.close()

    def client(actor: Actor) -> None:
        address = (LOOPBACK, actor.ask("port"))
        sock = actor.socket()
        sock.connect_ex(address)
        sock.close()
        actor.tell("refused")
        actor.ask("listening")
        sock = actor.socket()
        sock.connect(address)
        actor.tell("connected")
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "listen-connected",
    section="4.5",
    title="listen() on a connected socket",
    summary="A socket is active or passive, not both: EINVAL at either end of the connection.",
    expects=Expectations(
        calls={
            "client": "connect ok, listen EINVAL, close ok",
            "server": "listen ok, accept4 ok, listen EINVAL, listen ok, close ok, close ok",
        },
        causes=HANDSHAKE,
        absent=("RST",),
    ),
)
def listen_connected(stage: Stage) -> None:
    """listen() takes a socket in CLOSED, or in LISTEN, where it only changes the backlog (Linux
    inet_listen); any other state is EINVAL. The connection does not suffer. A server that wants
    more clients has its listening socket for that: accept() has left it as it was.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        with suppress(OSError):
            connection.listen(8)
        listener.listen(16)
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        with suppress(OSError):
            sock.listen(8)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "listen-unbound",
    section="4.5",
    title="listen() without bind()",
    summary="The kernel binds the socket to the wildcard address and a port of its choice; clients "
    "must be told which.",
    expects=Expectations(
        calls={
            "server": "socket ok, listen ok, getsockname ok, accept4 ok, close ok, close ok",
            "client": "connect ok, close ok",
        },
        causes=HANDSHAKE,
        absent=("RST",),
    ),
)
def listen_unbound(stage: Stage) -> None:
    """A server that does not call bind() still gets an address, as a client does from connect():
    0.0.0.0 and an ephemeral port (ip(7), UNP 4.4). That is of use where the clients learn the
    port in another way: RPC servers register theirs with the port mapper, FTP sends it over the
    control connection.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.listen(8)
        _, port = listener.getsockname()
        actor.tell("port", port)
        accept_until_eof(listener)
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.close()

    stage.play(client=client, server=server)
