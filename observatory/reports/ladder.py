"""The rows of a ladder in the order that things happened: what is shown, not how it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import zip_longest
from operator import attrgetter

from observatory.model import (
    Analysis,
    AttributedSegment,
    ExplainedCall,
    Process,
    Protocol,
)
from observatory.reports.labels import datagram_calls
from observatory.reports.lanes import Lanes, lanes_of
from observatory.reports.marks import KernelRow, marks

# A call that took this long and during which something else went on is shown twice.
LONG_NS = 1_000_000
# Nothing happened for so long that it is worth saying.
PAUSE_NS = 100_000_000
NEVER_BLOCKS = frozenset({"exit", "execve"})
# What can sleep until another process acts.
CAN_WAIT = frozenset(
    {"accept", "accept4", "connect", "poll", "read", "recv", "recvfrom", "recvmsg", "select"}
)


class Moment(StrEnum):
    """Which part of a call a row shows."""

    WHOLE = "whole"
    ENTERED = "entered"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call in its lane: whole, or its entry, or its return. ``stream`` is False on a socket
    that carries datagrams."""

    time_ns: int
    lane: int
    call: ExplainedCall
    moment: Moment
    stream: bool = True


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment between two lanes. ``unanswered``: nothing acknowledged it before it was sent
    again or the trace ended; in a lab, where that is known, it was lost. ``from_half`` and
    ``to_half``: it begins, or ends, half-way between the lanes, on a link. ``took_ns`` is how
    long it was under way, where that is known."""

    time_ns: int
    source: int
    target: int
    segment: AttributedSegment
    unanswered: bool
    from_half: bool = False
    to_half: bool = False
    took_ns: int = 0


@dataclass(frozen=True, slots=True)
class EndRow:
    """A process that a signal ended, or that left no exit call behind."""

    time_ns: int
    lane: int
    process: Process


Row = CallRow | SegmentRow | EndRow


@dataclass(frozen=True, slots=True)
class Ladder:
    """Lanes and rows; times count from ``start_ns``."""

    lanes: Lanes
    rows: tuple[Row, ...]
    start_ns: int
    marks: tuple[KernelRow, ...] = ()

    def with_marks(self) -> Sequence[Row | KernelRow]:
        """The rows with the kernel's marks among them."""
        if not self.marks:
            return self.rows
        return sorted([*self.rows, *self.marks], key=attrgetter("time_ns"))


def ladder(analysis: Analysis, kernel: bool = False) -> Ladder:
    """The whole ladder of an analysis, with the kernel's events as marks if ``kernel``."""
    lanes = lanes_of(analysis)
    # Where times are equal, a return stands first: of some sources it is only known to have been
    # by the time of the next call. Then what was entered, and what that caused.
    ranked = sorted(_ranked(analysis, lanes), key=lambda entry: entry[:2])
    rows = tuple(_joined([row for _, _, row in ranked]))
    start_ns = rows[0].time_ns if rows else 0
    return Ladder(lanes, rows, start_ns, marks(analysis, lanes) if kernel else ())


def _joined(rows: list[Row]) -> Iterator[Row]:
    """The rows with an entry and a return that nothing stands between, not even a pause, made
    one row."""
    joined = False
    for row, after in zip_longest(rows, rows[1:]):
        if joined:
            joined = False
            continue
        if isinstance(row, CallRow) and isinstance(after, CallRow):
            short = after.time_ns - row.time_ns < PAUSE_NS
            joined = short and after.moment is Moment.RETURNED and after.call is row.call
        yield replace(row, moment=Moment.WHOLE) if joined and isinstance(row, CallRow) else row


RETURN, ENTRY, WIRE, AT_ONCE, END = range(5)


