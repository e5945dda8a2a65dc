"""Each packet once, with all its sightings: in a lab, every interface on its way captures it.

A packet passes each interface on its way at most once. So the sightings of equal packets are paired
from one interface of the way to the next in order, the k-th with the k-th; where fewer arrive than
left, those are paired that took most nearly what packets usually take on this stretch. What is
seen twice at an interface and left only once was duplicated on the path, and stands as a
segment of its own, as does a packet that begins in the middle of the path (a router's ICMP error,
a RST in another's name). So a segment that was sent again is never taken for the first one.

Assumed: nobody on the path translates addresses or cuts and joins TCP segments (segmentation and
receive offload: on a veth they pass whole, and elsewhere they have to be off).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low

from observatory.codec.headers import decode_all
from observatory.codec.identity import Header, Identity, identify
from observatory.codec.quoting import with_quotes
from observatory.model.paths import Paths
from observatory.model.segments import Direction, Frame, Segment, Sighting
from observatory.model.topology import Topology
from observatory.model.trace import Interface

LARGEST_TABLE = 1_000_000
"""Equal packets beyond this (departures times arrivals) are paired by order alone."""


def decode_run(
    frames: Iterable[Frame], interfaces: Sequence[Interface], topology: Topology | None
) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The segments of a run's frames (in time order), numbered from 1, and sentences about frames
    that could not be read. In a lab with links each packet is one segment with its sightings."""
    segments, unread = decode_all(frames, interfaces)
    if topology is not None and topology.links:
        segments = merged(segments, interfaces, topology)
    return with_quotes(segments, interfaces), unread


def merged(
    segments: Sequence[Segment], interfaces: Sequence[Interface], topology: Topology
) -> tuple[Segment, ...]:
    """The packets that ``segments``, one a frame and in time order, are sightings of."""
    way = _Way(Paths(topology), interfaces)
    equal: dict[tuple[Header, str], list[_Seen]] = defaultdict(list)
    for segment in segments:
        seen = way.seen(segment)
        equal[seen.identity.header, seen.alone].append(seen)
    groups = [way.placed(same) for group in equal.values() for same in _by_payload(group)]
    usual = _usual(groups)
    journeys = [journey for group in groups for journey in _journeys(group, way, usual)]
    journeys.sort(key=lambda journey: journey[0].segment.id)
    return tuple(_packet(number, journey) for number, journey in enumerate(journeys, 1))


@dataclass(slots=True)
class _Seen:
    """A frame's segment, with its place on the packet's way (None where it has none).
    ``alone`` is the interface's name where that leads nowhere: there nothing is on its way."""

    segment: Segment
    identity: Identity
    alone: str
    origin: str = ""
    place: int | None = None

    @property
    def time_ns(self) -> int:
        return self.segment.time_ns

    @property
    def direction(self) -> Direction:
        return self.segment.frame.direction if self.segment.frame else Direction.UNKNOWN


_Journey = list[_Seen]
_Stretch = tuple[str, int, int]
"""From a host's packets' one place to another place."""


class _Way:
    """The places that packets come by, as far as anything was captured there."""

    def __init__(self, paths: Paths, interfaces: Sequence[Interface]) -> None:
        self._paths = paths
        self._interfaces = interfaces
        self._watched: dict[str, set[int]] = defaultdict(set)
        self._lossy: dict[str, set[int]] = defaultdict(set)

    def seen(self, segment: Segment) -> _Seen:
        assert segment.frame is not None
        interface = self._interfaces[segment.interface]
        alone = "" if self._paths.is_linked(interface.name) else interface.name
        return _Seen(segment, identify(segment.frame, interface.linktype), alone)

    def placed(self, group: list[_Seen]) -> list[_Seen]:
        """Equal packets with their places; they come from the host whose address they have, or
        else from the first one that was seen to have them."""
        first = self._interfaces[group[0].segment.interface]
        origin = self._paths.host_of(group[0].segment.src.address) or first.host
        for seen in group:
            interface = self._interfaces[seen.segment.interface]
            seen.origin = origin
            if seen.alone:
                # Out and in again at once.
                seen.place = {Direction.OUTBOUND: 0, Direction.INBOUND: 1}.get(seen.direction)
                continue
            seen.place = self._paths.place(interface.name, origin, seen.direction)
            if seen.place is not None:
                self._watched[origin].add(seen.place)
                if interface.dropped:
                    self._lossy[origin].add(seen.place)
        return group

    def before(self, origin: str, place: int) -> range:
        """The places at one of which a packet was last seen that is now seen at ``place``: the
        watched one before it, and those before that one if its capture lost packets."""
        earliest = place
        for each in sorted(self._watched[origin], reverse=True):
            if each < place:
                earliest = each
                if each not in self._lossy[origin]:
                    break
        return range(earliest, place)


