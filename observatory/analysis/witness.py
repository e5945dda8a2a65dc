"""What each of the kernel's events speaks of: a connection, one of its ends, a segment, a call.

Events carry endpoints and times. Endpoints name the connection, times the incarnation; a RST, a
retransmission and a dropped packet are joined to the segment that the wire shows next to them.
Which thread was running is known too, but not that it did it: on loopback the kernel delivers a
packet, and answers it, in the thread that sent it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from observatory.analysis.wire import Half, Kind, Sighting, Wire
from observatory.analysis.witness_events import (
    DROP,
    QUEUED,
    RETRANSMIT,
    RETRANSMIT_SYNACK,
    SEND_RESET,
    SET_STATE,
    in_words,
)
from observatory.analysis.witness_lives import (
    Incarnations,
    KernelLife,
    endpoint,
    incarnations,
    lives_of,
    match_lives,
)
from observatory.model import Call, Endpoint, KernelEvent, PlacedEvent, Process, Trace

# Linux include/net/dropreason-core.h: reasons for packets that did not reach TCP, or reached their
# socket only when it was CLOSED already (they had waited while a call held it).
NOT_TAKEN = frozenset(
    {"NETFILTER_DROP", "OTHERHOST", "IP_CSUM", "TCP_CSUM", "IP_INHDR", "IP_RPFILTER"}
    | {"SOCKET_BACKLOG", "CPU_BACKLOG", "QDISC_DROP", "QDISC_OVERLIMIT"}
    | {"FULL_RING", "NOMEM", "IP_INNOROUTES", "IP_OUTNOROUTES", "XFRM_POLICY", "TCP_CLOSE"}
)

Direction = tuple[Endpoint | int, Endpoint | None]

# An active reset is told after it went out, a reply before; in between the kernel may deliver it.
NEAR_NS = 20_000_000
CLOSE_NS = 1_000_000


@dataclass(slots=True)
class Witnessed:
    """The kernel's events, placed.

    ``asked`` says whether there is a witness at all, ``complete`` that none of its events was
    lost: only then is it evidence that there was none. ``life_of`` is the kernel's socket of each
    half, ``of_half`` all events about one, in time order; ``listeners`` the lives of listening
    sockets by the id of ours. ``resets``, ``again`` and ``drops`` are by segment id, as is the
    segment that the kernel says a RST ``answered``.
    """

    asked: bool = False
    complete: bool = False
    watched: frozenset[str] = frozenset()
    lives: list[KernelLife] = field(default_factory=list)
    life_of: dict[Half, KernelLife] = field(default_factory=dict)
    of_half: dict[Half, list[KernelEvent]] = field(default_factory=dict)
    listeners: dict[int, list[KernelLife]] = field(default_factory=dict)
    resets: dict[int, KernelEvent] = field(default_factory=dict)
    again: dict[int, KernelEvent] = field(default_factory=dict)
    drops: dict[int, KernelEvent] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)
    during: dict[int, Call] = field(default_factory=dict)
    pids: Mapping[int, int] = field(default_factory=dict)

    def would_have_seen(self, event: str) -> bool:
        """Whether an event of this name that did not come did not happen."""
        return self.complete and event in self.watched

    @property
    def never_came(self) -> frozenset[int]:
        """The segments that were dropped before a connection took note of them."""
        return frozenset(
            number
            for number, event in self.drops.items()
            if event.detail.get("reason") in NOT_TAKEN
        )

    def process(self, event: KernelEvent) -> int | None:
        """The process whose thread was running, where it is one of the run."""
        return self.pids.get(event.pid)


def witness(trace: Trace, wire: Wire) -> Witnessed:
    """Place the trace's kernel events on what the wire shows. Linear, but for the sorting."""
    said = trace.witness
    found = Witnessed(
        asked=bool(trace.kernel) or said is not None,
        complete=said is not None and said.lost == 0,
        watched=frozenset(said.watched if said is not None else ()),
    )
    if not trace.kernel:
        return found
    found.pids = _pids(trace.calls, trace.processes)
    found.during = _during(trace.kernel, trace.calls)
    known = incarnations(wire.conversations)
    found.lives = lives_of(trace.kernel)
    found.life_of = match_lives(found.lives, known)
    by_half = _by_half(trace.kernel, known)
    _add_states(by_half, found.life_of)
    found.of_half = {h: sorted(e, key=lambda one: one.time_ns) for h, e in by_half.items()}
    found.resets = _resets(_named(trace.kernel, SEND_RESET), wire)
    sightings = wire.sightings.values()
    found.again = {
        **_pair(_named(trace.kernel, RETRANSMIT), sightings, _is_repeated),
        **_pair(_named(trace.kernel, RETRANSMIT_SYNACK), sightings, is_later_answer),
    }
    at = {segment.time_ns: segment.id for segment in trace.segments}
    found.drops = _drops(trace.kernel, at)
    astray = _astray(found.resets, _named(trace.kernel, SEND_RESET))
    found.answered = {
        number: about
        for number, event in found.resets.items()
        for about in [spoken_of(event, at)]
        if about is not None and event.id not in astray and _answers(wire.sightings, number, about)
    }
    return found


def find_listeners(found: Witnessed, used: Mapping[int, int]) -> None:
    """Give the lives of listening sockets to ours: the thread that was in listen() made them.
    ``used`` is the socket that each call used."""
    for life in found.lives:
        call = found.during.get(life.events[0].id) if life.is_listener else None
        if call is not None and call.name == "listen" and call.id in used:
            found.listeners.setdefault(used[call.id], []).append(life)


