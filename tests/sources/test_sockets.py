"""The kernel's table of sockets, read of this very process's network."""

import os
import socket
from pathlib import Path

import pytest

from observatory.sources.sockets import SocketTable


def test_a_connection_is_unsettled_until_both_ends_are_closed() -> None:
    with SocketTable() as table, socket.create_server(("127.0.0.1", 0)) as listener:
        port = frozenset({listener.getsockname()[1]})
        assert table.settled(port), "a listener sends nothing of itself"
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
        with client, served:
            assert not table.settled(port)
            assert table.settled(frozenset({client.getsockname()[1] ^ 1, 1}))
        assert table.settled(port)


def test_ipv6_is_looked_at_too() -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this kernel has no IPv6")
    with (
        SocketTable(os.getpid()) as table,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        assert not table.settled(frozenset({client.getsockname()[1]}))


def test_a_process_that_is_gone_has_no_sockets() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with SocketTable(pid) as table:
        assert table.settled()
