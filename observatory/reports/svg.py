"""The ladder as SVG, for slides, papers and pages: text stays text, nothing is loaded.

Rows are evenly spaced, as in the text ladder, since real distances (nanoseconds beside seconds)
cannot be drawn. Colours follow the reader's light or dark setting and never carry a meaning alone:
what was sent again is dashed, what nobody answered ends in a cross; in a lab, where that is known,
the cross is where it came no further. Over a lab's lanes stand its hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from xml.sax.saxutils import escape, quoteattr

from observatory.codec.printable import printable
from observatory.errors import MissingTool
from observatory.model import Analysis
from observatory.reports.drawing import arrow_label, call_id, call_words, end_words, segment_style
from observatory.reports.ladder import (
    PAUSE_NS,
    CallRow,
    EndRow,
    Ladder,
    Moment,
    Row,
    SegmentRow,
    ladder,
)
from observatory.reports.lanes import hosts_over
from observatory.reports.marks import KernelRow
from observatory.reports.style import cells, clip

ROW, HEAD, MARGIN = 26, 58, 16
HOSTS = 22  # the height of the line with the names of hosts
CELL = 7.25  # the width of one character of the fonts below, in px
NARROWEST_GAP, WIDEST_GAP = 150, 520
LONGEST_CALL = 84
SLOPE = 5  # how much lower an arrow ends than it begins: time passes downwards

STYLE = """
svg { --paper: #fff; --ink: #1c2530; --soft: #6a7683; --lane: #b4bdc6; --bar: #5b7fae;
  --segment: #1e6f43; --again: #8a5a00; --reset: #b3261e; }
@media (prefers-color-scheme: dark) { svg { --paper: #14181d; --ink: #e4e9ee; --soft: #98a4b0;
  --lane: #46515c; --bar: #7ea6da; --segment: #6fcf97; --again: #e0b050; --reset: #ff8a80; } }
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: var(--ink); white-space: pre; }
.paper { fill: var(--paper); }
.title { font-size: 15px; font-weight: 600; }
.name, .host { font-weight: 600; }
.under { font-weight: 400; }
.soft, .time { fill: var(--soft); }
.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
.lane { stroke: var(--lane); }
.gone { stroke: var(--lane); stroke-dasharray: 2 4; }
.bar { fill: var(--bar); }
.mark { fill: var(--soft); }
.error { fill: var(--reset); }
.number { fill: var(--soft); }
.arrow { stroke-width: 1.5; fill: none; }
.segment line, .segment path { stroke: var(--segment); } .segment text { fill: var(--segment); }
.again line, .again path { stroke: var(--again); } .again text { fill: var(--again); }
.reset line, .reset path { stroke: var(--reset); } .reset text { fill: var(--reset); }
.repeated { stroke-dasharray: 6 4; }
""".strip()

# For renderers without custom properties: the light setting written out.
LIGHT = {
    "paper": "#fff",
    "ink": "#1c2530",
    "soft": "#6a7683",
    "lane": "#b4bdc6",
    "bar": "#5b7fae",
    "segment": "#1e6f43",
    "again": "#8a5a00",
    "reset": "#b3261e",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """Where things are, in px: the lanes' x, the y of their names and of every row (marks among
    them), the whole size."""

    lanes: tuple[float, ...]
    head: int
    rows: tuple[tuple[Row | KernelRow, int], ...]
    width: float
    height: int
    times: float


def render(
    analysis: Analysis,
    *,
    title: str | None = None,
    plain: bool = False,
    name: str = "ladder",
    kernel: bool = False,
) -> str:
    """The ladder of ``analysis`` as one SVG document, with a newline at its end.

    ``title`` stands above it (default: the behaviour or command). ``plain`` writes the light
    colours out, for renderers that know no custom properties. ``name`` begins the ids in it,
    which must be its own where several stand in one page. With ``kernel`` its events are marks.
    """
    run = analysis.trace.run
    words = printable(title if title is not None else run.scenario or run.command or "capture")
    drawn = ladder(analysis, kernel)
    sheet = _lay_out(drawn, words)
    style = STYLE
    if plain:
        style = "\n".join(line for line in style.splitlines()[4:])
        for name, colour in LIGHT.items():
            style = style.replace(f"var(--{name})", colour)
    return "\n".join(_document(drawn, sheet, words, style, name)) + "\n"


def png(svg: str, zoom: float = 2.0) -> bytes:
    """``svg`` (from ``render(…, plain=True)``) as a PNG picture, ``zoom`` px for each of its px.

    Raises MissingTool where resvg is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise MissingTool(
            "drawing PNG needs resvg: pip install 'socket-observatory[png]', or use --format svg"
        ) from None

    return bytes(
        resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom, monospace_family="DejaVu Sans Mono")
    )


# --- Where things are ---------------------------------------------------------------------------


