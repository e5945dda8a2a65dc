"""Of the whole machine's kernel events those that belong to a run.

Tracepoints tell of every process in every network namespace, and namespaces use the same
addresses: endpoints alone do not say whose an event is. What does is the kernel socket that it
speaks of, and in which thread that was opened; where it speaks of none, endpoints, time and the
thread that was running together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from observatory.analysis.kernel_packets import QUEUE, segments_spoken_of
from observatory.analysis.kernel_sockets import Life, Pair, lives_of, pair_of
from observatory.model import Endpoint, KernelEvent, Segment, Trace

DROP = "skb:kfree_skb"
SLACK_NS = 5_000_000
"""How far an event may be from the first and last segment of its connection."""

NO_DROPS = frozenset({"0", "1", "CONSUMED", "NOT_DROPPED_YET", "OTHERHOST"})
"""Reasons that are none (include/net/dropreason-core.h): the packet was used up, or a copy of it
was seen where it was not for, as at the ends of a user-space relay."""
WITH_BYTES_ONLY = frozenset({"QUEUE_PURGE", "SOCKET_CLOSE", "NOT_SPECIFIED", ""})
"""Reasons for what still stands in a queue when its socket goes, or for what the kernel frees
without giving any. Bytes are lost so; but a FIN or ACK without bytes was understood all the same
(TIME-WAIT frees each FIN so), and nobody misses it."""


class Whose(Enum):
    OURS = "ours"
    FOREIGN = "foreign"
    """It has endpoints of the run's, and is not the run's."""
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Own:
    """The run's events in order of time, numbered from 1, and how many were ``foreign``."""

    events: tuple[KernelEvent, ...]
    foreign: int


def own_events(events: Sequence[KernelEvent], trace: Trace) -> Own:
    """Those of ``events`` (in order of time) that belong to the calls and segments of ``trace``.

    Events of the queue are left out: what they tell is added to those that name the same packet,
    as ``segment_time`` (``Segment.time_ns`` of the captured segment) in their detail.
    """
    sorting = _Sorting(events, trace)
    kept: list[KernelEvent] = []
    foreign = 0
    for position in range(len(events)):
        whose = sorting.whose(position)
        foreign += whose is Whose.FOREIGN
        if whose is Whose.OURS:
            kept.append(replace(sorting.told(position), id=len(kept) + 1))
    return Own(tuple(kept), foreign)


