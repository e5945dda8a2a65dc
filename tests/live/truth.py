"""What the marks on the bytes say, held against what the analysis says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from observatory.analysis.callsets import RECEIVING, SENDING
from observatory.model import (
    Analysis,
    AttributedSegment,
    Call,
    CauseKind,
    Confidence,
    ExplainedCall,
    Protocol,
)
from tests.live.conversations import marked

Notes = Mapping[tuple[str, int], bytes]

ENDING = frozenset({"close", "shutdown", "exit", "kill", "execve", "dup2", "dup3"})
RESETTING = ENDING | {"connect"}


def lies(analysis: Analysis, received: Notes) -> list[str]:
    """Everything that is wrong or missing, as sentences."""
    calls = {one.call.id: one for one in analysis.calls}
    numbers = _numbers(analysis)
    found = [*_unknown(analysis), *_early(analysis, calls)]
    found += _wrong_senders(analysis, numbers)
    found += _wrong_receives(analysis, received, numbers)
    found += _wrong_ends(analysis, calls)
    return found


def _numbers(analysis: Analysis) -> dict[int, tuple[str, int]]:
    """The role of each sending or receiving call, and which of its role's it was."""
    roles = {process.pid: process.role for process in analysis.trace.processes}
    counts: dict[tuple[str, bool], int] = defaultdict(int)
    numbers = {}
    for call in analysis.trace.calls:
        if call.name in SENDING or call.name in RECEIVING:
            key = (roles[call.pid], call.name in SENDING)
            numbers[call.id] = (roles[call.pid], counts[key])
            counts[key] += call.errno != "EINTR"  # then it is made again
    return numbers


def _unknown(analysis: Analysis) -> Iterator[str]:
    for segment in analysis.segments:
        if segment.cause.kind is CauseKind.UNKNOWN:
            yield f"#{segment.segment.id} {segment.segment.flags}: {segment.cause.reason}"
    for one in analysis.calls:
        if one.explanation.confidence is Confidence.UNEXPLAINED:
            yield f"c{one.call.id}: {one.explanation.text}"


def _early(analysis: Analysis, calls: Mapping[int, ExplainedCall]) -> Iterator[str]:
    for segment in analysis.segments:
        number, call = segment.segment.id, calls.get(segment.cause.call or 0)
        if call is not None and call.call.entered_ns > segment.segment.time_ns:
            yield f"#{number} came before its cause c{call.call.id}"
        if segment.cause.segment is not None and segment.cause.segment >= number:
            yield f"#{number} is said to answer #{segment.cause.segment}, which came later"
    times = {s.segment.id: s.segment.time_ns for s in analysis.segments}
    for one in analysis.calls:
        for number in one.completed_by:
            if times[number] > (one.call.returned_ns or 0):
                yield f"c{one.call.id} returned before #{number}, which completed it"


def payload(segment: AttributedSegment) -> bytes:
    frame = segment.segment.frame
    assert frame is not None
    return frame.data[len(frame.data) - segment.segment.length :] if segment.segment.length else b""


def _bytes_of(call: Call, numbers: Mapping[int, tuple[str, int]]) -> bytes:
    taken = call.args.get("length") if call.result is None else call.result
    assert isinstance(taken, int)
    return marked(*numbers[call.id], max(taken, 0))


def _wrong_senders(analysis: Analysis, numbers: Mapping[int, tuple[str, int]]) -> Iterator[str]:
    """The bytes of a segment must be those of the calls that are said to have sent them."""
    owners: dict[int, list[Call]] = defaultdict(list)
    for one in analysis.calls:
        if one.call.name in SENDING:
            for number in {*one.sent, *one.retransmitted}:
                owners[number].append(one.call)
    for segment in analysis.segments:
        data, number = payload(segment), segment.segment.id
        if not data or segment.segment.protocol not in (Protocol.TCP, Protocol.UDP):
            continue
        said = owners[number]
        if not said:
            yield f"#{number}: nobody is said to have sent its {len(data)} bytes"
            continue
        if len(said) == 1 and segment.cause.call != said[0].id:
            yield f"#{number} names c{segment.cause.call}, but c{said[0].id} says it sent it"
        whole = b"".join(_bytes_of(call, numbers) for call in said)
        first, last = (len(_bytes_of(call, numbers)) for call in (said[0], said[-1]))
        at = whole.find(data)
        touches = at < first and at + len(data) > len(whole) - last
        if at < 0 or not touches:
            names = ", ".join(f"c{call.id}" for call in said)
            yield f"#{number}: its bytes are not those of {names} ({segment.cause.confidence})"


def _wrong_receives(
    analysis: Analysis, received: Notes, numbers: Mapping[int, tuple[str, int]]
) -> Iterator[str]:
    """What a call returned is in the segments that completed it, and in no fewer of them."""
    segments = {one.segment.id: one for one in analysis.segments}
    for one in analysis.calls:
        data = received.get(numbers.get(one.call.id, ("", 0)))
        if one.call.name not in RECEIVING or one.call.failed or data is None:
            continue
        if len(data) != one.call.result:
            yield f"c{one.call.id}: the test counted its receives wrong"
            continue
        if not data:
            continue
        arrived = [segments[number] for number in one.completed_by]
        wrong = _why_not(data, arrived)
        if wrong:
            yield f"c{one.call.id} {one.call.name} of {len(data)}: {wrong} {one.completed_by}"


def _why_not(data: bytes, arrived: list[AttributedSegment]) -> str:
    if not arrived:
        return "nothing is said to have completed it"
    if data not in _assembled(arrived) and not _assembled(arrived).startswith(data):
        return "completed by segments that do not have its bytes"
    for index in range(len(arrived)):
        fewer = arrived[:index] + arrived[index + 1 :]
        if fewer and len(data) > 4 and data in _assembled(fewer):
            return f"completed without #{arrived[index].segment.id} as well"
    return ""


def _assembled(segments: list[AttributedSegment]) -> bytes:
    whole, until = b"", None
    for one in sorted(segments, key=lambda s: s.relative_seq or 0):
        start, data = one.relative_seq or 0, payload(one)
        if until is not None and start > until:
            whole += b"\0[hole]\0"
        elif until is not None:
            data, start = data[until - start :], until
        whole += data
        until = start + len(data)
    return whole


def _wrong_ends(analysis: Analysis, calls: Mapping[int, ExplainedCall]) -> Iterator[str]:
    """FIN and RST go back to calls that can send them, inside those calls."""
    for one in analysis.segments:
        flags, cause = one.segment.flags, one.cause
        if cause.kind is not CauseKind.CALL or not {*flags} & {*"FR"}:
            continue
        call = calls[cause.call].call if cause.call is not None else None
        if call is None:
            # A program that was executed is not journaled, and ends by itself.
            if not cause.reason.endswith("its process ended"):
                yield f"#{one.segment.id} {flags}: no call named ({cause.reason})"
            continue
        able = RESETTING if "R" in flags else ENDING
        if not one.segment.length and call.name not in able:
            yield f"#{one.segment.id} {flags}: {call.name}() sends none"
