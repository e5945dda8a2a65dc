"""The segment of which an event tells: a RST that was sent, one sent again, one that was dropped.

Endpoints give the direction, and within it time the segment: what is told in one direction is gone
through in order, together with the segments that it can be about.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import zip_longest

from observatory.analysis.wire import Kind, Sighting, Wire
from observatory.analysis.witness_events import DROP
from observatory.analysis.witness_lives import endpoint
from observatory.model import Endpoint, KernelEvent

Direction = tuple[Endpoint | int, Endpoint | None]

# An active reset is told after it went out, a reply before; in between the kernel may deliver it.
NEAR_NS = 20_000_000
CLOSE_NS = 1_000_000


def named(events: Iterable[KernelEvent], *names: str) -> list[KernelEvent]:
    return [event for event in events if event.event in names]


def resets_of(events: Sequence[KernelEvent], wire: Wire) -> dict[int, KernelEvent]:
    """Segment id of each RST to the event that it was sent. An abort is told after it has left, an
    answer before; so each kind is gone through in an order of its own."""
    sightings = wire.sightings.values()
    answers = [event for event in events if _names_a_packet(event)]
    silent = [event for event in events if not _names_a_packet(event)]
    aborts = [event for event in silent if event.detail.get("packet") == ""]
    others = [event for event in silent if "packet" not in event.detail]
    return {
        **pair(others, sightings, lambda one: one.kind is Kind.RESET),
        **pair(aborts, sightings, _is_abort),
        **pair(answers, sightings, _is_answer),
    }


def _names_a_packet(event: KernelEvent) -> bool:
    return bool(event.detail.get("packet") or event.detail.get("segment_time"))


def _is_answer(sighting: Sighting) -> bool:
    """A RST with the number that it was asked for, or none (RFC 9293 3.10.7.1)."""
    return sighting.kind is Kind.RESET and (sighting.ack is None or sighting.segment.seq == 0)


def _is_abort(sighting: Sighting) -> bool:
    return sighting.kind is Kind.RESET and not _is_answer(sighting)


def is_repeated(sighting: Sighting) -> bool:
    if sighting.kind is Kind.SYN_ACK:
        return False
    return sighting.kind in (Kind.REPEATED, Kind.PROBE) or sighting.original is not None


def is_later_answer(sighting: Sighting) -> bool:
    """A SYN-ACK after the first."""
    answers = (syn for syn in sighting.half.syns if syn.kind is Kind.SYN_ACK)
    return sighting.kind is Kind.SYN_ACK and next(answers) is not sighting


def pair(
    events: Sequence[KernelEvent],
    sightings: Iterable[Sighting],
    fits: Callable[[Sighting], bool],
) -> dict[int, KernelEvent]:
    """Segment id to the event that tells of it: of one direction, the nearest in time. Both are
    gone through in order, so that neither is told twice."""
    by_direction: dict[Direction, list[KernelEvent]] = defaultdict(list)
    for event in events:
        direction = _direction(event)
        if direction is not None:
            by_direction[direction].append(event)
    waiting: dict[Direction, deque[Sighting]] = {one: deque() for one in by_direction}
    for sighting in filter(fits, sightings) if waiting else ():
        src, dst = sighting.segment.src, sighting.segment.dst
        directions: tuple[Direction, ...] = (src, dst), (src, None), (src.port, None)
        for direction in directions:
            if direction in waiting:
                waiting[direction].append(sighting)
    told: dict[int, KernelEvent] = {}
    for direction, said in by_direction.items():
        if _are_in_step(waiting[direction], said):
            told |= {one.id: event for one, event in zip(waiting[direction], said, strict=True)}
            continue
        for event, following in zip_longest(said, said[1:]):
            nearest = _nearest(waiting[direction], event.time_ns, told)
            if nearest is None:
                continue
            if following is not None and _is_rather(following, event, nearest):
                waiting[direction].appendleft(nearest)  # what this event tells of was not captured
            else:
                told[nearest.id] = event
    return told


def _are_in_step(waiting: Collection[Sighting], said: Collection[KernelEvent]) -> bool:
    """Whether each segment has its event, in order: one may be told only when the next has left
    already, and then lies nearer to that."""
    return len(waiting) == len(said) and all(
        abs(event.time_ns - one.time_ns) <= NEAR_NS
        for one, event in zip(waiting, said, strict=True)
    )


def _is_rather(following: KernelEvent, event: KernelEvent, sighting: Sighting) -> bool:
    """Whether the segment is the next event's, and far from this one."""
    far = abs(event.time_ns - sighting.time_ns)
    return far > CLOSE_NS and abs(following.time_ns - sighting.time_ns) < far


def _nearest(
    waiting: deque[Sighting], time_ns: int, told: Mapping[int, KernelEvent]
) -> Sighting | None:
    """Takes the segment nearest to a moment, and those before it, from those that wait."""
    best: Sighting | None = None
    while waiting and waiting[0].time_ns <= time_ns + NEAR_NS:
        one = waiting[0]
        nearer = best is None or abs(one.time_ns - time_ns) < abs(best.time_ns - time_ns)
        if best is not None and not nearer:
            break
        waiting.popleft()
        if one.id not in told and one.time_ns >= time_ns - NEAR_NS:
            best = one
    return best


def _direction(event: KernelEvent) -> Direction | None:
    """The endpoints that the segment has. A listener that resets knows only its own, and of a
    wildcard no more than the port."""
    if event.src is None or not event.src.port:
        return None
    if event.src.is_wildcard:
        return event.src.port, None
    return event.src.on_the_wire(), endpoint(event.dst)


def spoken_of(event: KernelEvent, at: Mapping[int, int]) -> int | None:
    """The id of the segment whose packet the event names: the dropped one, or the one that a RST
    answers. ``at`` is segment ids by time, which is how the source names them."""
    time_ns = event.detail.get("segment_time")
    return at.get(time_ns) if isinstance(time_ns, int) else None


def astray_of(resets: Mapping[int, KernelEvent], events: Iterable[KernelEvent]) -> frozenset[int]:
    """The events of directions in which RSTs were sent that were not captured: which of several was
    which is not known then."""
    paired = {event.id for event in resets.values()}
    torn = {_direction(event) for event in events if event.id not in paired}
    return frozenset(event.id for event in resets.values() if _direction(event) in torn)


def goes_back(sightings: Mapping[int, Sighting], reset: int, about: int) -> bool:
    """Packets of one length may be taken for each other: the RST goes back where it came from."""
    came = sightings.get(about)
    return came is not None and came.half is sightings[reset].other


def drops_of(events: Iterable[KernelEvent], at: Mapping[int, int]) -> dict[int, KernelEvent]:
    """Segment id to the event that its packet was dropped."""
    found: dict[int, KernelEvent] = {}
    for event in events:
        number = spoken_of(event, at)
        if number is not None and event.event == DROP:
            found.setdefault(number, event)
    return found
