"""A ladder drawn as lines of text, at any width.

Lanes are bars at even distances. A call stands beside its bar, on the side where there is more
room; a segment is an arrow from bar to bar, its label inside where that fits and beside it where
not. With more lanes than the width has room for, the same rows become a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from observatory.codec.calltext import arguments_text, call_text, result_text
from observatory.model import AttributedSegment, CauseKind, Confidence, Process
from observatory.reports.grid import Grid, headings, lay_out, time_cells, time_text
from observatory.reports.labels import SegmentLabel, segment_label
from observatory.reports.ladder import PAUSE_NS, CallRow, EndRow, Ladder, Moment, Row, SegmentRow
from observatory.reports.lanes import Lane
from observatory.reports.marks import KernelRow
from observatory.reports.style import GLUE, Canvas, Look, cells, clip, wrap

MOST_ROWS = 500
HEAD_ROWS, TAIL_ROWS = 250, 150
WIDEST_NAME = 24
SLOW_NS = 2_000_000
"""A packet that was under way longer took it on the path, and the ladder says so."""


def draw(ladder: Ladder, look: Look, full: bool = False) -> list[str]:
    """The lines of the ladder; the middle of more than 500 rows is left out unless ``full``."""
    if not ladder.rows:
        return []
    grid = lay_out(ladder, look)
    body = _list(ladder, look, full) if grid is None else _lanes(ladder, look, grid, full)
    legend = look.flow(_legend(ladder, lanes=grid is not None), "  ")
    return [*body, "", *(look.paint(line, "dim") for line in legend)]


def _legend(ladder: Ladder, lanes: bool) -> Iterator[str]:
    """What the signs mean, only those that occur."""
    arrows = [row for row in ladder.rows if isinstance(row, SegmentRow)]
    lost = any(row.segment.lost_after for row in arrows)
    yield "µs since the first event"
    if ladder.marks:
        yield "k3: the kernel's own event, at the end that it is about"
    if any(isinstance(row, CallRow) and row.moment is not Moment.WHOLE for row in ladder.rows):
        yield "┃: inside a call" if lanes else "…: a call that waits"
    if not arrows:
        return
    yield "seq and ack from the ISN"
    kinds = {row.segment.cause.kind for row in arrows}
    if CauseKind.CALL in kinds:
        yield "← c4: sent by call c4"
    if CauseKind.REPLY in kinds:
        yield "re #3: answers #3"
    if any(row.segment.retransmission for row in arrows):
        yield "again #3: sent again"
    if any(row.segment.completes for row in arrows):
        yield "⇒ c5: made c5 return"
    if any(row.unanswered for row in arrows):
        yield "✗: came no further" if lost else "✗: unanswered"
    if CauseKind.PATH in kinds:
        yield "path #3: the path made it, of #3"
    if any(row.took_ns >= SLOW_NS for row in arrows):
        yield "~40 ms: under way so long"
    if CauseKind.UNKNOWN in kinds:
        yield "← ?: cause unknown"
    if any(row.segment.cause.confidence is Confidence.LIKELY for row in arrows):
        yield "c4?: likely, not certain"


def _visible(ladder: Ladder, full: bool) -> tuple[int, int]:
    """The range of rows that is left out."""
    count = len(ladder.with_marks())
    if full or count <= MOST_ROWS:
        return count, count
    return HEAD_ROWS, count - TAIL_ROWS


def _left_out(ladder: Ladder, hidden: range) -> str:
    rows = ladder.with_marks()[hidden.start : hidden.stop]
    segments = sum(isinstance(row, SegmentRow) for row in rows)
    return (
        f"… {len(rows):,} rows left out here ({segments:,} segments, "
        f"{len(rows) - segments:,} calls and returns) · --full shows them all …"
    )


# --- Lanes -------------------------------------------------------------------------------------


class _State:
    """What the bars look like at one moment."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = lanes
        self.blocked: list[set[int]] = [set() for _ in lanes]

    def note(self, row: Row | KernelRow) -> None:
        """Take a row's effect on the bars below it."""
        if not isinstance(row, CallRow):
            return
        if row.moment is Moment.ENTERED:
            self.blocked[row.lane].add(row.call.call.id)
        elif row.moment is Moment.RETURNED:
            self.blocked[row.lane].discard(row.call.call.id)

    def bars(self, look: Look, grid: Grid, time_ns: int) -> Canvas:
        """A line with nothing but the bars on it."""
        canvas = Canvas(look.width)
        for index, lane in enumerate(self.lanes):
            glyph, style = look.glyphs.lane, "dim"
            if lane.born_ns is not None and time_ns < lane.born_ns:
                continue
            if lane.ended_ns is not None and time_ns > lane.ended_ns:
                glyph = look.glyphs.gone
            elif self.blocked[index]:
                glyph, style = look.glyphs.blocked, "strong"
            canvas.write(grid.bars[index], glyph, style)
        return canvas


