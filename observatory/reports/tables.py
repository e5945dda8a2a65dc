"""Calls and segments as CSV (RFC 4180), one row each, for spreadsheets and data frames.

Columns are the document's fields (docs/document.schema.json) under the same names, flat: lists of
ids are joined by blanks, the explanation's and the cause's parts have a column each.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping

from observatory.codec.calltext import call_text
from observatory.model import Analysis, AttributedSegment, ExplainedCall
from observatory.reports.labels import process_names

Cell = int | str | None
# A spreadsheet takes a cell that begins so for a formula; wire and programs may write anything.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

CALL_COLUMNS: Mapping[str, Callable[[ExplainedCall], Cell]] = {
    "id": lambda one: one.call.id,
    "name": lambda one: one.call.name,
    "pid": lambda one: one.call.pid,
    "tid": lambda one: one.call.tid,
    "fd": lambda one: one.call.fd,
    "socket": lambda one: one.socket,
    "connection": lambda one: one.connection,
    "text": lambda one: call_text(one.call),
    "result": lambda one: one.call.result,
    "errno": lambda one: one.call.errno,
    "entered_ns": lambda one: one.call.entered_ns,
    "returned_ns": lambda one: one.call.returned_ns,
    "sent": lambda one: _ids(one.sent),
    "retransmitted": lambda one: _ids(one.retransmitted),
    "completed_by": lambda one: _ids(one.completed_by),
    "explanation": lambda one: one.explanation.text,
    "rule": lambda one: one.explanation.rule,
    "confidence": lambda one: one.explanation.confidence.value,
    "reference": lambda one: one.explanation.reference,
}
SEGMENT_COLUMNS: Mapping[str, Callable[[AttributedSegment], Cell]] = {
    "id": lambda one: one.segment.id,
    "time_ns": lambda one: one.segment.time_ns,
    "protocol": lambda one: one.segment.protocol.value,
    "src": lambda one: str(one.segment.src),
    "dst": lambda one: str(one.segment.dst),
    "flags": lambda one: one.segment.flags,
    "seq": lambda one: one.segment.seq if one.segment.flags else None,
    "ack": lambda one: one.segment.ack if "A" in one.segment.flags else None,
    "relative_seq": lambda one: one.relative_seq,
    "relative_ack": lambda one: one.relative_ack,
    "length": lambda one: one.segment.length,
    "window": lambda one: one.segment.window if one.segment.flags else None,
    "connection": lambda one: one.connection,
    "cause": lambda one: one.cause.kind.value,
    "cause_call": lambda one: one.cause.call,
    "cause_segment": lambda one: one.cause.segment,
    "reason": lambda one: one.cause.reason,
    "confidence": lambda one: one.cause.confidence.value,
    "completes": lambda one: _ids(one.completes),
    "retransmission": lambda one: "yes" if one.retransmission else "",
}


def calls_csv(analysis: Analysis) -> str:
    """Every call; ``process`` is its process's name in the report."""
    names = process_names(analysis)
    columns = {**CALL_COLUMNS, "process": lambda one: names.get(one.call.pid, "")}
    return _table(columns, analysis.calls)


def segments_csv(analysis: Analysis) -> str:
    """Every segment, datagram and ICMP message."""
    interfaces = analysis.trace.interfaces
    columns = {
        **SEGMENT_COLUMNS,
        "interface": lambda one: (
            interfaces[one.segment.interface].name
            if one.segment.interface < len(interfaces)
            else None
        ),
    }
    return _table(columns, analysis.segments)


def _table(columns: Mapping[str, Callable[..., Cell]], rows: Iterable[object]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([_safe(cell(row)) for cell in columns.values()] for row in rows)
    return file.getvalue()


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _ids(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))
