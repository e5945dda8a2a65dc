"""The sockets that this very process has open."""

import os
import socket

from observatory.model import Endpoint
from observatory.sources.held import commands_of, held_sockets


def test_names_and_states_are_those_of_the_sockets() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        held = {call.fd: call for call in held_sockets([os.getpid()])}
        theirs, ours = Endpoint(*client.getpeername()), Endpoint(*client.getsockname())
        assert held[client.fileno()].local == ours
        assert held[client.fileno()].peer == theirs
        assert held[client.fileno()].args["state"] == "ESTABLISHED"
        assert held[listener.fileno()].args["state"] == "LISTEN"
        assert held[listener.fileno()].peer is None


def test_ipv6_and_datagrams() -> None:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
    ):
        four.bind(("127.0.0.1", 0))
        six.bind(("::", 0))
        held = {call.fd: call for call in held_sockets([os.getpid()])}
        assert held[six.fileno()].local == Endpoint("::", six.getsockname()[1])
        assert held[four.fileno()].args["type"] == "SOCK_DGRAM"


def test_a_process_that_is_not_there_holds_nothing() -> None:
    assert held_sockets([1 << 30]) == ()


def test_the_command_of_a_process() -> None:
    assert "python" in commands_of([os.getpid()])[os.getpid()]
    assert commands_of([1 << 30]) == {}
