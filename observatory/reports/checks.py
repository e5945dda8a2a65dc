"""What a second opinion on the same file differs in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from observatory.reports.style import Look, cells


class Disagreement(Protocol):
    """A segment that another dissector sees otherwise; ``segment`` None speaks of the file."""

    @property
    def segment(self) -> int | None: ...
    @property
    def what(self) -> str: ...
    @property
    def ours(self) -> object: ...
    @property
    def theirs(self) -> object: ...


def render(
    disagreements: Sequence[Disagreement],
    name: str,
    width: int = 100,
    colour: bool = False,
    ascii: bool = False,  # noqa: A002 - the word for it
    opinion: str = "tshark",
) -> str:
    """A table of the disagreements about the file ``name``, or one line of agreement."""
    look = Look(width, colour, ascii)
    if not disagreements:
        return look.text(f"{name}: {opinion} agrees") + "\n"
    rows = [("segment", "what", "observatory", opinion)]
    rows += [
        (
            "file" if one.segment is None else f"#{one.segment}",
            one.what,
            _value(one.ours),
            _value(one.theirs),
        )
        for one in disagreements
    ]
    safe = [tuple(look.text(value) for value in row) for row in rows]
    widths = [max(cells(row[column]) for row in safe) for column in range(3)]
    count = len(disagreements)
    noun = "disagreement" if count == 1 else "disagreements"
    lines = [look.paint(look.text(f"{name}: {count:,} {noun} with {opinion}"), "alarm")]
    for index, row in enumerate(safe):
        padded = [
            value + " " * (size - cells(value)) for value, size in zip(row[:3], widths, strict=True)
        ]
        lines.append(look.paint("  " + "  ".join((*padded, row[3])), "" if index else "strong"))
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return "-" if value is None or value == "" else str(value)
