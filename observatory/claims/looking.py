"""What a predicate looks at a run with: its calls and segments, found by what they are.

A predicate takes a :class:`Run` and returns a Finding. It must be able to come out either way; if
the run does not show what the statement speaks of, it raises :class:`CannotTell` with the reason,
for what was not put to the test neither holds nor differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from observatory.model import (
    Address,
    Analysis,
    AttributedSegment,
    Endpoint,
    ExplainedCall,
    KernelEvent,
    Protocol,
    parse_address,
)
from observatory.model.claims import Finding, Verdict

Evidence = ExplainedCall | AttributedSegment | KernelEvent
Item = TypeVar("Item")

ANY_OUTCOME = "any"
EARLIEST_RETRY_NS = 1_000_000_000
"""Before this a SYN is never sent again: the initial retransmission timeout (RFC 6298 2.1)."""


class CannotTell(Exception):
    """The run does not show what the statement speaks of; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One observed run, for a predicate to look at."""

    analysis: Analysis

    # Calls.

    def calls(
        self,
        *names: str,
        role: str | None = None,
        outcome: str = "ok",
        socket: int | None = None,
    ) -> list[ExplainedCall]:
        """Calls in time order. ``outcome`` is ``ok``, ``failed``, ``any`` or an errno; ``role``
        the process's (``server`` is not ``server.1``)."""
        return [
            one
            for one in self.analysis.calls
            if one.call.name in names
            and (role is None or self.role(one) == role)
            and _came_out(one, outcome)
            and (socket is None or one.socket == socket)
        ]

    def role(self, one: ExplainedCall) -> str:
        """The role of the process that made a call, empty where it is not known."""
        pids = {process.pid: process.role for process in self.analysis.trace.processes}
        return pids.get(one.call.pid, "")

    def following(self, one: ExplainedCall, *names: str) -> ExplainedCall | None:
        """The next call of the same thread, or its next of these names."""
        later = (
            other
            for other in self.analysis.calls
            if other.call.tid == one.call.tid
            and other.call.entered_ns > one.call.entered_ns
            and (not names or other.call.name in names)
        )
        return next(later, None)

    # Segments.

    def segments(self, *kinds: str, **ends: Address | None) -> list[AttributedSegment]:
        """Segments of these kinds (``SYN``, ``SYN-ACK``, ``FIN``, ``RST``, ``data``, ``UDP``,
        ``ICMP``; none: all), ``src=`` and ``dst=`` these endpoints where they are given."""
        return [
            one
            for one in self.analysis.segments
            if (not kinds or not set(kinds).isdisjoint(kinds_of(one)))
            and all(getattr(one.segment, end) == where for end, where in ends.items())
        ]

    def during(self, one: ExplainedCall) -> list[AttributedSegment]:
        """Segments between a call's entry and the next call of its thread (else its return)."""
        after = self.following(one)
        until = after.call.entered_ns if after else one.call.returned_ns
        return self.between(one.call.entered_ns, until)

    def between(self, from_ns: int, until_ns: int | None) -> list[AttributedSegment]:
        """Segments captured in this time; until the end if ``until_ns`` is None."""
        later = [one for one in self.analysis.segments if one.segment.time_ns >= from_ns]
        return [one for one in later if until_ns is None or one.segment.time_ns < until_ns]

    def syns_of(self, connect: ExplainedCall) -> list[AttributedSegment]:
        """The SYNs of one connect(), the repeated ones too: to its address, from its own port
        where that is known, between its entry and its return."""
        return self.segments_of(connect, "SYN")

    def segments_of(self, connect: ExplainedCall, kind: str) -> list[AttributedSegment]:
        """Segments of a kind that a connect()'s end sent while it was connecting."""
        target, local = self.target(connect), connect.call.local
        until = connect.call.returned_ns
        return [
            one
            for one in self.between(connect.call.entered_ns, until)
            if kind in kinds_of(one)
            and one.segment.dst == target
            and (not isinstance(local, Endpoint) or one.segment.src.port == local.port)
        ]

    def target(self, connect: ExplainedCall) -> Endpoint:
        """Where a connect() went to."""
        address = parse_address(connect.call.args.get("address"))
        if not isinstance(address, Endpoint):
            raise CannotTell(f"{named(connect)} names no IP address")
        return address.on_the_wire()

    def answers(self, one: AttributedSegment, *kinds: str) -> list[AttributedSegment]:
        """Segments of these kinds that came back, later, from where ``one`` went to."""
        return [
            other
            for other in self.segments(*kinds, src=one.segment.dst, dst=one.segment.src)
            if other.segment.time_ns >= one.segment.time_ns
        ]

    # What a verdict may rest on.

    @property
    def started_ns(self) -> int:
        """The time of the first event."""
        return first_event_ns(self.analysis)

    def when(self, time_ns: int) -> str:
        """A moment as the time since the first event: ``+1.2 ms``."""
        return f"+{span(time_ns - self.started_ns)}"

    def must_have_captured(self) -> None:
        """Raises CannotTell if nothing at all was captured: silence would prove nothing."""
        if not self.analysis.segments:
            raise CannotTell("nothing was captured in the whole run, so silence shows nothing")


def first_event_ns(analysis: Analysis) -> int:
    """The time of a run's first call or segment; 0 if there is none."""
    times = [one.call.entered_ns for one in analysis.calls[:1]]
    times += [one.segment.time_ns for one in analysis.segments[:1]]
    return min(times, default=0)


