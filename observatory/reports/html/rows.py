"""What the page draws and the document does not say: lanes, rows in order, the words of calls.

All of it is what the other reports draw too, so that no conclusion is drawn twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any

from observatory.codec.printable import printable
from observatory.model import Analysis, KernelEvent
from observatory.reports.drawing import call_words, end_words
from observatory.reports.ladder import PAUSE_NS, CallRow, Ladder, Row, SegmentRow, ladder
from observatory.reports.selection import selected
from observatory.reports.why import reasons

JsonRow = list[Any]


def drawing(analysis: Analysis, arcs: Iterable[tuple[str, str, str]] = ()) -> dict[str, Any]:
    """The ladder as JSON values. Times are ns since ``start_ns`` (text: no JSON number of a
    browser holds it). Rows are ``[kind, time, id, lane, …]``: of calls (whole, entered,
    returned) with their words, of segments with source and target lane, of kernel events, and
    of processes that were ended, with words.
    """
    shown, _ = selected(analysis)
    kept = {entry.call.id for entry in shown.calls}
    drawn = ladder(analysis)
    start_ns = _start(analysis, drawn)
    rows = [_row(row, start_ns) for row in drawn.rows]
    lanes = drawn.lanes
    return {
        "start_ns": str(start_ns),
        "pause_ns": PAUSE_NS,
        "lanes": [
            {
                "label": printable(lane.label),
                "pid": lane.key if isinstance(lane.key, int) else None,
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
        "aside": [entry.call.id for entry in analysis.calls if entry.call.id not in kept],
        "reasons": [[entry.call.id for entry in one.calls] for one in reasons(shown)],
        "arcs": [list(arc) for arc in arcs],
    }


def _start(analysis: Analysis, drawn: Ladder) -> int:
    times = [drawn.start_ns] if drawn.rows else []
    times += [event.time_ns for event in analysis.trace.kernel[:1]]
    return min(times, default=analysis.trace.run.started_ns or 0)


def _row(row: Row, start_ns: int) -> JsonRow:
    at = row.time_ns - start_ns
    if isinstance(row, SegmentRow):
        return ["segment", at, row.segment.segment.id, row.source, row.target]
    if isinstance(row, CallRow):
        return [row.moment.value, at, row.call.call.id, row.lane, call_words(row)[0]]
    return ["end", at, row.process.pid, row.lane, end_words(row.process)]


def _kernel(analysis: Analysis, drawn: Ladder, start_ns: int) -> Iterator[JsonRow]:
    """The kernel's events, each in the lane of who ran at the time, or whose endpoint it names;
    None where neither is shown."""
    for event in analysis.trace.kernel:
        yield ["kernel", event.time_ns - start_ns, event.id, _lane(event, drawn)]


def _lane(event: KernelEvent, drawn: Ladder) -> int | None:
    keys = (event.pid, str(event.src))
    return next((drawn.lanes.position[key] for key in keys if key in drawn.lanes.position), None)
