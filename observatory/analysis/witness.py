"""What each of the kernel's events speaks of: a connection, one of its ends, a segment, a call.

Events carry endpoints and times. Endpoints name the connection, times the incarnation; a RST, a
retransmission and a dropped packet are joined to the segment that the wire shows next to them.
Which thread was running is known too, but not that it did it: on loopback the kernel delivers a
packet, and answers it, in the thread that sent it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from observatory.analysis.wire import Half, Wire
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
from observatory.analysis.witness_segments import (
    astray_of,
    drops_of,
    goes_back,
    is_later_answer,
    is_repeated,
    named,
    pair,
    resets_of,
    spoken_of,
)
from observatory.model import Call, KernelEvent, PlacedEvent, Process, Trace

# Linux include/net/dropreason-core.h: reasons for packets that did not reach TCP, or reached their
# socket only when it was CLOSED already (they had waited while a call held it).
NOT_TAKEN = frozenset(
    {"NETFILTER_DROP", "OTHERHOST", "IP_CSUM", "TCP_CSUM", "IP_INHDR", "IP_RPFILTER"}
    | {"SOCKET_BACKLOG", "CPU_BACKLOG", "QDISC_DROP", "QDISC_OVERLIMIT"}
    | {"FULL_RING", "NOMEM", "IP_INNOROUTES", "IP_OUTNOROUTES", "XFRM_POLICY", "TCP_CLOSE"}
)


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
    place_segments(trace, wire, found)
    return found


def place_segments(trace: Trace, wire: Wire, found: Witnessed) -> None:
    """Enter the segments of which RSTs, retransmissions and drops were told."""
    told = named(trace.kernel, SEND_RESET)
    sightings = wire.sightings.values()
    found.resets = resets_of(told, wire)
    found.again = {
        **pair(named(trace.kernel, RETRANSMIT), sightings, is_repeated),
        **pair(named(trace.kernel, RETRANSMIT_SYNACK), sightings, is_later_answer),
    }
    at = {segment.time_ns: segment.id for segment in trace.segments}
    found.drops = drops_of(trace.kernel, at)
    astray = astray_of(found.resets, told)
    found.answered = {
        number: about
        for number, event in found.resets.items()
        for about in [spoken_of(event, at)]
        if about is not None and event.id not in astray and goes_back(wire.sightings, number, about)
    }


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
