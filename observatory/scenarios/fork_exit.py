"""UNP 4.8: a child that just exits has closed its descriptors all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, sent
from observatory.scenarios.parts import connected, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage


@behaviour(
    "fork-child-exits",
    section="4.8",
    title="The child exits without close()",
    summary="The parent has closed the connected socket, the child serves and exits: the exit "
    "closes its descriptors, and sends the FIN.",
    expects=Expectations(
        calls={
            "server": "accept4 ok, fork ok, close ok, close ok",
            "server.1": "send ok, exit …",
            "client": "connect ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "server.1"), sent("FIN", "exit", "server.1")),
        absent=("RST",),
    ),
)
def fork_child_exits(stage: Stage) -> None:
    """UNP 4.8, of close() in the child: "This is not required since the next statement calls exit,
    and part of process termination is to close all open descriptors by the kernel".
    The child holds the listening socket too; giving that up says nothing to anybody, for the
    parent has it as well.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()

        def serve(child: Actor) -> None:
            child.ask("parent closed")
            connection.send(b"all there is to say")
            child.exit()

        pid = actor.fork(serve)
        connection.close()
        actor.tell("parent closed")
        actor.wait(pid)
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        while sock.recv(100):
            pass
        sock.close()

    stage.play(client=client, server=server)
