"""A route to where nobody is, and the packets that take it: what a router in a play works with.

Needs CAP_NET_ADMIN and CAP_NET_RAW (a ``privileged`` role) in a private network. Nothing of it is
journaled: this is the network that a program meets, not the program.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from observatory.errors import ScenarioFailed

_ETH_P_IP = 0x0800
_PATIENCE_S = 10.0


def lead_to_loopback(address: str) -> None:
    """Route an IPv4 address that is nobody's over ``lo``: what is sent there is seen, and then
    dropped by the kernel, in silence, as it is not for this host."""
    from pyroute2 import IPRoute  # 0.12 s

    with IPRoute() as routes:
        routes.route("add", dst=f"{address}/32", oif=1, prefsrc="127.0.0.1", scope="link")


@contextmanager
def arrival(address: str) -> Iterator[Callable[[], Any]]:
    """From now on look at IPv4 packets to ``address``; the yielded function waits for the first
    and returns it, dissected by scapy.

    It raises ScenarioFailed if there is none within 10 s.
    """
    from scapy.layers.inet import IP

    wanted = socket.inet_aton(address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP)) as wire:
        wire.settimeout(_PATIENCE_S)

        def first_packet() -> Any:
            try:
                while True:
                    packet = wire.recv(1 << 16)
                    if packet[16:20] == wanted:
                        return IP(packet)
            except TimeoutError:
                raise ScenarioFailed(f"no packet went to {address}") from None

        yield first_packet
