"""The report a person reads on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from observatory import messages
from observatory.messages.phrasebook import speech
from observatory.model import Analysis, Coverage
from observatory.reports.counters import counters
from observatory.reports.drawing import draw
from observatory.reports.kernel import kernel_section
from observatory.reports.ladder import ladder
from observatory.reports.path import path
from observatory.reports.selection import selected
from observatory.reports.style import Look
from observatory.reports.why import uncertain_segments, why
from observatory.reports.wire import connections

NARROWEST, WIDEST = 60, 200


def render(
    analysis: Analysis,
    width: int = 100,
    colour: bool = False,
    ascii: bool = False,  # noqa: A002 - the word for it
    full: bool = False,
    kernel: bool = False,
) -> str:
    """The whole report: ladder, Why, doubtful segments, connections, notes, coverage.

    ``width`` is the terminal's in cells (60 to 200 are used), ``ascii`` for one that is not
    UTF-8, ``full`` leaves nothing out of a long trace, ``kernel`` marks the kernel's events in the
    ladder. Ends with a newline.
    """
    say = speech(messages.load(analysis.language))
    look = Look(max(NARROWEST, min(width, WIDEST)), colour, ascii, say)
    shown, left_out = selected(analysis, full)
    drawn = draw(ladder(shown, kernel), look, full)
    if left_out:
        words = f"{left_out:,} calls of processes that no socket passed through · --full shows them"
        drawn = [*drawn, *(look.paint(line, "dim") for line in look.paragraph(words, "  "))]
    wire = connections(analysis, look, full)
    notes = remarks(analysis, look)
    told = [drawn, why(analysis, look, full), uncertain_segments(analysis, look, full), wire]
    if not analysis.calls:
        # Nobody knows what the programs did: the connections are the report.
        told = [wire, notes, drawn, uncertain_segments(analysis, look, full)]
        notes = []
    sections = [
        heading(analysis, look),
        path(analysis.trace, look),
        *told,
        kernel_section(analysis, look, full),
        counters(analysis.trace, look),
        notes,
        coverage(analysis.coverage, look),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def heading(analysis: Analysis, look: Look) -> list[str]:
    """What was run, and how it was seen."""
    run = analysis.trace.run
    names = ", ".join(interface.name for interface in analysis.trace.interfaces)
    seen = [
        f"captured on {names}" if names else "",
        f"by {run.capture_method}" if run.capture_method else "",
    ]
    how = (
        run.kernel or "",
        " ".join(part for part in seen if part),
        "" if analysis.calls else "no calls recorded: the wire alone",
    )
    title = run.scenario or run.command or "capture"
    return [
        *(look.paint(line, "title") for line in look.paragraph(title)),
        *(look.paint(line, "dim") for line in look.flow(part for part in how if part)),
    ]


def remarks(analysis: Analysis, look: Look) -> list[str]:
    """Notes of the analysis, and what is known to be missing from the trace."""
    # What is missing is among the notes too, and stands out here.
    notes = [note for note in analysis.notes if note not in analysis.trace.defects]
    lines = [line for note in notes for line in look.paragraph(f"· {note}", "  ", "    ")]
    for interface in analysis.trace.interfaces:
        if interface.dropped:
            text = f"!! the capture on {interface.name} lost {interface.dropped:,} packets"
            lines += [look.paint(line, "alarm") for line in look.paragraph(text, "  ", "     ")]
    for defect in analysis.trace.defects:
        for line in look.paragraph(f"!! {defect}", "  ", "     "):
            lines.append(look.paint(line, "alarm"))
    return [look.title("Notes"), *lines] if lines else []


def coverage(figures: Coverage, look: Look) -> list[str]:
    """``12 segments: 12 attributed · 9 calls: 9 explained · 0 packets lost``."""
    style = "strong" if _complete(figures) else "alarm"
    return [look.paint(line, style) for line in look.flow(_coverage_parts(figures))]


def coverage_text(figures: Coverage, say: Callable[[str], str] = str) -> str:
    """The coverage line, without style."""
    return " · ".join(say(part) for part in _coverage_parts(figures))


def _coverage_parts(figures: Coverage) -> Iterator[str]:
    yield f"{_count(figures.segments, 'segment')}: {figures.segments_attributed:,} attributed"
    yield f"{_count(figures.calls, 'call')}: {figures.calls_explained:,} explained"
    if figures.uncertain:
        yield f"{figures.uncertain:,} uncertain"
    yield f"{_count(figures.dropped, 'packet')} lost"
    if figures.agreed or figures.contradicted or figures.silent:
        yield (
            f"kernel: {figures.agreed:,} agreed, {figures.contradicted:,} contradicted, "
            f"{figures.silent:,} silent"
        )


def _complete(figures: Coverage) -> bool:
    return (
        figures.segments == figures.segments_attributed
        and figures.calls == figures.calls_explained
        and not figures.dropped
        and not figures.contradicted
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
