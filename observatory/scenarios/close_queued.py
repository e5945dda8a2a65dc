"""UNP 4.9: close() returns at once; what is still to be sent is the kernel's business then."""

from __future__ import annotations

from socket import SO_RCVBUF, SOL_SOCKET
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent
from observatory.scenarios.parts import LOOPBACK, connected, port_of

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

MORE_THAN_THE_WINDOW = 20_000


@behaviour(
    "close-queued-data",
    section="4.9",
    title="close() with data that are still to be sent",
    summary="close() does not wait: the rest goes out as the server makes room, and the FIN after "
    "it, when the client's process has long closed.",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, close ok",
            "server": "accept4 ok, recv ok, recv ok, close ok",
        },
        # When a held back FIN was let go may be shown by the time alone.
        causes=(sent("data", "send", "client"), sent("FIN", "close", "client", likely=True)),
        absent=("RST",),
    ),
)
def close_queued_data(stage: Stage) -> None:
    """UNP 4.9: TCP "will try to send any data that is already queued to be sent to the other end,
    and after this occurs, the normal TCP connection termination sequence takes place". The
    server's buffer is small and nobody reads, so most of the data wait in the client's kernel when
    close() returns. They arrive all the same. Had the client's host crashed, or the server reset
    the connection, nobody would have been told: the process has no descriptor left to be told by.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
        listener.bind((LOOPBACK, 0))
        listener.listen(8)
        actor.tell("port", port_of(listener))
        connection, _ = listener.accept()
        actor.ask("closed")
        while connection.recv(65536):
            pass
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        sock.send(bytes(MORE_THAN_THE_WINDOW))
        sock.close()
        actor.tell("closed")

    stage.play(client=client, server=server)
