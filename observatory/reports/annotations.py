"""One-line comments on segments, as they stand in Wireshark's packet comments."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.codec.calltext import result_text
from observatory.codec.printable import printable
from observatory.model import (
    Analysis,
    AttributedSegment,
    Call,
    Cause,
    CauseKind,
    Confidence,
    ExplainedCall,
)
from observatory.reports.labels import datagram_calls, process_names


def comments(analysis: Analysis) -> dict[int, tuple[str, ...]]:
    """Segment id to its comments: its cause first, then each call that it completed.

    ``#12 ← connect() by client[4711] (c4): SYN, active open``;
    ``#13 completes accept4() c7 of server[4712] = 5 (127.0.0.1:40000)``.
    """
    names, datagrams = process_names(analysis), datagram_calls(analysis)
    calls = {entry.call.id: entry for entry in analysis.calls}
    return {
        entry.segment.id: tuple(
            printable(line) for line in _comments(entry, calls, names, datagrams)
        )
        for entry in analysis.segments
    }


def _comments(
    entry: AttributedSegment,
    calls: dict[int, ExplainedCall],
    names: dict[int, str],
    datagrams: frozenset[int],
) -> Iterator[str]:
    number, cause = entry.segment.id, entry.cause
    call = calls[cause.call].call if cause.call in calls else None
    doubt = " (likely)" if cause.confidence is Confidence.LIKELY else ""
    reason = f": {cause.reason}" if cause.reason else ""
    yield f"#{number} {_origin(cause, call, names)}{doubt}{reason}"
    for completed in entry.completes:
        if completed in calls:
            done = calls[completed].call
            result = result_text(done, done.id not in datagrams)
            yield (
                f"#{number} completes {done.name}() c{done.id} of "
                f"{_who(done.pid, names)} = {result}"
            )


def _origin(cause: Cause, call: Call | None, names: dict[int, str]) -> str:
    by = "" if call is None else f"{call.name}() by {_who(call.pid, names)} (c{call.id})"
    if cause.kind is CauseKind.CALL:
        return f"← {by or 'a call that was not recorded'}"
    about = "" if cause.segment is None else f" #{cause.segment}"
    back = f", goes back to {by}" if by else ""
    if cause.kind is CauseKind.REPLY:
        return f"answers{about}{back}" if about else f"is the kernel's reply{back}"
    if cause.kind is CauseKind.TIMER:
        return f"a timer fired after{about}{back}" if about else f"a timer fired{back}"
    if cause.kind is CauseKind.PATH:
        return f"made on the path, of{about}" if about else "made on the path"
    return "cause unknown"


def _who(pid: int, names: dict[int, str]) -> str:
    return names.get(pid, f"pid[{pid}]")
