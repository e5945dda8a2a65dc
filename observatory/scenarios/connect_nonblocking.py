"""UNP 4.3 and 16.3: connect() that does not wait, and how its outcome is learnt."""

from __future__ import annotations

from select import POLLOUT
from socket import SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import LOOPBACK, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage


@behaviour(
    "connect-nonblocking",
    section="4.3",
    title="connect() on a non-blocking socket",
    summary="connect() sends the SYN and returns EINPROGRESS; poll() waits for the SYN-ACK, "
    "SO_ERROR says 0.",
    expects=Expectations(
        calls={
            "client": "ioctl ok, connect EINPROGRESS, poll ok, getsockopt ok, connect ok, close ok",
            "server": "listen ok, accept4 ok, recv ok, close ok, close ok",
        },
        causes=(
            sent("SYN", "connect", "client"),
            answered("SYN-ACK"),
            answered("ACK"),
            sent("FIN", "close", "client"),
        ),
        absent=("RST",),
    ),
)
def connect_nonblocking(stage: Stage) -> None:
    """EINPROGRESS is no failure: the handshake has begun (connect(2), UNP 16.3). The socket
    becomes writable when it has ended, well or badly, and only SO_ERROR tells which. Another
    connect() then succeeds on Linux, once, as a report of the same; after it there is EISCONN.

    On loopback the SYN-ACK is there before connect() has returned, and still it says EINPROGRESS:
    the segments wait until the call lets go of the socket.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        address = (LOOPBACK, actor.ask("port"))
        sock = actor.socket()
        sock.setblocking(False)
        sock.connect_ex(address)
        actor.poll([(sock, POLLOUT)])
        sock.getsockopt(SOL_SOCKET, SO_ERROR)
        sock.connect_ex(address)
        sock.connect_ex(address)
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "connect-nonblocking-refused",
    section="4.3",
    title="A non-blocking connect() that is refused",
    summary="connect() returns EINPROGRESS before it can know; poll() reports an error, and "
    "SO_ERROR names it once: ECONNREFUSED.",
    expects=Expectations(
        calls={
            "client": "ioctl ok, connect EINPROGRESS, poll ok, getsockopt ok, getsockopt ok, "
            "getpeername ENOTCONN, close ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("RST")),
        absent=("SYN-ACK", "FIN"),
    ),
)
def connect_nonblocking_refused(stage: Stage) -> None:
    """The RST that ends the attempt finds nobody inside connect(), so the kernel keeps
    ECONNREFUSED as the socket's pending error. poll() shows POLLERR and POLLHUP along with
    POLLOUT: a socket that failed is "writable" too, which is why POLLOUT alone proves nothing
    (UNP 16.3). Asking for SO_ERROR takes the error away: the second time it is 0 (socket(7)).
    """

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.setblocking(False)
        sock.connect_ex((LOOPBACK, actor.unused_port()))
        actor.poll([(sock, POLLOUT)])
        sock.getsockopt(SOL_SOCKET, SO_ERROR)
        sock.getsockopt(SOL_SOCKET, SO_ERROR)
        try:
            sock.getpeername()
        except OSError:
            sock.close()

    stage.play(client=client)
