"""From what was observed to verdicts: every test of a statement, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from observatory.claims.looking import CannotTell, Run, first_event_ns, kinds_of
from observatory.claims.statements import Predicate, Statement
from observatory.codec.calltext import call_text
from observatory.model import Analysis, AttributedSegment
from observatory.model.claims import Check, Claim, ClaimsReport, Finding, Item, Verdict


@dataclass(frozen=True, slots=True)
class Observed:
    """A behaviour's run: its analysis, None with the reason ``why_not`` if there is none."""

    analysis: Analysis | None
    run_file: str = ""
    why_not: str = ""


def judged(
    statements: Iterable[Statement], observed: Mapping[str, Observed], slow: bool
) -> ClaimsReport:
    """Every statement with its verdict. ``observed`` has an entry for each behaviour that was to
    be run; slow tests are left out unless ``slow``."""
    claims = tuple(judge(statement, observed, slow) for statement in statements)
    kernels = {
        one.analysis.trace.run.kernel
        for one in observed.values()
        if one.analysis is not None and one.analysis.trace.run.kernel
    }
    return ClaimsReport(", ".join(sorted(kernels)) or "unknown kernel", claims, slow)


def judge(statement: Statement, observed: Mapping[str, Observed], slow: bool = False) -> Claim:
    """One statement. It differs if any test says so, and holds if they all do."""
    checks = tuple(
        check(test.behaviour, test.predicate, observed[test.behaviour])
        for test in statement.tests
        if slow or not test.slow
    )
    return Claim(
        statement.number,
        statement.section,
        statement.text,
        statement.quoted,
        _together(one.finding.verdict for one in checks),
        checks,
    )


def _together(verdicts: Iterable[Verdict]) -> Verdict:
    """A statement differs where any part of it does; what could not be tested may not hold."""
    every = set(verdicts)
    strongest = (Verdict.DIFFERS, Verdict.CANNOT, Verdict.HOLDS)
    return next((verdict for verdict in strongest if verdict in every), Verdict.CANNOT)


def check(behaviour: str, predicate: Predicate, observed: Observed) -> Check:
    """A predicate held against a behaviour's run."""
    analysis = observed.analysis
    if analysis is None:
        return Check(behaviour, Finding(Verdict.CANNOT, observed.why_not), observed.run_file)
    finding = look(predicate, analysis)
    items = tuple(_items(finding, analysis))
    return Check(behaviour, finding, observed.run_file, first_event_ns(analysis) or None, items)


def look(predicate: Predicate, analysis: Analysis) -> Finding:
    """What a predicate finds. A run with parts missing proves nothing either way."""
    lost = analysis.trace.dropped
    if lost or analysis.trace.defects:
        what = [f"{lost} packets were lost"] if lost else []
        missing = "; ".join((*what, *analysis.trace.defects))
        return Finding(Verdict.CANNOT, f"the run is not whole ({missing}): run it again")
    try:
        return predicate(Run(analysis))
    except CannotTell as reason:
        return Finding(Verdict.CANNOT, str(reason))


def _items(finding: Finding, analysis: Analysis) -> Iterator[Item]:
    """The calls, segments and events that a finding rests on, in time order."""
    datagrams = {one.id for one in analysis.sockets if "SOCK_DGRAM" in one.type}
    items = [
        Item(
            f"c{one.call.id}",
            call_text(one.call, one.socket not in datagrams),
            one.call.entered_ns,
            one.call.returned_ns,
        )
        for one in analysis.calls
        if one.call.id in finding.calls
    ]
    items += [
        Item(f"#{one.segment.id}", _segment_text(one), one.segment.time_ns)
        for one in analysis.segments
        if one.segment.id in finding.segments
    ]
    items += [
        Item(f"k{one.id}", f"{one.event} {_detail(one.detail)}", one.time_ns)
        for one in analysis.trace.kernel
        if one.id in finding.kernel
    ]
    yield from sorted(items, key=lambda item: item.time_ns)


def _segment_text(one: AttributedSegment) -> str:
    seen = one.segment
    length = f", {seen.length} bytes" if seen.length else ""
    return f"{seen.src} → {seen.dst} {' '.join(kinds_of(one))}{length}"


def _detail(detail: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in detail.items())