# --- Finding the one that is meant ----------------------------------------------------------------


def first(items: Iterable[Item], what: str) -> Item:
    """The first of them. Raises CannotTell that ``what`` is not in the run."""
    for item in items:
        return item
    raise CannotTell(f"the run shows no {what}")


def some(items: Sequence[Item], what: str, least: int = 1) -> Sequence[Item]:
    """All of them. Raises CannotTell if there are fewer than ``least``."""
    if len(items) < least:
        needed = f"{least} were needed, there are {len(items)}" if items else "there is none"
        raise CannotTell(f"the run shows too little: of {what} {needed}")
    return items


def returned_ns(one: ExplainedCall) -> int:
    """When a call returned. Raises CannotTell if it never did."""
    if one.call.returned_ns is None:
        raise CannotTell(f"{named(one)} never returned")
    return one.call.returned_ns


def time_of(one: ExplainedCall | AttributedSegment) -> int:
    """When a call was entered, or a segment captured."""
    return one.call.entered_ns if isinstance(one, ExplainedCall) else one.segment.time_ns


def local_of(one: ExplainedCall) -> Endpoint:
    """The local endpoint that the kernel named after a call. Raises CannotTell."""
    if not isinstance(one.call.local, Endpoint):
        raise CannotTell(f"the local address after {named(one)} is not known")
    return one.call.local


def peer_of(one: ExplainedCall) -> Endpoint:
    """The peer that the kernel named after a call. Raises CannotTell."""
    if not isinstance(one.call.peer, Endpoint):
        raise CannotTell(f"the peer after {named(one)} is not known")
    return one.call.peer


def told_by(one: ExplainedCall) -> Address | None:
    """The address that getsockname() or getpeername() handed over."""
    return parse_address(one.call.args.get("address"))


def socket_of(one: ExplainedCall) -> int:
    """The socket that a call was about. Raises CannotTell."""
    if one.socket is None:
        raise CannotTell(f"which socket {named(one)} was about is not known")
    return one.socket


def _came_out(one: ExplainedCall, outcome: str) -> bool:
    by_name: dict[str, Callable[[ExplainedCall], bool]] = {
        "ok": lambda each: each.call.succeeded,
        "failed": lambda each: each.call.failed,
        ANY_OUTCOME: lambda each: True,
    }
    return by_name[outcome](one) if outcome in by_name else one.call.errno == outcome


def kinds_of(one: AttributedSegment) -> list[str]:
    """What a segment is, in the words of predicates: one may be data and FIN."""
    seen = one.segment
    if seen.protocol is Protocol.UDP:
        return ["UDP"]
    if seen.protocol is not Protocol.TCP:
        return ["ICMP"]
    kinds = []
    if "S" in seen.flags:
        kinds.append("SYN-ACK" if "A" in seen.flags else "SYN")
    if seen.length:
        kinds.append("data")
    kinds += [kind for letter, kind in (("F", "FIN"), ("R", "RST")) if letter in seen.flags]
    return kinds or ["ACK"]


# --- Saying what was seen -------------------------------------------------------------------------


def found(holds: bool, seen: str, *evidence: Evidence | Iterable[Evidence]) -> Finding:
    """A finding that holds or differs, with what it rests on."""
    calls: set[int] = set()
    segments: set[int] = set()
    events: set[int] = set()
    for each in _flat(evidence):
        if isinstance(each, ExplainedCall):
            calls.add(each.call.id)
        elif isinstance(each, AttributedSegment):
            segments.add(each.segment.id)
        else:
            events.add(each.id)
    return Finding(
        Verdict.HOLDS if holds else Verdict.DIFFERS,
        seen,
        tuple(sorted(calls)),
        tuple(sorted(segments)),
        tuple(sorted(events)),
    )


def _flat(evidence: Iterable[Evidence | Iterable[Evidence]]) -> Iterable[Evidence]:
    for each in evidence:
        if isinstance(each, (ExplainedCall, AttributedSegment, KernelEvent)):
            yield each
        else:
            yield from each


def named(one: ExplainedCall | AttributedSegment) -> str:
    """``connect() c5`` or ``SYN #3``."""
    if isinstance(one, ExplainedCall):
        return f"{one.call.name}() c{one.call.id}"
    return f"{'+'.join(kinds_of(one))} #{one.segment.id}"


def outcome_of(one: ExplainedCall) -> str:
    """What a call returned: ``0``, ``-1 ECONNREFUSED``, ``?`` if it never did."""
    if one.call.returned_ns is None:
        return "?"
    return f"-1 {one.call.errno}" if one.call.errno else str(one.call.result)


def ids(items: Iterable[ExplainedCall | AttributedSegment], limit: int = 6) -> str:
    """``c5, c7`` or ``#3, #4``; of many the first, and how many more."""
    every = [
        f"c{one.call.id}" if isinstance(one, ExplainedCall) else f"#{one.segment.id}"
        for one in items
    ]
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return (", ".join(every[:limit]) + more) or "none"


def span(duration_ns: int) -> str:
    """A duration with three digits at most: ``87 µs``, ``1.32 ms``, ``2.05 s``."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000)):
        if abs(duration_ns) >= size:
            return f"{duration_ns / size:.3g} {unit}"
    return f"{duration_ns / 1000:.0f} µs"
