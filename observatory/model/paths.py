"""The way of a packet through a lab's network: which interface sees it before which other."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from observatory.model.segments import Direction
from observatory.model.topology import Topology


class Paths:
    """Where the interfaces of a topology stand on the way of a packet.

    A packet is at place 0 where it leaves the host that sent it, at 1 where it arrives at the
    next, at 2 where it leaves that one, and so on: leaving is even, arriving odd. ``relayed``
    are the links that something else than the wire carries (delay, loss, order).
    """

    def __init__(self, topology: Topology) -> None:
        self._hosts = {
            address.partition("/")[0]: node.name
            for node in topology.nodes
            for _, address in node.addresses
        }
        self._across: dict[str, tuple[str, str]] = {}
        self._neighbours: dict[str, list[str]] = {node.name: [] for node in topology.nodes}
        for link in topology.links:
            for (host, device), (other, _) in (link.ends, link.ends[::-1]):
                self._across[f"{host}:{device}"] = (host, other)
                self._neighbours.setdefault(host, []).append(other)
        self._distances: dict[str, Mapping[str, int]] = {}

    def host_of(self, address: str) -> str | None:
        """The host or router that has this IP address, None if none has."""
        return self._hosts.get(address)

    def is_linked(self, interface: str) -> bool:
        """Whether an interface (``HOST:eth0``) has a link; a host's own ``lo`` has none."""
        return interface in self._across

    def place(self, interface: str, origin: str, direction: Direction) -> int | None:
        """The place of an interface on the way of a packet that ``origin`` sent.

        None where such a packet does not come by on a shortest way, or not in this direction.
        """
        host, other = self._across.get(interface, ("", ""))
        distances = self.distances(origin)
        if host not in distances or other not in distances:
            return None
        leaves = distances[other] > distances[host]
        against = Direction.INBOUND if leaves else Direction.OUTBOUND
        if direction is against:
            return None
        return 2 * distances[host] - (0 if leaves else 1)

    def distances(self, origin: str) -> Mapping[str, int]:
        """How many links away from ``origin`` each host is."""
        if origin not in self._distances:
            distances = {origin: 0}
            waiting = deque([origin])
            while waiting:
                host = waiting.popleft()
                for other in self._neighbours.get(host, ()):
                    if other not in distances:
                        distances[other] = distances[host] + 1
                        waiting.append(other)
            self._distances[origin] = distances
        return self._distances[origin]
