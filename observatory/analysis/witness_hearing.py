"""The kernel heard on everything that was concluded, and a list of where it contradicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from observatory.analysis.completions import Joined
from observatory.analysis.evidence import ROW
from observatory.analysis.witness import Witnessed
from observatory.analysis.witness_judge import Judge
from observatory.analysis.witness_states import with_states
from observatory.model import (
    AttributedSegment,
    Call,
    Connection,
    Difference,
    ExplainedCall,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Heard:
    """The conclusions after the kernel was heard, and where it contradicts them."""

    segments: tuple[AttributedSegment, ...]
    calls: tuple[ExplainedCall, ...]
    connections: tuple[Connection, ...]
    differences: tuple[Difference, ...] = ()


def hear(
    witnessed: Witnessed,
    joined: Joined,
    calls: Mapping[int, Call],
    segments: tuple[AttributedSegment, ...],
    explained: tuple[ExplainedCall, ...],
    connections: tuple[Connection, ...],
) -> Heard:
    """Ask the witness about every conclusion. Without one they stay as they are."""
    if not witnessed.asked:
        return Heard(segments, explained, connections)
    judge = Judge(witnessed, joined, calls)
    judged = judge.segments(segments)
    heard = judge.explanations(explained, judged)
    beside = [with_states(one, joined.wire, witnessed) for one in connections]
    found = [
        *_of_segments(judged),
        *_of_calls(heard, judged),
        *(difference for _, told in beside for difference in told),
    ]
    return Heard(judged, heard, tuple(connection for connection, _ in beside), tuple(found))


def _of_segments(segments: Iterable[AttributedSegment]) -> Iterator[Difference]:
    for one in segments:
        if one.kernel is None or one.kernel.verdict is not Verdict.CONTRADICTED:
            continue
        yield Difference(
            f"{_kind(one.segment.flags)} #{one.segment.id}",
            one.cause.reason,
            one.kernel.said,
            segments=(one.segment.id,),
            calls=() if one.cause.call is None else (one.cause.call,),
            connections=() if one.connection is None else (one.connection,),
            kernel=one.kernel.events,
        )


def _kind(flags: str) -> str:
    return next((name for letter, name in _KINDS if letter in flags), "segment")


_KINDS = (("R", "RST"), ("F", "FIN"), ("S", "SYN"))


def _of_calls(
    calls: Iterable[ExplainedCall], segments: Iterable[AttributedSegment]
) -> Iterator[Difference]:
    """Those that are not differences of the calls' segments alone."""
    told = {
        number
        for one in segments
        if one.kernel is not None and one.kernel.verdict is Verdict.CONTRADICTED
        for number in one.kernel.events
    }
    for one in calls:
        kernel = one.kernel
        if kernel is None or kernel.verdict is not Verdict.CONTRADICTED:
            continue
        if kernel.events and told.issuperset(kernel.events):
            continue
        yield Difference(
            f"{one.call.name}() c{one.call.id}",
            ROW[kernel.row].conclusion,
            kernel.said,
            segments=one.explanation.evidence.segments,
            calls=(one.call.id,),
            connections=() if one.connection is None else (one.connection,),
            kernel=kernel.events,
        )
