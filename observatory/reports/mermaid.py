"""The ladder as a Mermaid sequence diagram, for pages that render one from a code block.

Mermaid has no time axis and no bars that overlap: calls are notes at their lane, segments arrows,
in the order of the ladder. What is sent again is dashed, what nobody answered ends in a cross;
an arrow that ends half-way, on a link of a lab, says so in its label. A lab's hosts are boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from observatory.codec.printable import printable
from observatory.model import Analysis
from observatory.reports.drawing import arrow_label, call_id, call_words, end_words
from observatory.reports.ladder import PAUSE_NS, EndRow, Moment, Row, SegmentRow, ladder
from observatory.reports.lanes import Lane, hosts_over

# Mermaid's own entity codes for what would end a statement or begin markup in it.
ENTITIES = str.maketrans(
    {
        "#": "#35;",
        ";": "#59;",
        "<": "#60;",
        ">": "#62;",
        "&": "#38;",
        '"': "#34;",
        "%": "#37;",
        "{": "#123;",
        "}": "#125;",
        "\\": "#92;",
        "`": "#96;",
    }
)


def render(analysis: Analysis) -> str:
    """The diagram's source, from ``sequenceDiagram`` to a newline at its end."""
    return "\n".join(_lines(analysis)) + "\n"


def _lines(analysis: Analysis) -> Iterator[str]:
    drawn = ladder(analysis)
    run = analysis.trace.run
    yield "sequenceDiagram"
    yield f"  accTitle: {_text(run.scenario or run.command or 'capture')}"
    yield from _participants(drawn.lanes.lanes)
    last = len(drawn.lanes.lanes) - 1
    before = drawn.start_ns
    for row in drawn.rows:
        if row.time_ns - before >= PAUSE_NS:
            over = "L0" if last == 0 else f"L0,L{last}"
            yield f"  Note over {over}: {(row.time_ns - before) / 1e9:.2f} s later"
        before = row.time_ns
        yield from _row(row)


def _participants(lanes: Sequence[Lane]) -> Iterator[str]:
    boxed = {index: (host, last) for host, index, last in hosts_over(lanes)}
    ends = {last for _, last in boxed.values()}
    for index, lane in enumerate(lanes):
        if index in boxed:
            yield f"  box transparent {_text(boxed[index][0])}"
        yield f"  participant L{index} as {_text(lane.label)}"
        if index in ends:
            yield "  end"


def _row(row: Row) -> Iterator[str]:
    if isinstance(row, SegmentRow):
        dashes = "--" if row.segment.retransmission else "-"
        head = "x" if row.unanswered else ">>"
        link = "from the link: " if row.from_half else ""
        half = " (lost on the link)" if row.to_half else ""
        words = _text(f"{link}{arrow_label(row).whole}{half}")
        yield f"  L{row.source}{dashes}{head}L{row.target}: {words}"
        return
    if isinstance(row, EndRow):
        yield f"  Note over L{row.lane}: {_text(end_words(row.process))}"
        return
    if row.moment is Moment.ENTERED:
        yield f"  activate L{row.lane}"
    yield f"  Note over L{row.lane}: {_text(f'{call_id(row)} {call_words(row)[0]}')}"
    if row.moment is Moment.RETURNED:
        yield f"  deactivate L{row.lane}"


def _text(words: str) -> str:
    return printable(words).translate(ENTITIES)