def _ranked(analysis: Analysis, lanes: Lanes) -> Iterator[tuple[int, int, Row]]:
    lost = unanswered(analysis.segments)
    blocking, datagrams = blocked_calls(analysis), datagram_calls(analysis)
    for explained in analysis.calls:
        call = explained.call
        lane, stream = lanes.position[call.pid], call.id not in datagrams
        moment = Moment.ENTERED if call.id in blocking else Moment.WHOLE
        yield call.entered_ns, ENTRY, CallRow(call.entered_ns, lane, explained, moment, stream)
        if call.id in blocking and call.returned_ns is not None:
            row = CallRow(call.returned_ns, lane, explained, Moment.RETURNED, stream)
            rank = RETURN if call.returned_ns > call.entered_ns else AT_ONCE
            yield call.returned_ns, rank, row
    for attributed in analysis.segments:
        segment = attributed.segment
        source, target = lanes.ends[segment.id]
        arrow = SegmentRow(
            segment.time_ns,
            source,
            target,
            attributed,
            bool(attributed.lost_after) if segment.sightings else segment.id in lost,
            *lanes.halves.get(segment.id, (False, False)),
            arrival_ns(attributed) - segment.time_ns,
        )
        yield segment.time_ns, WIRE, arrow
    exited = {call.call.pid for call in analysis.calls if call.call.name == "exit"}
    for process in analysis.trace.processes:
        told = process.signal is None and (process.pid in exited or not process.status)
        if process.ended_ns is None or told or process.pid not in lanes.position:
            continue
        lane = lanes.position[process.pid]
        yield process.ended_ns, END, EndRow(process.ended_ns, lane, process)


def blocked_calls(analysis: Analysis) -> frozenset[int]:
    """The ids of calls that waited, or may have: they returned because of something that arrived
    after they were entered, or took long, or never returned."""
    arrivals = {entry.segment.id: arrival_ns(entry) for entry in analysis.segments}
    return frozenset(
        explained.call.id for explained in analysis.calls if _waited(explained, arrivals)
    )


def arrival_ns(attributed: AttributedSegment) -> int:
    """When a segment was seen last: at its receiver, unless it was lost."""
    segment = attributed.segment
    return segment.sightings[-1].time_ns if segment.sightings else segment.time_ns


def _waited(explained: ExplainedCall, arrivals: dict[int, int]) -> bool:
    call = explained.call
    if call.name in NEVER_BLOCKS:
        return False
    if call.returned_ns is None or call.returned_ns - call.entered_ns >= LONG_NS:
        return True
    if call.succeeded and call.name in CAN_WAIT and not explained.completed_by:
        # Nothing on the wire (AF_UNIX) tells what it waited for; what stands between will.
        return not explained.sent
    completed = (arrivals.get(number, 0) for number in explained.completed_by)
    return any(call.entered_ns <= time <= call.returned_ns for time in completed)


def unanswered(segments: Iterable[AttributedSegment]) -> frozenset[int]:
    """The ids of TCP segments with a SYN, FIN or data that nothing acknowledged before they
    were sent again, or before the trace ended. A RST or an ICMP error is an answer too."""
    # For each direction of each connection, what is in flight: seq to (id, end of its bytes).
    flights: dict[tuple[int, str], dict[int, tuple[int, int]]] = {}
    sent: dict[int, tuple[tuple[int, str], int]] = {}
    lost: set[int] = set()
    for attributed in segments:
        segment = attributed.segment
        if segment.icmp is not None and attributed.quotes in sent:
            direction, seq = sent[attributed.quotes]
            flights[direction].pop(seq, None)
        if segment.protocol is not Protocol.TCP or attributed.connection is None:
            continue
        here = attributed.connection, str(segment.src)
        there = flights.get((attributed.connection, str(segment.dst)), {})
        if "R" in segment.flags:
            there.clear()
            continue
        if "A" in segment.flags and attributed.relative_ack is not None:
            _acknowledge(there, attributed.relative_ack)
        occupied = segment.length + ("S" in segment.flags) + ("F" in segment.flags)
        if not occupied or attributed.relative_seq is None:
            continue
        flight = flights.setdefault(here, {})
        if attributed.relative_seq in flight:
            lost.add(flight[attributed.relative_seq][0])
        flight[attributed.relative_seq] = segment.id, attributed.relative_seq + occupied
        sent[segment.id] = here, attributed.relative_seq
    return frozenset(lost.union(number for f in flights.values() for number, _ in f.values()))


def _acknowledge(flight: dict[int, tuple[int, int]], ack: int) -> None:
    """Take what ``ack`` covers out of flight; it was put in in the order of its numbers."""
    while flight:
        seq = next(iter(flight))
        if flight[seq][1] > ack:
            return
        del flight[seq]