def placed(trace: Trace, wire: Wire, found: Witnessed) -> tuple[PlacedEvent, ...]:
    """Each event of the trace with what it speaks of, as far as that is known."""
    half_of = {event.id: half for half, events in found.of_half.items() for event in events}
    segment_of = {
        event.id: number
        for told in (found.resets, found.again, found.drops)
        for number, event in told.items()
    }
    return tuple(_placed(event, wire, half_of, segment_of, found) for event in trace.kernel)


def _placed(
    event: KernelEvent,
    wire: Wire,
    half_of: Mapping[int, Half],
    segment_of: Mapping[int, int],
    found: Witnessed,
) -> PlacedEvent:
    number = segment_of.get(event.id)
    half = half_of.get(event.id)
    sighting = wire.sightings.get(number) if number is not None else None
    if half is None and sighting is not None:
        half = sighting.other if event.event == DROP else sighting.half
    during = found.during.get(event.id)
    said = in_words(event)
    if half is None:
        return PlacedEvent(event.id, said, None, "", number, during.id if during else None)
    conversation = wire.conversations[half.conversation - 1]
    end = "client" if half is conversation.client else "server"
    return PlacedEvent(event.id, said, conversation.id, end, number, during.id if during else None)


# --- Threads -----------------------------------------------------------------------------------


def _pids(calls: Iterable[Call], processes: Iterable[Process]) -> dict[int, int]:
    """Thread to process."""
    found = {process.pid: process.pid for process in processes}
    found.update((call.tid, call.pid) for call in calls)
    return found


def _during(events: Iterable[KernelEvent], calls: Iterable[Call]) -> dict[int, Call]:
    """Event id to the call that its thread was in."""
    by_thread: dict[int, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda one: one.entered_ns):
        by_thread[call.tid].append(call)
    found: dict[int, Call] = {}
    for event in events:
        made = by_thread.get(event.pid, [])
        index = bisect_right(made, event.time_ns, key=lambda call: call.entered_ns)
        latest = made[index - 1 : index]
        found.update(
            (event.id, call)
            for call in latest
            if call.returned_ns is None or event.time_ns <= call.returned_ns
        )
    return found


# --- Connections -------------------------------------------------------------------------------


def _by_half(events: Iterable[KernelEvent], known: Incarnations) -> dict[Half, list[KernelEvent]]:
    """What is told of one end of a connection, state changes left out."""
    found: dict[Half, list[KernelEvent]] = defaultdict(list)
    for event in events:
        if event.event in (SET_STATE, QUEUED, DROP):
            continue
        local, remote = endpoint(event.src), endpoint(event.dst)
        half = known.at(local, remote, event.time_ns) if local and remote else None
        if half is not None:
            found[half].append(event)
    return found


def _add_states(by_half: dict[Half, list[KernelEvent]], lives: Mapping[Half, KernelLife]) -> None:
    for half, life in lives.items():
        by_half.setdefault(half, []).extend(life.events)


# --- Segments ----------------------------------------------------------------------------------


def _named(events: Iterable[KernelEvent], *names: str) -> list[KernelEvent]:
    return [event for event in events if event.event in names]


def _resets(events: Sequence[KernelEvent], wire: Wire) -> dict[int, KernelEvent]:
    """Segment id of each RST to the event that it was sent. An abort is told after it has left, an
    answer before; so each kind is gone through in an order of its own."""
    sightings = wire.sightings.values()
    answers = [event for event in events if _names_a_packet(event)]
    silent = [event for event in events if not _names_a_packet(event)]
    aborts = [event for event in silent if event.detail.get("packet") == ""]
    others = [event for event in silent if "packet" not in event.detail]
    return {
        **_pair(others, sightings, lambda one: one.kind is Kind.RESET),
        **_pair(aborts, sightings, _is_abort),
        **_pair(answers, sightings, _is_answer),
    }


def _names_a_packet(event: KernelEvent) -> bool:
    return bool(event.detail.get("packet") or event.detail.get("segment_time"))


def _is_answer(sighting: Sighting) -> bool:
    """A RST with the number that it was asked for, or none (RFC 9293 3.10.7.1)."""
    return sighting.kind is Kind.RESET and (sighting.ack is None or sighting.segment.seq == 0)


def _is_abort(sighting: Sighting) -> bool:
    return sighting.kind is Kind.RESET and not _is_answer(sighting)


def _is_repeated(sighting: Sighting) -> bool:
    if sighting.kind is Kind.SYN_ACK:
        return False
    return sighting.kind in (Kind.REPEATED, Kind.PROBE) or sighting.original is not None


def is_later_answer(sighting: Sighting) -> bool:
    """A SYN-ACK after the first."""
    answers = (syn for syn in sighting.half.syns if syn.kind is Kind.SYN_ACK)
    return sighting.kind is Kind.SYN_ACK and next(answers) is not sighting


def _pair(
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


def _astray(resets: Mapping[int, KernelEvent], events: Iterable[KernelEvent]) -> frozenset[int]:
    """The events of directions in which RSTs were sent that were not captured: which of several was
    which is not known then."""
    paired = {event.id for event in resets.values()}
    torn = {_direction(event) for event in events if event.id not in paired}
    return frozenset(event.id for event in resets.values() if _direction(event) in torn)


def _answers(sightings: Mapping[int, Sighting], reset: int, about: int) -> bool:
    """Packets of one length may be taken for each other: the RST goes back where it came from."""
    came = sightings.get(about)
    return came is not None and came.half is sightings[reset].other


def _drops(events: Iterable[KernelEvent], at: Mapping[int, int]) -> dict[int, KernelEvent]:
    """Segment id to the event that its packet was dropped."""
    found: dict[int, KernelEvent] = {}
    for event in events:
        number = spoken_of(event, at)
        if number is not None and event.event == DROP:
            found.setdefault(number, event)
    return found