def _lanes(ladder: Ladder, look: Look, grid: Grid, full: bool) -> Iterator[str]:
    yield from headings(ladder, look, grid)
    state = _State(ladder.lanes.lanes)
    begin, end = _visible(ladder, full)
    before = ladder.start_ns
    for index, row in enumerate(ladder.with_marks()):
        if begin <= index < end:
            if index == begin:
                yield from ("", *look.paragraph(_left_out(ladder, range(begin, end)), "  "), "")
            state.note(row)
            before = row.time_ns
            continue
        if row.time_ns - before >= PAUSE_NS:
            yield _pause(ladder, look, grid, state, before, row.time_ns)
        before = row.time_ns
        yield from _draw_row(ladder, look, grid, state, row)


def _pause(ladder: Ladder, look: Look, grid: Grid, state: _State, before: int, after: int) -> str:
    canvas = state.bars(look, grid, after)
    text = f"+{(after - before) / 1e9:.2f} s"
    canvas.write(max(0, time_cells(ladder) - len(text)), text, "doubt")
    return canvas.render(look)


def _draw_row(
    ladder: Ladder, look: Look, grid: Grid, state: _State, row: Row | KernelRow
) -> Iterator[str]:
    canvas = state.bars(look, grid, row.time_ns)
    more: list[tuple[int, str]] = []
    if isinstance(row, SegmentRow):
        more = _draw_segment(canvas, look, grid, row)
    elif isinstance(row, CallRow):
        more = _draw_beside(canvas, look, grid, row.lane, call_id(row), *call_words(row))
    elif isinstance(row, KernelRow):
        more = _draw_beside(canvas, look, grid, row.lane, f"k{row.event}", row.words, "dim")
    else:
        more = _draw_beside(canvas, look, grid, row.lane, "", end_words(row.process), "error")
    time = time_text(ladder, row)
    canvas.write(time_cells(ladder) - len(time), time, "dim")
    yield canvas.render(look)
    state.note(row)
    for column, text in more:
        below = state.bars(look, grid, row.time_ns)
        below.write(column, text)
        yield below.render(look)


def call_id(row: CallRow) -> str:
    return f"c{row.call.call.id}"


def call_words(row: CallRow) -> tuple[str, str]:
    """The text of a call's row, and its style."""
    call = row.call.call
    style = "error" if call.failed else "call"
    if row.moment is Moment.WHOLE:
        return call_text(call, row.stream), style
    if row.moment is Moment.RETURNED:
        return f"{call.name} … = {result_text(call, row.stream)}", style
    if call.returned_ns is None:
        return call_text(call, row.stream), "doubt"
    return f"{arguments_text(call)} …", "call"


def end_words(process: Process) -> str:
    if process.signal is not None:
        return f"✗ killed by {process.signal}"
    return f"✗ ended with status {process.status}"


def _draw_beside(
    canvas: Canvas, look: Look, grid: Grid, lane: int, number: str, words: str, style: str
) -> list[tuple[int, str]]:
    """Text beside a lane's bar; returns what did not fit, for the lines below."""
    mark = f"{number} " if number else ""
    safe = look.text(words).replace(" = ", f"{GLUE}={GLUE}")
    goes_right, room = grid.side(lane, cells(mark) + cells(safe))
    bar = grid.bars[lane]
    lines = wrap(safe, room, mark, " " * len(mark))
    # Text on the left ends at the bar, all its lines beginning at one column.
    start = bar + 2 if goes_right else bar - 1 - max(map(cells, lines))
    canvas.write(start - 1, f" {mark}", "id")
    canvas.write(start + len(mark), f"{lines[0][len(mark) :]} ", style)
    canvas.write(bar, look.glyphs.tee_right if goes_right else look.glyphs.tee_left)
    return [(start, line) for line in lines[1:]]


def _draw_segment(canvas: Canvas, look: Look, grid: Grid, row: SegmentRow) -> list[tuple[int, str]]:
    label = arrow_label(row)
    style = segment_style(row.segment, row.unanswered)
    if row.source == row.target:
        words = f"{look.glyphs.loop} {label.whole}{' ✗' if row.unanswered else ''}"
        return _draw_beside(canvas, look, grid, row.source, "", words, style)
    source, target = _columns(grid, row)
    low, high = min(source, target), max(source, target)
    rightward = source < target
    _draw_arrow(canvas, look, grid, row, style)
    inner = high - low - 1
    inside, outside = _split_label(label, look, inner)
    if inside:
        spare = inner - cells(inside) - 4
        start = low + 1 + min(spare, 2) + (not rightward)
        canvas.write(start, f" {inside} ", style)
    if not outside:
        return []
    return _write_outside(canvas, look, grid, low, high, outside, style)


