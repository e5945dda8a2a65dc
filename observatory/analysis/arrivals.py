"""Which segments came to their receivers, and when; which were lost, and where.

In a lab every interface on a packet's way sees it (``Segment.sightings``), so that it left, and
that it came, are facts. Where one place sees the wire a segment is taken to have come at once, and
what its receiver does afterwards tells (``states``).

That a packet came to its receiver's interface does not say that its TCP took it: a firewall on that
host, a full queue or a wrong number may have kept it. That one did not come, is certain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from observatory.model import Direction, Segment, Sighting, Trace
from observatory.model.paths import Paths

NEVER = 1 << 63


@dataclass(frozen=True, slots=True)
class Arrival:
    """``at_ns`` is when a segment came to its receiver's host, NEVER if it did not; ``lost_after``
    is then the interface that saw it last. ``made_at`` is the host that put it on the path
    where that is not its sender: a copy made by the path, or a packet in another's name."""

    at_ns: int
    lost_after: str = ""
    made_at: str = ""


class Arrivals:
    """The arrivals of a trace's segments."""

    def __init__(self, trace: Trace) -> None:
        self._interfaces = trace.interfaces
        topology = trace.run.topology
        self.are_known = topology is not None and any(one.sightings for one in trace.segments)
        if topology is None or not self.are_known:
            return
        self._paths = Paths(topology)
        self._sees_departures = _sees_departures(trace.segments)
        # Of hosts whose interfaces lost no packet it is known what did not come.
        lossy = {each.host for each in trace.interfaces if each.dropped}
        self._reliable = {each.host for each in trace.interfaces} - lossy

    def of(self, segment: Segment) -> Arrival:
        """When and whether ``segment`` came; at once where its way was not seen."""
        if not (self.are_known and segment.sightings):
            return Arrival(segment.time_ns)
        receiver = self._paths.host_of(segment.dst.address)
        made_at = self._made_at(segment)
        last = segment.sightings[-1]
        came = [one for one in segment.sightings if self._came(one, receiver)]
        if came:
            return Arrival(came[0].time_ns, "", made_at)
        if receiver is None and _is_local(segment.dst.address):
            return Arrival(last.time_ns, "", made_at)
        if receiver is not None and receiver not in self._reliable:
            return Arrival(last.time_ns, "", made_at)
        return Arrival(NEVER, self._interfaces[last.interface].name, made_at)

    def at_ns(self, segment: Segment) -> int:
        """When ``segment`` came to its receiver's host, NEVER if it did not."""
        return self.of(segment).at_ns if self.are_known else segment.time_ns

    def host_of(self, address: str) -> str:
        """The lab's host or router that has this address, empty if none has."""
        return (self._paths.host_of(address) or "") if self.are_known else ""

    def host(self, sighting: Sighting) -> str:
        """The host whose interface saw it."""
        return self._interfaces[sighting.interface].host

    def _came(self, sighting: Sighting, receiver: str | None) -> bool:
        inwards = sighting.direction is not Direction.OUTBOUND
        return inwards and receiver is not None and self.host(sighting) == receiver

    def _made_at(self, segment: Segment) -> str:
        """The host that put it on the path, empty if its sender did or nobody can tell."""
        first = segment.sightings[0]
        sender = self._paths.host_of(segment.src.address)
        where = self.host(first)
        if sender is None or where == sender or not self._sees_departures:
            return ""
        return where if sender in self._reliable else ""


def _is_local(address: str) -> bool:
    """An address that means a host without being known as that one's, or several hosts."""
    parsed = ip_address(address)
    return parsed.is_multicast or parsed.is_link_local or parsed.is_loopback


def _sees_departures(segments: Iterable[Segment]) -> bool:
    """Whether the captures see what leaves as well as what arrives."""
    return any(
        one.direction is Direction.OUTBOUND for segment in segments for one in segment.sightings
    )
