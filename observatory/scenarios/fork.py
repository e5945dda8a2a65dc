"""UNP 4.7, 4.8: descriptors are shared by fork() and kept by exec; the last one out closes."""

from __future__ import annotations

from contextlib import suppress
from select import POLLIN
from signal import SIGTERM
from socket import SHUT_WR
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent
from observatory.scenarios.parts import connected, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor, Part
    from observatory.lab.stage import Stage


@behaviour(
    "fork-shared-descriptor",
    section="4.7",
    title="Parent and child share a connection; only the last close() ends it",
    summary="The parent's close() sends nothing, for the child still holds the socket; the child's "
    "sends the FIN.",
    expects=Expectations(
        calls={
            "server": "accept4 ok, fork ok, close ok",
            "server.1": "send ok, close ok",
            "client": "connect ok, recv ok, recv ok, close ok",
        },
        causes=(sent("FIN", "close", "server.1"), sent("data", "send", "server.1")),
        absent=("RST",),
    ),
)
def fork_shared_descriptor(stage: Stage) -> None:
    """fork() copies the descriptor table, not the sockets: after it two descriptors, one in each
    process, name one socket (fork(2), UNP figures 4.15 and 4.16). close() only gives up a name;
    TCP hears of it when the last one is gone. So the parent's close() is silent, the child talks
    on, and the FIN is the child's.
    """

    def child(actor: Actor) -> None:
        actor.ask("parent closed")
        connection[0].send(b"from the child")
        connection[0].close()

    connection = []

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection.append(listener.accept()[0])
        pid = actor.fork(child)
        connection[0].close()
        actor.tell("parent closed")
        actor.wait(pid)
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        while sock.recv(100):
            pass
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "fork-concurrent-server",
    section="4.8",
    title="A concurrent server: one child for each client",
    summary="Three clients at once; the parent goes on accepting while each child talks to its "
    "own client, and the client that came first is served last.",
    expects=Expectations(
        calls={
            "server": "listen ok, accept4 ok, fork ok, close ok, accept4 ok, fork ok, close ok, "
            "accept4 ok, fork ok, close ok",
            "server.1": "close ok, recv ok, send ok, close ok",
            "server.2": "close ok, recv ok, send ok, close ok",
            "server.3": "close ok, recv ok, send ok, close ok",
            "client1": "connect ok, send ok, recv ok, close ok",
            "client3": "connect ok, send ok, recv ok, close ok",
        },
        causes=(
            sent("SYN", "connect", "client1"),
            sent("data", "send", "client2"),
            sent("data", "send", "server.3"),
            sent("FIN", "close", "client1"),
            sent("FIN", "close", "server.1"),
        ),
        absent=("RST",),
    ),
)
def fork_concurrent_server(stage: Stage) -> None:
    """The outline of UNP figure 4.13: accept(), fork(); the parent closes the connected socket,
    the child the listening one. One listening port, three connections: the kernel tells them
    apart by the client's port (UNP 2.10).

    The first client speaks only after the others were served. An iterative server would keep them
    all waiting for it; here its child waits, and nobody else.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        children = []
        for _ in range(3):
            connection, _ = listener.accept()

            def serve(child: Actor) -> None:
                listener.close()
                connection.send(connection.recv(100))  # noqa: B023 (the fork keeps this one)
                connection.recv(1)  # noqa: B023
                connection.close()  # noqa: B023

            children.append(actor.fork(serve))
            connection.close()
        listener.close()
        for pid in children:
            actor.wait(pid)

    def client(number: int) -> Part:
        def play(actor: Actor) -> None:
            if number > 1:
                actor.ask(f"client {number - 1} connected")
            sock = connected(actor)
            actor.tell(f"client {number} connected")
            actor.ask(f"client {number + 1} served" if number < 3 else "client 3 connected")
            sock.send(b"request %d" % number)
            sock.recv(100)
            actor.tell(f"client {number} served")
            sock.close()

        return play

    stage.play(client1=client(1), client2=client(2), client3=client(3), server=server)


@behaviour(
    "fork-exec",
    section="4.7",
    title="A program that was exec'd learns its client with getpeername()",
    summary="Like inetd: the child becomes another program, which has a descriptor and nothing "
    "else, and asks the kernel who is at the other end.",
    expects=Expectations(
        calls={
            "server": "accept4 ok, fork ok, close ok",
            "server.1": "ioctl ok, execve …, getpeername ok, send ok, close ok",
            "client": "connect ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "server.1"), sent("FIN", "close", "server.1")),
        absent=("RST",),
    ),
)
def fork_exec(stage: Stage) -> None:
    """exec replaces the program, and with it the memory that held the address accept() had
    returned. Descriptors stay open unless they are marked close-on-exec, as Python marks all it
    makes (PEP 446); the child takes the mark off the connection and leaves it on the listener.
    The new program knows the descriptor's number from its arguments; getpeername() tells it the
    client (UNP 4.10, figure 4.18).
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()

        def become_program(child: Actor) -> None:
            connection.set_inheritable(True)
            child.execute(
                child.program("observatory.scenarios.fork:greeting_program", connection.fileno())
            )

        pid = actor.fork(become_program)
        connection.close()
        actor.wait(pid)
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        while sock.recv(100):
            pass
        sock.close()

    stage.play(client=client, server=server)


