"""Two runs compared, as text and as JSON: what is new, gone or other, and how much is the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from observatory.codec.calltext import call_text
from observatory.model import Analysis, AttributedSegment, ExplainedCall
from observatory.model.comparison import Change, Comparison, Difference, Pair
from observatory.reports.labels import cause_sentence, segment_label
from observatory.reports.style import Look

SIGNS = {
    Change.SAME: " ",
    Change.NEW: "+",
    Change.GONE: "-",
    Change.OTHER: "!",
    Change.SHIFTED: "~",
}
STYLES = {Change.NEW: "segment", Change.GONE: "reset", Change.OTHER: "again"}
LEGEND = (
    "- only in the first",
    "+ only in the second",
    "! in both, but other",
    "ephemeral ports, pids and times are no difference",
)
AS_NOTED = (Change.NEW, Change.GONE, Change.OTHER)


@dataclass(frozen=True, slots=True)
class Row:
    """One aligned pair in words; ``before`` or ``after`` is empty where it has no counterpart.
    ``why`` are the explanations of the two, given where they differ."""

    group: str
    change: Change
    before: str
    after: str
    differences: tuple[Difference, ...] = ()
    why: tuple[str, str] = ("", "")


def rows(comparison: Comparison) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Every pair of calls, and every pair of segments."""
    calls = tuple(_row(pair, _call_words, _call_why) for pair in comparison.calls)
    segments = tuple(_row(pair, _segment_words, _segment_why) for pair in comparison.segments)
    return calls, segments


def _row(pair: Pair, words, why) -> Row:  # type: ignore[no-untyped-def, type-arg]
    before, after = pair.before, pair.after
    return Row(
        pair.group,
        pair.change,
        words(before) if before is not None else "",
        words(after) if after is not None else "",
        pair.differences,
        (
            (why(before) if before is not None else "", why(after) if after is not None else "")
            if pair.change in AS_NOTED
            else ("", "")
        ),
    )


def _call_words(one: ExplainedCall) -> str:
    return f"c{one.call.id} {call_text(one.call)}"


def _call_why(one: ExplainedCall) -> str:
    return one.explanation.text


def _segment_words(one: AttributedSegment) -> str:
    return segment_label(one).whole


def _segment_why(one: AttributedSegment) -> str:
    return cause_sentence(one.cause)


def name_of(analysis: Analysis) -> str:
    """What was run, in a line."""
    run = analysis.trace.run
    return f"{run.scenario or run.command or 'capture'} · {run.kernel or 'unknown kernel'}"


def summary(found: Sequence[Row], what: str) -> str:
    """``calls: 12 the same, 1 other, 2 new``."""
    counts = {change: sum(row.change is change for row in found) for change in Change}
    words = {
        Change.SAME: "the same",
        Change.OTHER: "other",
        Change.GONE: "gone",
        Change.NEW: "new",
        Change.SHIFTED: "bare ACK in one run only",
    }
    told = [f"{counts[change]} {word}" for change, word in words.items() if counts[change]]
    return f"{what}: {', '.join(told) or 'none'}"


def render(
    comparison: Comparison,
    width: int = 100,
    colour: bool = False,
    ascii: bool = False,  # noqa: A002 - the word for it
    full: bool = False,
) -> str:
    """The comparison for a terminal; with ``full`` also what is the same."""
    return "\n".join(_lines(comparison, Look(width, colour, ascii), full)) + "\n"


def _lines(comparison: Comparison, look: Look, full: bool) -> Iterator[str]:
    calls, segments = rows(comparison)
    yield look.paint(look.text(f"- {name_of(comparison.before)}"), "strong")
    yield look.paint(look.text(f"+ {name_of(comparison.after)}"), "strong")
    for heading, found in (("Calls", calls), ("Segments", segments)):
        yield from ("", look.paint(heading, "title"))
        yield from _groups(found, look, full)
    yield ""
    yield from look.flow((summary(calls, "calls"), summary(segments, "segments")))
    if comparison.same:
        yield "the two runs do the same"
        return
    yield from (look.paint(line, "dim") for line in look.flow(LEGEND))


def _groups(found: Sequence[Row], look: Look, full: bool) -> Iterator[str]:
    for group in dict.fromkeys(row.group for row in found):
        members = [row for row in found if row.group == group]
        yield look.paint(f"  {look.text(group)}", "id")
        quiet = 0
        for row in members:
            if not full and row.change in (Change.SAME, Change.SHIFTED):
                quiet += 1
                continue
            if quiet:
                yield look.paint(_the_same(quiet, look), "dim")
            quiet = 0
            yield from _row_lines(row, look)
        if quiet:
            yield look.paint(_the_same(quiet, look), "dim")


def _the_same(count: int, look: Look) -> str:
    return look.text(f"      … {count:,} the same")


def _row_lines(row: Row, look: Look) -> Iterator[str]:
    sign, style = SIGNS[row.change], STYLES.get(row.change, "")
    indent = " " * 6
    for text in dict.fromkeys(filter(None, (row.before, row.after))):
        yield from (
            look.paint(line, style) for line in look.paragraph(text, f"    {sign} ", indent)
        )
    for one in row.differences:
        told = f"{one.what}: {one.before} → {one.after}"
        yield from look.paragraph(told, f"{indent}  ", f"{indent}    ")
    for mark, why in zip("-+", row.why, strict=True):
        if why:
            yield from (
                look.paint(line, "dim")
                for line in look.paragraph(f"{mark} {why}", f"{indent}  ", f"{indent}    ")
            )


def document(comparison: Comparison) -> dict[str, object]:
    """The comparison as JSON values, ``"schema": "observatory-diff/1"``; ids are each run's."""
    return {
        "schema": "observatory-diff/1",
        "before": name_of(comparison.before),
        "after": name_of(comparison.after),
        "same": comparison.same,
        "calls": [
            _entry(pair, row)
            for pair, row in zip(comparison.calls, rows(comparison)[0], strict=True)
        ],
        "segments": [
            _entry(pair, row)
            for pair, row in zip(comparison.segments, rows(comparison)[1], strict=True)
        ],
    }


def _entry(pair: Pair, row: Row) -> dict[str, object]:  # type: ignore[type-arg]
    return {
        "group": pair.group,
        "change": pair.change.value,
        "before": _id(pair.before),
        "after": _id(pair.after),
        "text": {"before": row.before or None, "after": row.after or None},
        "differences": [
            {"what": one.what, "before": one.before, "after": one.after} for one in pair.differences
        ],
    }


def _id(one: ExplainedCall | AttributedSegment | None) -> int | None:
    if one is None:
        return None
    return one.call.id if isinstance(one, ExplainedCall) else one.segment.id
