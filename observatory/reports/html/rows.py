"""What the page draws and the document does not say: lanes, rows in order, the words of calls.

All of it is what the other reports draw too, so that no conclusion is drawn twice.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from operator import itemgetter
from typing import Any

from observatory.codec.printable import printable
from observatory.model import Analysis, KernelEvent, PlacedEvent
from observatory.reports.drawing import call_words, end_words
from observatory.reports.labels import icmp_name
from observatory.reports.ladder import PAUSE_NS, CallRow, Ladder, Row, SegmentRow, ladder
from observatory.reports.selection import selected
from observatory.reports.why import reasons

JsonRow = list[Any]
End = tuple[int | None, str]  # a connection, and client or server
Moments = list[tuple[int, int]]  # times and lanes

DROPPED = "skb:kfree_skb"


def drawing(analysis: Analysis, arcs: Iterable[tuple[str, str, str]] = ()) -> dict[str, Any]:
    """The ladder as JSON values. Times are ns since ``start_ns`` (text: no JSON number of a
    browser holds it). Rows are ``[kind, time, id, lane, …]``: of calls (whole, entered,
    returned) with their words, of segments with source and target lane (and whether they begin or
    end half-way, how long they took, where they were seen between), of kernel events, and of
    processes that were ended, with words.
    """
    shown, _ = selected(analysis)
    kept = {entry.call.id for entry in shown.calls}
    drawn = ladder(analysis)
    start_ns = _start(analysis, drawn, kept)
    hosts = [interface.host for interface in analysis.trace.interfaces]
    rows = [_row(row, start_ns, drawn, hosts) for row in drawn.rows]
    lanes = drawn.lanes
    topology = analysis.trace.run.topology
    routers = {node.name for node in topology.nodes if node.router} if topology else set()
    return {
        "start_ns": str(start_ns),
        "pause_ns": PAUSE_NS,
        "lanes": [
            {
                "label": printable(lane.label),
                "pid": lane.key if isinstance(lane.key, int) else None,
                "host": printable(lane.host),
                "router": lane.key in routers,
                "born": None if lane.born_ns is None else lane.born_ns - start_ns,
                "ended": None if lane.ended_ns is None else lane.ended_ns - start_ns,
            }
            for lane in lanes.lanes
        ],
        "rows": list(merge(rows, _kernel(analysis, drawn, start_ns), key=lambda row: row[1])),
        "lost": [
            row.segment.segment.id
            for row in drawn.rows
            if isinstance(row, SegmentRow) and row.unanswered
        ],
        "icmp": {
            str(segment.id): icmp_name(segment.protocol, segment.icmp)
            for segment in analysis.trace.segments
            if segment.icmp is not None
        },
        "aside": [entry.call.id for entry in analysis.calls if entry.call.id not in kept],
        "reasons": [[entry.call.id for entry in one.calls] for one in reasons(shown)],
        "arcs": [list(arc) for arc in arcs],
    }


def _start(analysis: Analysis, drawn: Ladder, kept: Container[int]) -> int:
    """When the first event was that is shown at first."""
    rows = (
        row.time_ns
        for row in drawn.rows
        if not isinstance(row, CallRow) or row.call.call.id in kept
    )
    times = [next(rows, None), *(event.time_ns for event in analysis.trace.kernel[:1])]
    known = [time_ns for time_ns in times if time_ns is not None]
    return min(known, default=analysis.trace.run.started_ns or 0)


def _row(row: Row, start_ns: int, drawn: Ladder, hosts: Sequence[str]) -> JsonRow:
    at = row.time_ns - start_ns
    if isinstance(row, SegmentRow):
        ends = [row.source, row.target, row.from_half, row.to_half]
        hops = _hops(row, drawn, hosts)
        return ["segment", at, row.segment.segment.id, *ends, row.took_ns, hops]
    if isinstance(row, CallRow):
        return [row.moment.value, at, row.call.call.id, row.lane, call_words(row)[0]]
    return ["end", at, row.process.pid, row.lane, end_words(row.process)]


def _hops(row: SegmentRow, drawn: Ladder, hosts: Sequence[str]) -> list[list[int]]:
    """The routers' lanes that saw a segment on its way: the lane, and after how many ns."""
    segment = row.segment.segment
    seen: dict[int, int] = {}
    for sighting in segment.sightings:
        lane = drawn.lanes.position.get(hosts[sighting.interface])
        if lane is not None and lane not in (row.source, row.target):
            seen.setdefault(lane, sighting.time_ns - segment.time_ns)
    return [[lane, after] for lane, after in seen.items()]


def _kernel(analysis: Analysis, drawn: Ladder, start_ns: int) -> Iterator[JsonRow]:
    """The kernel's events, each in its lane."""
    ends = _ends(analysis, drawn)
    placed = {one.event: one for one in analysis.kernel}
    for event in analysis.trace.kernel:
        speaks_of = placed.get(event.id, PlacedEvent(event.id))
        yield ["kernel", event.time_ns - start_ns, event.id, _lane(event, speaks_of, drawn, ends)]


def _lane(
    event: KernelEvent, placed: PlacedEvent, drawn: Ladder, ends: Mapping[End, Moments]
) -> int | None:
    """The lane of the host that an event names, of where the packet was that it dropped, of the
    end of a connection that it speaks of, or of who ran at the time; None where none is shown."""
    lanes = drawn.lanes
    node = event.detail.get("node")
    hosts = (index for index, lane in enumerate(lanes.lanes) if node in (lane.key, lane.host))
    if node and (found := next(hosts, None)) is not None:
        return found
    if event.event == DROPPED and placed.segment in lanes.ends:
        return lanes.ends[placed.segment][1]
    moments = ends.get((placed.connection, placed.end))
    if moments is not None:
        return moments[max(bisect(moments, event.time_ns, key=itemgetter(0)) - 1, 0)][1]
    return lanes.position.get(event.pid)


def _ends(analysis: Analysis, drawn: Ladder) -> dict[End, Moments]:
    """Where each end of each connection was at the time of each of its segments: a child may have
    it from its parent."""
    clients = {connection.id: connection.client for connection in analysis.connections}
    lanes: dict[End, Moments] = {}
    for attributed in analysis.segments:
        number, segment = attributed.connection, attributed.segment
        if number not in clients or segment.icmp is not None:
            continue
        source, target = drawn.lanes.ends[segment.id]
        if segment.src != clients[number]:
            source, target = target, source
        lanes.setdefault((number, "client"), []).append((segment.time_ns, source))
        lanes.setdefault((number, "server"), []).append((segment.time_ns, target))
    return lanes