def _lay_out(drawn: Ladder, title: str) -> Sheet:
    every = drawn.with_marks()
    times = max((cells(_time(drawn, row)) for row in every), default=2) * CELL
    left = MARGIN + times + 26
    lanes = [left, *(left + way for way in accumulate(_gaps(drawn)))][: len(drawn.lanes.lanes)]
    right = max((lanes[row_lane] + 16 + size for row_lane, size in _reaches(drawn)), default=left)
    names = max(
        (x + cells(lane.label) * CELL for x, lane in zip(lanes, drawn.lanes.lanes, strict=True)),
        default=left,
    )
    width = max(right, names, MARGIN + cells(title) * 9.1) + MARGIN
    rows = []
    head = HEAD + (HOSTS if hosts_over(drawn.lanes.lanes) else 0)
    y, before = head + ROW, drawn.start_ns
    for row in every:
        y += ROW if row.time_ns - before >= PAUSE_NS else 0
        rows.append((row, y))
        y, before = y + ROW, row.time_ns
    return Sheet(tuple(lanes), head, tuple(rows), round(width), y + MARGIN, MARGIN + times)


def _gaps(drawn: Ladder) -> Iterator[float]:
    """The distance of each lane to the next: room for the labels of the arrows between them."""
    names = [cells(lane.label) * CELL for lane in drawn.lanes.lanes]
    for index in range(len(names) - 1):
        labels = [
            cells(arrow_label(row).whole) * CELL * (2 if row.from_half or row.to_half else 1) + 48
            for row in drawn.rows
            if isinstance(row, SegmentRow) and {row.source, row.target} == {index, index + 1}
        ]
        apart = (names[index] + names[index + 1]) / 2 + 24
        yield min(max(NARROWEST_GAP, apart, *labels, 0), WIDEST_GAP)


def _reaches(drawn: Ladder) -> Iterator[tuple[int, float]]:
    """Each text beside a lane: its lane, and how far it reaches to the right of it."""
    for row in drawn.with_marks():
        if isinstance(row, CallRow):
            number, words, _ = _call_text(row)
            yield row.lane, cells(f"{number} {words}") * CELL
        elif isinstance(row, KernelRow):
            yield row.lane, cells(f"k{row.event} {row.words}") * CELL
        elif isinstance(row, EndRow):
            yield row.lane, cells(end_words(row.process)) * CELL
        elif row.source == row.target:
            yield row.source, cells(arrow_label(row).whole) * CELL + 24


def _call_text(row: CallRow) -> tuple[str, str, str]:
    """A call's number, its words (cut), and their style."""
    words, style = call_words(row)
    return call_id(row), clip(printable(words), LONGEST_CALL), style


def _time(drawn: Ladder, row: Row | KernelRow) -> str:
    return f"{(row.time_ns - drawn.start_ns) // 1000:,}"


# --- The drawing --------------------------------------------------------------------------------


def _document(drawn: Ladder, sheet: Sheet, title: str, style: str, name: str) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {sheet.width:g} {sheet.height}" '
        f'width="{sheet.width:g}" height="{sheet.height}" role="img" '
        f'aria-labelledby="{name}-title">'
    )
    yield f'<title id="{name}-title">{escape(title)}</title>'
    yield f"<style>{style}</style>"
    yield (
        f'<defs><marker id="{name}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
        '<path d="M0 0.5 L7.5 4 L0 7.5 z" fill="context-stroke" stroke="none"/></marker></defs>'
    )
    yield f'<rect class="paper" width="{sheet.width:g}" height="{sheet.height}"/>'
    yield f'<text class="title" x="{MARGIN}" y="24">{escape(title)}</text>'
    yield _text(sheet.times, sheet.head, "µs", "time", anchor="end")
    yield from _hosts(drawn, sheet)
    yield from _lanes(drawn, sheet)
    yield from _bars(drawn, sheet)
    before = drawn.start_ns
    for row, y in sheet.rows:
        if row.time_ns - before >= PAUSE_NS:
            yield _text(
                sheet.times, y - ROW + 4, f"+{(row.time_ns - before) / 1e9:.2f} s", "soft", "end"
            )
        before = row.time_ns
        yield _text(sheet.times, y + 4, _time(drawn, row), "time", anchor="end")
        yield from _row(row, sheet, y, f"url(#{name}-head)")
    yield "</svg>"


def _hosts(drawn: Ladder, sheet: Sheet) -> Iterator[str]:
    """The names of a lab's hosts; one with several lanes has a line over them."""
    for host, first, last in hosts_over(drawn.lanes.lanes):
        low, high, y = sheet.lanes[first], sheet.lanes[last], sheet.head - HOSTS
        if first != last:
            yield f'<path class="lane" d="M{low:g} {y + 9} v-4 H{high:g} v4" fill="none"/>'
        yield _name(sheet, (low + high) / 2, y, host, "host")


def _name(sheet: Sheet, x: float, y: int, words: str, style: str) -> str:
    """A name over a lane; over the first it begins there, as the times stand before it."""
    first = x == sheet.lanes[0]
    return _text(x - 4 if first else x, y, words, style, "start" if first else "middle")