def _by_payload(group: list[_Seen]) -> Iterable[list[_Seen]]:
    """Those of equal headers that can be one packet: with a fragment of it all of them."""
    if len(group) == 1 or any(seen.identity.fragment for seen in group):
        return (group,)
    by_payload: dict[bytes, list[_Seen]] = defaultdict(list)
    for seen in group:
        by_payload[seen.identity.payload].append(seen)
    return by_payload.values()


def _usual(groups: Iterable[list[_Seen]]) -> dict[_Stretch, int]:
    """What packets usually take from one place to the next, in ns, as those show that were
    seen once at each."""
    taken: dict[_Stretch, list[int]] = defaultdict(list)
    for group in groups:
        places = [seen.place for seen in group]
        if len(set(places)) < len(places):
            continue
        way = sorted((seen for seen in group if seen.place is not None), key=_place)
        for one, other in pairwise(way):
            stretch = (one.origin, _place(one), _place(other))
            taken[stretch].append(other.time_ns - one.time_ns)
    return {stretch: median_low(times) for stretch, times in taken.items()}


def _place(seen: _Seen) -> int:
    return -1 if seen.place is None else seen.place


def _journeys(group: list[_Seen], way: _Way, usual: dict[_Stretch, int]) -> list[_Journey]:
    """The packets of which a group of equal ones are the sightings."""
    journeys: list[_Journey] = []
    by_place: dict[int | None, list[_Seen]] = defaultdict(list)
    for seen in group:
        by_place[seen.place].append(seen)
    journeys += [[seen] for seen in by_place.pop(None, ())]
    for place in sorted(_place(seen[0]) for seen in by_place.values()):
        arriving = by_place[place]
        before = (0,) if arriving[0].alone else way.before(arriving[0].origin, place)
        waiting = [j for j in journeys if j[-1].place in before]
        waiting.sort(key=lambda journey: journey[-1].time_ns)
        partner = _pair([journey[-1] for journey in waiting], arriving, usual)
        for index, seen in enumerate(arriving):
            if index in partner:
                waiting[partner[index]].append(seen)
            else:
                journeys.append([seen])
    return journeys


def _pair(left: list[_Seen], came: list[_Seen], usual: dict[_Stretch, int]) -> dict[int, int]:
    """Which departure each arrival belongs to, by their indices; both are in time order."""
    if len(left) == len(came) and all(map(_can_be, left, came)):
        return {index: index for index in range(len(came))}
    if len(left) * len(came) > LARGEST_TABLE:
        return _newest(left, came)
    return _aligned(left, came, usual)


def _can_be(one: _Seen, other: _Seen) -> bool:
    return one.time_ns <= other.time_ns and one.identity.same(other.identity)


def _newest(left: list[_Seen], came: list[_Seen]) -> dict[int, int]:
    """Each arrival with the newest departure before it: on a path without delay the right one."""
    partner: dict[int, int] = {}
    free: list[int] = []
    next_left = 0
    for index, seen in enumerate(came):
        while next_left < len(left) and left[next_left].time_ns <= seen.time_ns:
            free.append(next_left)
            next_left += 1
        if free and _can_be(left[free[-1]], seen):
            partner[index] = free.pop()
    return partner


def _aligned(left: list[_Seen], came: list[_Seen], usual: dict[_Stretch, int]) -> dict[int, int]:
    """The pairing in order that pairs most, and of those the one nearest to the usual times.
    Where more came than left, the copy that came first is the packet."""
    expected = {} if len(came) > len(left) else usual
    # best[i][j]: pairs (negative, so that less is better) and ns off, among the first i and j.
    best = [[(0, 0)] * (len(came) + 1) for _ in range(len(left) + 1)]
    for i, one in enumerate(left, 1):
        for j, other in enumerate(came, 1):
            choices = [best[i - 1][j], best[i][j - 1]]
            if _can_be(one, other):
                pairs, off = best[i - 1][j - 1]
                choices.append((pairs - 1, off + _off(one, other, expected)))
            best[i][j] = min(choices)
    partner: dict[int, int] = {}
    i, j = len(left), len(came)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            partner[j] = i
    return partner


def _off(one: _Seen, other: _Seen, usual: dict[_Stretch, int]) -> int:
    expected = usual.get((one.origin, _place(one), _place(other)), 0)
    return abs(other.time_ns - one.time_ns - expected)


def _packet(number: int, journey: _Journey) -> Segment:
    """The segment that a journey's sightings are of; the first of them tells its time."""
    return replace(
        journey[0].segment,
        id=number,
        sightings=tuple(
            Sighting(seen.segment.interface, seen.time_ns, seen.direction, seen.segment.frame)
            for seen in journey
        ),
    )