class _Sorting:
    """What is known of the run and of the machine's events, and what follows from it."""

    def __init__(self, events: Sequence[KernelEvent], trace: Trace) -> None:
        self._events = events
        self._threads = threads_of(trace)
        self._flows = flows_of(trace.segments)
        self._locals = frozenset(
            call.local.on_the_wire() for call in trace.calls if isinstance(call.local, Endpoint)
        )
        self._spoken = segments_spoken_of(events, trace.segments, trace.interfaces, self._threads)
        self._lives = lives_of(events)
        self._by_pair: dict[Pair, list[Life]] = defaultdict(list)
        for life in self._lives:
            for pair in life.pairs:
                self._by_pair[pair].append(life)
        self._whose: dict[int, Whose] = {}
        self._own_lives: dict[Pair, list[Life]] = defaultdict(list)
        self._own_sockets: dict[object, list[Life]] = defaultdict(list)
        for life in self._lives:
            self._judge(life)

    def _judge(self, life: Life) -> None:
        whose = self._whose_life(life)
        for event in life.events:
            self._whose[id(event)] = whose
        if whose is Whose.OURS:
            self._own_sockets[life.events[0].detail["socket"]].append(life)
            for pair in life.pairs:
                self._own_lives[pair].append(life)

    def _whose_life(self, life: Life) -> Whose:
        if life.opener is not None:
            if life.opener in self._threads:
                return Whose.OURS
            return Whose.FOREIGN if self._has_our_endpoints(life) else Whose.NOISE
        if self._threads.issuperset(life.pids) and (not life.pairs or life.locals <= self._locals):
            # Packets may arrive in any thread; but it had no peer, or an endpoint of the run's.
            return Whose.OURS
        if not self._has_our_endpoints(life):
            return Whose.NOISE
        return self._whose_by_openers(life.pairs, life.first_ns, life.last_ns, life.pids)

    def _whose_by_openers(
        self, pairs: Iterable[Pair], first_ns: int, last_ns: int, pids: Iterable[int]
    ) -> Whose:
        """By who opened the other end. If both a thread of ours and another did, in two
        namespaces, by which of them was running; any third may have been interrupted."""
        openers = {
            life.opener
            for pair in pairs
            for life in self._by_pair.get(pair, ())
            if life.opener is not None and _together(life, first_ns, last_ns)
        }
        foreign = openers - self._threads
        if not foreign or foreign == openers:
            return Whose.FOREIGN if foreign else Whose.OURS
        ours = sum(pid in self._threads for pid in pids)
        theirs = sum(pid in foreign for pid in pids)
        return Whose.OURS if ours >= theirs else Whose.FOREIGN

    def _has_our_endpoints(self, life: Life) -> bool:
        """On our wire while it lived, or, for what has no peer, at an endpoint of our sockets'."""
        if any(self._on_our_wire(pair, life.first_ns, life.last_ns) for pair in life.pairs):
            return True
        return not life.pairs and any(self._is_local(end) for end in life.locals)

    def _on_our_wire(self, pair: Pair, first_ns: int, last_ns: int) -> bool:
        flow = self._flows.get(pair)
        return flow is not None and first_ns <= flow[1] + SLACK_NS and last_ns >= flow[0] - SLACK_NS

    def _is_local(self, end: Endpoint) -> bool:
        return end in self._locals or any(
            own.port == end.port and (own.is_wildcard or end.is_wildcard) for own in self._locals
        )

    def whose(self, position: int) -> Whose:
        event = self._events[position]
        if event.event == QUEUE or event.detail.get("error") == "0":
            return Whose.NOISE  # disconnecting a socket reports an error of 0: that there is none
        if event.event == DROP:
            return self._whose_drop(position, event)
        known = self._whose.get(id(event))
        return self._whose_without_socket(position, event) if known is None else known

    def _whose_drop(self, position: int, event: KernelEvent) -> Whose:
        """A drop has no endpoints: its packet must be one of ours, or its receiver."""
        reason = event.detail.get("reason")
        if reason in NO_DROPS:
            return Whose.NOISE
        segment = self._spoken.get(position)
        if segment is not None:
            missed = segment.length > 0 or "S" in segment.flags
            return Whose.OURS if missed or reason not in WITH_BYTES_ONLY else Whose.NOISE
        if reason in WITH_BYTES_ONLY or not event.detail.get("protocol"):
            return Whose.NOISE
        received = self._own_sockets.get(event.detail.get("receiver"), ())
        if any(_together(life, event.time_ns, event.time_ns) for life in received):
            return Whose.OURS
        return Whose.NOISE

    def _whose_without_socket(self, position: int, event: KernelEvent) -> Whose:
        if position in self._spoken:
            return Whose.OURS
        pair = pair_of(event)
        if pair is None:
            local = event.src is not None and self._is_local(event.src)
            return Whose.OURS if local and event.pid in self._threads else Whose.NOISE
        if not (
            self._on_our_wire(pair, event.time_ns, event.time_ns)
            or any(
                _together(life, event.time_ns, event.time_ns)
                for life in self._own_lives.get(pair, ())
            )
        ):
            return Whose.NOISE
        return self._whose_by_openers([pair], event.time_ns, event.time_ns, [event.pid])

    def told(self, position: int) -> KernelEvent:
        """The event, with the segment that it speaks of where that is known."""
        event = self._events[position]
        segment = self._spoken.get(position)
        if segment is None:
            return event
        detail = {**event.detail, "segment_time": segment.time_ns}
        if event.event != DROP:
            return replace(event, detail=detail)
        return replace(event, src=segment.src, dst=segment.dst, detail=detail)


def threads_of(trace: Trace) -> frozenset[int]:
    """The processes and threads of the run, as far as calls and processes tell."""
    return frozenset(
        (
            *(call.tid for call in trace.calls),
            *(call.pid for call in trace.calls),
            *(process.pid for process in trace.processes),
        )
    )


def flows_of(segments: Iterable[Segment]) -> Mapping[Pair, tuple[int, int]]:
    """By pair of endpoints when its first and its last segment were seen; also those of which
    only an ICMP error tells."""
    found: dict[Pair, tuple[int, int]] = {}
    for segment in segments:
        ends = [(segment.src, segment.dst)]
        if segment.icmp is not None and segment.icmp.quoted_src and segment.icmp.quoted_dst:
            ends = [(segment.icmp.quoted_src, segment.icmp.quoted_dst)]
        for src, dst in ends:
            pair = frozenset((src, dst))
            first_ns, _ = found.get(pair, (segment.time_ns, 0))
            found[pair] = first_ns, segment.time_ns
    return found


def _together(life: Life, first_ns: int, last_ns: int) -> bool:
    return life.first_ns <= last_ns + SLACK_NS and first_ns <= life.last_ns + SLACK_NS