def _lanes(drawn: Ladder, sheet: Sheet) -> Iterator[str]:
    top, bottom = sheet.head + 8, sheet.height - MARGIN
    for lane, x in zip(drawn.lanes.lanes, sheet.lanes, strict=True):
        if not lane.is_host:  # its name stands above
            yield _name(sheet, x, sheet.head, lane.label, "name under" if lane.host else "name")
        born = _y_at(sheet, lane.born_ns, top)
        ended = _y_at(sheet, lane.ended_ns, bottom)
        yield f'<line class="lane" x1="{x:g}" x2="{x:g}" y1="{born}" y2="{ended}"/>'
        if ended < bottom:
            yield f'<line class="gone" x1="{x:g}" x2="{x:g}" y1="{ended}" y2="{bottom}"/>'


def _y_at(sheet: Sheet, time_ns: int | None, otherwise: int) -> int:
    """The y of the last row that is not after ``time_ns``."""
    if time_ns is None:
        return otherwise
    found = [y for row, y in sheet.rows if row.time_ns <= time_ns]
    return found[-1] + ROW // 2 if found else sheet.head + 8


def _bars(drawn: Ladder, sheet: Sheet) -> Iterator[str]:
    """Calls as bars from entry to return."""
    entered: dict[int, tuple[CallRow, int]] = {}
    for row, y in sheet.rows:
        if not isinstance(row, CallRow):
            continue
        number = row.call.call.id
        if row.moment is Moment.ENTERED:
            entered[number] = row, y
        elif row.moment is Moment.RETURNED and number in entered:
            yield _bar(sheet.lanes[row.lane], entered.pop(number)[1] - 5, y + 5)
        else:
            yield _bar(sheet.lanes[row.lane], y - 5, y + 5)
    for row, y in entered.values():  # they never returned
        ended = drawn.lanes.lanes[row.lane].ended_ns
        yield _bar(sheet.lanes[row.lane], y - 5, _y_at(sheet, ended, sheet.height - MARGIN))


def _bar(x: float, top: int, bottom: int) -> str:
    return f'<rect class="bar" x="{x - 4:g}" y="{top}" width="8" height="{bottom - top}" rx="2"/>'


def _row(row: Row | KernelRow, sheet: Sheet, y: int, head: str) -> Iterator[str]:
    if isinstance(row, SegmentRow):
        yield from _segment(row, sheet, y, head)
        return
    x = sheet.lanes[row.lane] + 10
    if isinstance(row, KernelRow):
        yield f'<circle class="mark" cx="{x - 10:g}" cy="{y}" r="2.5"/>'
        yield _text(x, y + 4, f"k{row.event} {row.words}", "halo soft")
        return
    if isinstance(row, EndRow):
        yield _text(x, y + 4, end_words(row.process), "halo error")
        return
    number, words, style = _call_text(row)
    whole = printable(call_words(row)[0])
    tip = f"<title>{escape(whole)}</title>" if whole != words else ""
    yield (
        f'<text class="halo" x="{x:g}" y="{y + 4}" data-call={quoteattr(str(row.call.call.id))}>'
        f'{tip}<tspan class="number">{number}</tspan> '
        f'<tspan class="{style}">{escape(words)}</tspan></text>'
    )


def _segment(row: SegmentRow, sheet: Sheet, y: int, head: str) -> Iterator[str]:
    label = arrow_label(row)
    style = segment_style(row.segment, row.unanswered)
    repeated = " repeated" if row.segment.retransmission else ""
    yield f'<g class="{style}" data-segment="{row.segment.segment.id}">'
    start, end = _columns(row, sheet)
    if row.source == row.target:
        yield (
            f'<path class="arrow{repeated}" d="M{start + 4:g} {y - 5} c22 0 22 10 2 10" '
            f'marker-end="{head}"/>'
        )
        yield _text(start + 28, y + 4, label.whole, "halo")
    else:
        way = 1 if end > start else -1
        top, bottom = y + 1, y + 1 + SLOPE
        first, last = start + 5 * way, end - 6 * way
        if row.unanswered:
            last = end - 14 * way
            yield from _cross(last, bottom)
        end_mark = "" if row.unanswered else f' marker-end="{head}"'
        yield (
            f'<line class="arrow{repeated}" x1="{first:g}" y1="{top}" x2="{last:g}" '
            f'y2="{bottom}"{end_mark}/>'
        )
        yield _text((start + end) / 2, y - 2, label.whole, "halo", anchor="middle")
    yield "</g>"


def _columns(row: SegmentRow, sheet: Sheet) -> tuple[float, float]:
    """Where a segment's arrow begins and ends; in a lab perhaps on the link between two lanes."""
    start, end = sheet.lanes[row.source], sheet.lanes[row.target]
    step = 1 if row.source < row.target else -1
    if row.from_half:
        start = (start + sheet.lanes[row.source + step]) / 2
    if row.to_half:
        end = (end + sheet.lanes[row.target - step]) / 2
    return start, end


def _cross(x: float, y: float) -> Iterator[str]:
    yield f'<path class="arrow" d="M{x - 4:g} {y - 4:g} l8 8 m0 -8 l-8 8"/>'


def _text(x: float, y: float, words: str, style: str, anchor: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{style}" x="{x:g}" y="{y:g}"{where}>{escape(printable(words))}</text>'