def greeting_program(actor: Actor, descriptor: str) -> None:
    """The program that :func:`fork_exec` executes: greets whoever is at the other end."""
    connection = actor.adopt(int(descriptor))
    host, port = connection.getpeername()
    connection.send(f"hello, {host} port {port}".encode())
    connection.close()


@behaviour(
    "fork-parent-keeps-descriptor",
    section="4.8",
    title="The parent forgets to close the connected socket",
    summary="The child is done and gone, but no FIN is sent: the parent still holds the socket. "
    "Later it has no descriptor left for the next client.",
    expects=Expectations(
        calls={
            "server": "accept4 ok, fork ok, accept4 ok, fork ok, accept4 EMFILE, exit …",
            "server.1": "send ok, close ok, exit …",
            "server.2": "send ok, close ok, exit …",
            "client": "connect ok, recv ok, poll ok, connect ok, recv ok, connect ok, recv ok",
        },
        causes=(sent("data", "send", "server.1"), sent("FIN", "exit", "server")),
    ),
)
def fork_parent_keeps_descriptor(stage: Stage) -> None:
    """UNP 4.8: "if the parent does not close each connected socket that is returned by accept,
    the parent will eventually run out of descriptors [...] but more importantly, none of the
    client connections will be terminated". The child's close() is not the last: the client has
    its reply and waits for an end of file that does not come.

    The server has room for two connections. The third client's connect() works, as the kernel
    does the handshake, but accept() fails with EMFILE. Only when the server's process ends are
    the sockets closed: the two connections with FIN, the one in the queue with RST.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        actor.limit_descriptors(listener.fileno() + 3)
        kept = []
        for _ in range(2):
            connection, _ = listener.accept()
            kept.append(connection)

            def serve(child: Actor) -> None:
                listener.close()
                kept[-1].send(b"reply")
                kept[-1].close()

            actor.wait(actor.fork(serve))
        actor.ask("third connected")
        with suppress(OSError):
            listener.accept()
        actor.exit()

    def client(actor: Actor) -> None:
        first = connected(actor)
        first.recv(100)
        actor.poll([(first, POLLIN)], 0.2)
        second = connected(actor)
        second.recv(100)
        third = connected(actor)
        actor.tell("third connected")
        first.recv(100)
        second.recv(100)
        with suppress(ConnectionResetError):
            third.recv(100)
        for sock in (first, second, third):
            sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "fork-shutdown",
    section="4.8",
    title="shutdown() sends FIN although another process holds the socket",
    summary="close() counts descriptors, shutdown() does not: the child ends the connection for "
    "its parent too.",
    expects=Expectations(
        calls={
            "server": "accept4 ok, fork ok, send EPIPE, close ok",
            "server.1": "send ok, shutdown ok, close ok",
            "client": "connect ok, recv ok, recv ok, close ok",
        },
        causes=(sent("data", "send", "server.1"), sent("FIN", "shutdown", "server.1")),
        absent=("RST",),
    ),
)
def fork_shutdown(stage: Stage) -> None:
    """UNP 6.6: close() "decrements the descriptor's reference count and closes the socket only
    if the count reaches 0 [...] With shutdown, we can initiate TCP's normal connection
    termination sequence regardless of the reference count". The parent, which never closed
    anything, finds that it can no longer send: EPIPE.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)
        connection, _ = listener.accept()

        def end_it(child: Actor) -> None:
            connection.send(b"that is all")
            connection.shutdown(SHUT_WR)
            connection.close()

        actor.wait(actor.fork(end_it))
        with suppress(BrokenPipeError):
            connection.send(b"one more thing")
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = connected(actor)
        while sock.recv(100):
            pass
        sock.close()

    stage.play(client=client, server=server)


@behaviour(
    "fork-prefork",
    section="4.8",
    title="Three children blocked in accept() on one listener",
    summary="Each connection wakes one child, and only that one returns from accept().",
    expects=Expectations(
        calls={
            "server": "listen ok, fork ok, fork ok, fork ok, kill ok, kill ok, kill ok, close ok",
            "client": "connect ok, recv ok, recv ok, connect ok, recv ok, recv ok",
        },
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def fork_prefork(stage: Stage) -> None:
    """UNP 30.6: the server forks its children in advance, and all of them call accept() on the
    listening socket they inherited. One completed connection is one accept() that returns; on
    Linux the sleepers wait exclusively, so the others are not even woken (no "thundering herd").
    Which child it is is the kernel's affair. The children wait for ever: the parent kills them,
    and a call they were in never returns.
    """

    def server(actor: Actor) -> None:
        listener = listening(actor)

        def serve(child: Actor) -> None:
            while True:
                connection, _ = listener.accept()
                connection.send(child.role.encode())
                connection.close()

        children = [actor.fork(serve) for _ in range(3)]
        actor.ask("served")
        for number, pid in enumerate(children, 1):
            actor.when_blocked(f"server.{number}", "accept")
            actor.kill(pid, SIGTERM)
            actor.wait(pid)
        listener.close()

    def client(actor: Actor) -> None:
        for number in (1, 2, 3):
            actor.when_blocked(f"server.{number}", "accept")
        for _ in range(2):
            sock = connected(actor)
            while sock.recv(100):
                pass
            sock.close()
        actor.tell("served")

    stage.play(client=client, server=server)
