"""What many behaviours begin with, so that each can come to its own point."""

from __future__ import annotations

from socket import socket as plain_socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.sources.instrumented import InstrumentedSocket

LOOPBACK = "127.0.0.1"


def port_of(sock: InstrumentedSocket) -> int:
    """The port that the kernel gave a socket; asking it is the play's business, not journaled."""
    return int(plain_socket.getsockname(sock)[1])


def listening(actor: Actor, backlog: int = 8, name: str = "port") -> InstrumentedSocket:
    """A socket that listens on a loopback port of the kernel's choice, told to all as ``name``."""
    listener = actor.socket()
    listener.bind((LOOPBACK, 0))
    listener.listen(backlog)
    actor.tell(name, port_of(listener))
    return listener


def connected(actor: Actor, name: str = "port") -> InstrumentedSocket:
    """A socket connected to the port told as ``name``."""
    sock = actor.socket()
    sock.connect((LOOPBACK, actor.ask(name)))
    return sock


def accept_until_eof(listener: InstrumentedSocket) -> None:
    """Take a connection from the queue, read it to its end, and close as the client has."""
    connection, _ = listener.accept()
    while connection.recv(100):
        pass
    connection.close()
