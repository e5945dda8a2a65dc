"""What a behaviour was to show, held against what the analysis of its run concluded."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.model import Analysis, AttributedSegment, Call, CauseKind, Confidence, Protocol
from observatory.scenarios.expectations import CauseFact, Expectations


def unfulfilled(expects: Expectations, analysis: Analysis) -> list[str]:
    """A sentence for everything that is not as expected, or not explained."""
    return [
        *_outcomes_missing(expects, analysis),
        *_causes_missing(expects, analysis),
        *_present_but_absent(expects, analysis),
        *_unexplained(analysis),
    ]


def kinds(segment: AttributedSegment) -> Iterator[str]:
    """The words of Expectations for a segment; one may be data and FIN."""
    seen = segment.segment
    if seen.protocol is Protocol.UDP:
        yield "UDP"
    if seen.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        yield "ICMP"
    if "S" in seen.flags:
        yield "SYN-ACK" if "A" in seen.flags else "SYN"
    if "F" in seen.flags:
        yield "FIN"
    if "R" in seen.flags:
        yield "RST"
    if seen.protocol is Protocol.TCP and seen.length:
        yield "data"
    if seen.flags == "A" and not seen.length:
        yield "ACK"
    yield "any"


def outcome(call: Call) -> str:
    """``ok``, the errno, or ``…`` for a call that never returned."""
    if call.returned_ns is None:
        return "…"
    return call.errno or "ok"


def roles(analysis: Analysis) -> dict[int, str]:
    return {process.pid: process.role for process in analysis.trace.processes}


def _outcomes_missing(expects: Expectations, analysis: Analysis) -> Iterator[str]:
    role_of = roles(analysis)
    for role in expects.calls:
        made = [(c.name, outcome(c)) for c in analysis.trace.calls if role_of.get(c.pid) == role]
        rest = iter(made)
        missing = next((wanted for wanted in expects.outcomes(role) if wanted not in rest), None)
        if missing is not None:
            told = ", ".join(" ".join(pair) for pair in made)
            yield f"{role}: no {' '.join(missing)} in its place among: {told}"


def _causes_missing(expects: Expectations, analysis: Analysis) -> Iterator[str]:
    for fact in expects.causes:
        candidates = [one for one in analysis.segments if fact.segment in kinds(one)]
        if not any(_agrees(fact, one, analysis) for one in candidates):
            told = "; ".join(f"#{one.segment.id} {one.cause}" for one in candidates) or "none"
            yield f"no {fact}; every {fact.segment} there is: {told}"


def _agrees(fact: CauseFact, one: AttributedSegment, analysis: Analysis) -> bool:
    cause = one.cause
    if cause.kind != fact.kind:
        return False
    if cause.confidence is not Confidence.CERTAIN and not fact.likely:
        return False
    return not fact.call or (fact.call, fact.role) in _senders(one, analysis)


def _senders(one: AttributedSegment, analysis: Analysis) -> Iterator[tuple[str, str | None]]:
    """The calls that put a segment there: data of one and the FIN of another may share it."""
    role_of = roles(analysis)
    for explained in analysis.calls:
        if one.segment.id in explained.sent:
            yield explained.call.name, role_of.get(explained.call.pid)


def _present_but_absent(expects: Expectations, analysis: Analysis) -> Iterator[str]:
    late = set(echoes(analysis))
    for unwanted in expects.absent:
        found = [
            f"#{one.segment.id}"
            for one in analysis.segments
            if unwanted in kinds(one) and one.segment.id not in late
        ]
        if found:
            yield f"{unwanted} was not to be on the wire: {', '.join(found)}"


def echoes(analysis: Analysis) -> Iterator[int]:
    """RSTs after both ends had closed. With two processors the ACK of a FIN may be overtaken by
    the FIN that close() sends meanwhile; then it comes when the connection is gone, is answered
    from TIME-WAIT, and that answer finds nobody: seen in one run of three hundred."""
    closed: dict[int | None, set[str]] = {}
    for one in analysis.segments:
        ends = closed.setdefault(one.connection, set())
        if "R" in one.segment.flags and len(ends) == 2 and one.cause.kind is CauseKind.REPLY:
            yield one.segment.id
        if "F" in one.segment.flags:
            ends.add(str(one.segment.src))


def _unexplained(analysis: Analysis) -> Iterator[str]:
    for one in analysis.calls:
        if one.explanation.confidence is Confidence.UNEXPLAINED:
            yield f"c{one.call.id} {one.call.name} is not explained: {one.explanation.text}"
    for segment in analysis.segments:
        if segment.cause.kind is CauseKind.UNKNOWN:
            yield f"#{segment.segment.id} has no cause: {segment.cause.reason}"
    if analysis.coverage.dropped:
        yield f"the capture lost {analysis.coverage.dropped} packets"
