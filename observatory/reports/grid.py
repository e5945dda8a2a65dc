"""Where a ladder's bars stand in the width that there is, and the names over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from observatory.reports.ladder import CallRow, Ladder, Row
from observatory.reports.lanes import hosts_over
from observatory.reports.marks import KernelRow
from observatory.reports.style import Canvas, Look, cells, clip

NARROWEST_GAP = 9
# From this distance on nearly every label fits into its arrow; beyond the widest the eye is lost.
GOOD_GAP, WIDEST_GAP, WIDEST_WITHOUT_TAIL = 46, 58, 100
ROOM_FOR_CALLS = 46


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the bars are. ``tail`` is True if calls of the last lane have room to its right."""

    bars: tuple[int, ...]
    width: int
    tail: bool

    def side(self, lane: int, size: int) -> tuple[bool, int]:
        """On which side of its bar (True: right) a lane's text of ``size`` cells stands, and the
        room there: on the right if it fits, or fits nowhere and the right is roomy."""
        bar = self.bars[lane]
        right, left = self.width - bar - 2, bar - self.bars[0] - 2
        goes_right = right >= size or (left < size and right >= min(left, ROOM_FOR_CALLS))
        return goes_right, right if goes_right else left


def lay_out(ladder: Ladder, look: Look) -> Grid | None:
    """Bars for this width, None if there is no room for so many lanes."""
    left = time_cells(ladder) + 2
    count = len(ladder.lanes.lanes)
    if count == 1:
        return Grid((left,), look.width, tail=True)
    with_tail = (look.width - left - ROOM_FOR_CALLS) // (count - 1)
    last_calls = any(isinstance(row, CallRow) and row.lane == count - 1 for row in ladder.rows)
    tail = last_calls and with_tail >= GOOD_GAP
    without_tail = min((look.width - 1 - left) // (count - 1), WIDEST_WITHOUT_TAIL)
    gap = min(with_tail, WIDEST_GAP) if tail else without_tail
    if gap < NARROWEST_GAP:
        return None
    return Grid(tuple(left + gap * index for index in range(count)), look.width, tail)


def time_cells(ladder: Ladder) -> int:
    return max(len(time_text(ladder, ladder.rows[-1])), 5)


def time_text(ladder: Ladder, row: Row | KernelRow) -> str:
    """Microseconds since the start."""
    return f"{(row.time_ns - ladder.start_ns) // 1000:,}"


def headings(ladder: Ladder, look: Look, grid: Grid) -> Iterator[str]:
    """The lanes' names over their bars, on as many lines as they need not to touch; over them the
    names of a lab's hosts."""
    lines: list[tuple[Canvas, int]] = [(Canvas(look.width), -1)]
    hosts = hosts_over(ladder.lanes.lanes)
    if hosts:
        yield from _host_names(hosts, look, grid)
    for index, lane in enumerate(ladder.lanes.lanes):
        if lane.is_host:
            continue  # a router: its name stands above
        label = clip(look.text(lane.label), look.width - 8)
        size = cells(label)
        first, last = index == 0, index == len(grid.bars) - 1
        start = grid.bars[index] - (0 if first else size - 1 if last else size // 2)
        start = max(0, min(start, look.width - size))
        if last and grid.tail and len(grid.bars) > 1:
            start = grid.bars[index]
        for number, (canvas, end) in enumerate(lines):
            if start > end:
                canvas.write(start, label, "strong")
                lines[number] = canvas, start + size
                break
        else:
            canvas = Canvas(look.width)
            canvas.write(start, label, "strong")
            lines.append((canvas, start + size))
    unit = look.text("µs")
    lines[-1][0].write(time_cells(ladder) - len(unit), unit, "dim")
    for canvas, _ in lines:
        yield canvas.render(look)


def _host_names(hosts: Sequence[tuple[str, int, int]], look: Look, grid: Grid) -> Iterator[str]:
    """The hosts' names, a line over all the lanes of one that has several; a name that does not
    fit beside the one before it stands a line lower."""
    lines: list[tuple[Canvas, int]] = []
    for host, first, last in hosts:
        name = clip(look.text(host), look.width - 8)
        low, high = grid.bars[first], grid.bars[last]
        start = max(0, min((low + high - cells(name)) // 2 + 1, look.width - cells(name)))
        begin, end = min(low, start), max(high + 1, start + cells(name))
        at = next((n for n, (_, taken) in enumerate(lines) if begin > taken), len(lines))
        if at == len(lines):
            lines.append((Canvas(look.width), -1))
        canvas, _ = lines[at]
        canvas.write(low, look.glyphs.line * (high + 1 - low if first < last else 0), "dim")
        canvas.write(start, name if first == last else f" {name} ", "strong")
        lines[at] = canvas, end
    yield from (canvas.render(look) for canvas, _ in lines)
