"""The claims as a table for a terminal: verdict, statement, what was seen, the run file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath

from observatory.model.claims import Check, Claim, ClaimsReport, Verdict
from observatory.reports.style import Look

VERDICT_STYLES: Mapping[Verdict, str] = {
    Verdict.HOLDS: "segment",
    Verdict.DIFFERS: "again",
    Verdict.CANNOT: "dim",
}
VERDICT_LINES: Mapping[Verdict, tuple[str, ...]] = {
    Verdict.HOLDS: ("holds",),
    Verdict.DIFFERS: ("differs",),
    Verdict.CANNOT: ("cannot be", "tested here"),
}
COUNTED: Mapping[Verdict, str] = {
    Verdict.HOLDS: "hold",
    Verdict.DIFFERS: "differ",
    Verdict.CANNOT: "cannot be tested here",
}
NUMBER, SECTION, VERDICT = 3, 5, 11
LEFT = NUMBER + 1 + SECTION + 1 + VERDICT + 2
LEAST_WIDTH = LEFT + 24


def render(report: ClaimsReport, width: int, colour: bool, ascii_only: bool) -> str:
    """The whole table. Ends with a newline; lines are at most ``width`` cells (at least 47)."""
    look = Look(max(width, LEAST_WIDTH), colour, ascii_only)
    return "\n".join(_lines(report, look)) + "\n"


def _lines(report: ClaimsReport, look: Look) -> Iterator[str]:
    title = f"What UNIX Network Programming says, and what {report.kernel} does"
    yield from (look.paint(line, "title") for line in look.paragraph(title))
    yield ""
    yield look.paint(
        f"{'no':>{NUMBER}} {'UNP':<{SECTION}} {'verdict':<{VERDICT}}  statement", "dim"
    )
    for claim in report.claims:
        yield from _claim(claim, look)
    yield ""
    yield from look.paragraph(counts_text(report))
    yield from look.paragraph(_where(report))


def counts_text(report: ClaimsReport) -> str:
    """``30 hold · 6 differ · 2 cannot be tested here``, and how to see more."""
    counts = report.counts()
    told = " · ".join(f"{counts[verdict]} {word}" for verdict, word in COUNTED.items())
    return told if report.slow else f"{told} · what takes minutes was left out: --slow"


def _claim(claim: Claim, look: Look) -> Iterator[str]:
    style = VERDICT_STYLES[claim.verdict]
    verdicts = [f"{line:<{VERDICT}}" for line in VERDICT_LINES[claim.verdict]]
    text = look.paragraph(f"{claim.statement} “{claim.quoted}”", indent=" " * LEFT)
    for check in claim.checks:
        text += _check(check, look, of_several=len(claim.checks) > 1)
    for number, line in enumerate(text):
        left = f"{claim.number:>{NUMBER}} {claim.section:<{SECTION}}" if number == 0 else ""
        verdict = verdicts[number] if number < len(verdicts) else " " * VERDICT
        yield f"{left:<{NUMBER + 1 + SECTION}} {look.paint(verdict, style)}  {line[LEFT:]}".rstrip()
    for verdict in verdicts[len(text) :]:
        yield " " * (NUMBER + SECTION + 2) + look.paint(verdict, style)


def _check(check: Check, look: Look, of_several: bool) -> list[str]:
    verdict = f"{check.finding.verdict}: " if of_several else ""
    indent, hanging = " " * (LEFT + 2), " " * (LEFT + 4)
    lines = look.paragraph(
        f"{verdict}{check.behaviour}: {check.finding.seen}", indent=indent, hanging=hanging
    )
    if check.run_file:
        lines += look.paragraph(PurePath(check.run_file).name, indent=hanging)
    return lines


def _where(report: ClaimsReport) -> str:
    """Where the run files are whose names stand in the rows; empty where none was kept."""
    files = [check.run_file for claim in report.claims for check in claim.checks if check.run_file]
    folders = sorted({str(PurePath(file).parent) for file in files})
    return f"The run files are in {', '.join(folders)}" if folders else ""