def _split_label(label: SegmentLabel, look: Look, room: int) -> tuple[str, str]:
    """What of a label stands in an arrow of ``room`` cells, and what beside it; the head of the
    arrow and some of its line stay visible."""
    whole, head, rest = (look.text(part) for part in (label.whole, label.head, label.rest))
    if cells(whole) <= room - 6:
        return whole, ""
    return (head, rest) if cells(head) <= room - 4 else ("", whole)


def arrow_label(row: SegmentRow) -> SegmentLabel:
    """A segment in words, with the time that it was under way where that is long."""
    label = segment_label(row.segment)
    if row.took_ns < SLOW_NS:
        return label
    return replace(label, numbers=f"{label.numbers} ~{row.took_ns / 1e6:.0f} ms".lstrip())


def _columns(grid: Grid, row: SegmentRow) -> tuple[int, int]:
    """Where a segment's arrow begins and ends; half-way is between the last two bars on its way."""
    source, target = grid.bars[row.source], grid.bars[row.target]
    step = 1 if row.source < row.target else -1
    if row.from_half:
        source = (source + grid.bars[row.source + step]) // 2
    if row.to_half:
        target = (target + grid.bars[row.target - step]) // 2
    return source, target


def _draw_arrow(canvas: Canvas, look: Look, grid: Grid, row: SegmentRow, style: str) -> None:
    glyphs = look.glyphs
    source, target = _columns(grid, row)
    rightward = source < target
    low, high = min(source, target), max(source, target)
    line = glyphs.dashed if row.segment.retransmission else glyphs.line
    canvas.write(low + 1, line * (high - low - 1), style)
    for bar in grid.bars:
        if low < bar < high:
            canvas.write(bar, glyphs.cross, style)
    tee = glyphs.tee_right if rightward else glyphs.tee_left
    canvas.write(source, line if row.from_half else tee, style)
    head = glyphs.lost if row.unanswered else glyphs.head_right if rightward else glyphs.head_left
    canvas.write(high - 1 if rightward else low + 1, head, style)


def _write_outside(
    canvas: Canvas, look: Look, grid: Grid, low: int, high: int, text: str, style: str
) -> list[tuple[int, str]]:
    right, left = look.width - high - 2, low - grid.bars[0]
    if right >= left or cells(text) <= right:
        lines = wrap(text, right)
        canvas.write(high + 2, f"{lines[0]} ", style)
        return [(high + 2, line) for line in lines[1:]]
    lines = wrap(text, left)
    canvas.write(low - 1 - cells(lines[0]), lines[0], style)
    return [(low - 1 - cells(line), line) for line in lines[1:]]


def segment_style(attributed: AttributedSegment, unanswered: bool) -> str:
    """The style of a segment's row."""
    if "R" in attributed.segment.flags or attributed.segment.icmp is not None:
        return "reset"
    return "again" if attributed.retransmission or unanswered else "segment"


# --- A list, where lanes have no room ----------------------------------------------------------


def _list(ladder: Ladder, look: Look, full: bool) -> Iterator[str]:
    names = [clip(look.text(lane.label), WIDEST_NAME) for lane in ladder.lanes.lanes]
    size = time_cells(ladder)
    arrow = look.text("→")
    begin, end = _visible(ladder, full)
    for index, row in enumerate(ladder.with_marks()):
        if begin <= index < end:
            if index == begin:
                yield from ("", *look.paragraph(_left_out(ladder, range(begin, end)), "  "), "")
            continue
        time = time_text(ladder, row).rjust(size)
        if isinstance(row, SegmentRow):
            who = f"{names[row.source]} {arrow} {names[row.target]}"
            words = arrow_label(row).whole + (" ✗" if row.unanswered else "")
            style = segment_style(row.segment, row.unanswered)
        elif isinstance(row, EndRow):
            who, words, style = names[row.lane], end_words(row.process), "error"
        elif isinstance(row, KernelRow):
            who, words, style = names[row.lane], f"k{row.event} {row.words}", "dim"
        else:
            words, style = call_words(row)
            who, words = names[row.lane], f"{call_id(row)} {words}"
        head = f"{time}  {who}  "
        lines = wrap(look.text(words), look.width, head, " " * (size + 4))
        yield look.paint(head, "dim") + look.paint(lines[0][len(head) :], style)
        yield from (look.paint(line, style) for line in lines[1:])
