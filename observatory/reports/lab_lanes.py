"""Lanes of a lab: the hosts in the order of the path, routers among them, and on the way of each
segment the lane or the link where it began and where it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from observatory.model import Analysis, AttributedSegment, Direction, Sighting
from observatory.model.paths import Paths

Key = int | str  # a pid, an endpoint as text, or a host's name


@dataclass(frozen=True, slots=True)
class Ends:
    """The lanes between which a segment is drawn. ``from_half`` and ``to_half``: it begins, or
    ends, half-way, on the link between the two."""

    source: Key
    target: Key
    from_half: bool = False
    to_half: bool = False


class LabWays:
    """The way of each segment of a lab's trace."""

    def __init__(self, analysis: Analysis) -> None:
        trace = analysis.trace
        self.topology = trace.run.topology
        self.is_known = bool(
            self.topology is not None
            and self.topology.links
            and any(entry.segment.sightings for entry in analysis.segments)
        )
        if self.topology is None:
            return
        self.paths = Paths(self.topology)
        self.interfaces = trace.interfaces
        self.routers = {node.name for node in self.topology.nodes if node.router}
        self.processes = {process.pid: process.host for process in trace.processes}
        self.order = self._in_order()
        self.across = {
            f"{host}:{device}": other
            for link in self.topology.links
            for (host, device), (other, _) in (link.ends, link.ends[::-1])
        }

    def host_of(self, key: Key) -> str:
        """The host of a lane, empty if it has none."""
        if isinstance(key, int):
            return self.processes.get(key, "")
        if key in self.order:
            return key
        address = key.removeprefix("[").partition("]")[0] if key[:1] == "[" else key
        plain = address if key[:1] == "[" or address.count(":") > 1 else address.partition(":")[0]
        return self.paths.host_of(plain) or ""

    def ends(self, attributed: AttributedSegment, source: Key, target: Key) -> Ends:
        """Between which lanes a segment is drawn; ``source`` and ``target`` are those of the
        sockets that it has names of."""
        segment = attributed.segment
        lanes = {self.host_of(target): target, self.host_of(source): source}
        if not segment.sightings:
            return Ends(self._at(self.host_of(source), lanes, source), target)
        first, last = segment.sightings[0], segment.sightings[-1]
        begins, from_half = self._beginning(first, lanes, source)
        if not attributed.lost_after:
            return Ends(begins, self._at(self.host_of(target), lanes, target), from_half)
        ends, to_half = self._end(last, lanes, target)
        return Ends(begins, ends, from_half, to_half)

    def passed(self, analysis: Analysis) -> Iterable[str]:
        """The routers at which any segment was seen."""
        seen = {self._host(one) for entry in analysis.segments for one in entry.segment.sightings}
        return [host for host in self.order if host in seen & self.routers]

    def _beginning(self, first: Sighting, lanes: Mapping[str, Key], known: Key) -> tuple[Key, bool]:
        host = self._host(first)
        if host == self.host_of(known):
            return self._at(host, lanes, known), False
        if first.direction is Direction.OUTBOUND:
            return self._at(host, lanes, known), False
        return self._at(self._across(first), lanes, known), True

    def _end(self, last: Sighting, lanes: Mapping[str, Key], known: Key) -> tuple[Key, bool]:
        host = self._host(last)
        if last.direction is Direction.OUTBOUND:
            return self._at(self._across(last), lanes, known), True
        return self._at(host, lanes, known), False

    def _at(self, host: str, lanes: Mapping[str, Key], otherwise: Key) -> Key:
        """The lane of a host on the way: a router's own, a process's at either end."""
        if host in self.routers:
            return host
        return lanes.get(host, host or otherwise)

    def _host(self, sighting: Sighting) -> str:
        return self.interfaces[sighting.interface].host

    def _across(self, sighting: Sighting) -> str:
        """The host at the other end of the link."""
        return self.across.get(self.interfaces[sighting.interface].name, "")

    def _in_order(self) -> dict[str, int]:
        """Each host's place from left to right: as many links as it is away from the first."""
        assert self.topology is not None
        names = [node.name for node in self.topology.nodes]
        away = self.paths.distances(names[0]) if names else {}
        order = sorted(names, key=lambda name: (away.get(name, len(names)), names.index(name)))
        return {name: place for place, name in enumerate(order)}
