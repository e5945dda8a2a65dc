"""What a capture file holds, before it is a trace: the common result of both formats' readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from observatory.model.segments import Frame
from observatory.model.trace import Interface

if TYPE_CHECKING:
    from mmap import mmap

    Data = bytes | mmap  # both give bytes when sliced, so a large file need not be read at once

# A time later than this (the year 2262) cannot be written in nanoseconds by everyone who reads
# it; a file that has one is damaged there.
LATEST_NS = 2**63 - 1


@dataclass(slots=True)
class Contents:
    """Filled by a reader as it walks the file.

    ``entries`` are the bodies of systemd journal blocks with the number of their section,
    ``comments`` those of each section's header, in file order. ``damaged`` counts blocks that
    were skipped because they contradict themselves; ``ending`` says where and why reading
    stopped before the end of the file, None if it did not.
    """

    interfaces: list[Interface] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    entries: list[tuple[int, bytes]] = field(default_factory=list)
    comments: list[tuple[str, ...]] = field(default_factory=list)
    damaged: int = 0
    ending: str | None = None

    def defects(self) -> Sequence[str]:
        """Sentences about what is missing or damaged."""
        sentences = []
        if self.ending is not None:
            sentences.append(self.ending)
        if self.damaged:
            sentences.append(
                f"{self.damaged} damaged record{'s were' if self.damaged > 1 else ' was'} skipped "
                "in the file: make it again, or copy it again from where it was made"
            )
        return sentences


def cut_short(position: int, size: int) -> str:
    """The sentence about a file whose last record is not whole."""
    return (
        f"the file is cut short: its last record starts at byte {position} and the file ends "
        f"inside it, at byte {size}; what came after is missing: copy the file again from where "
        "it was made, or make it again"
    )


def damaged_at(position: int, what: str) -> str:
    """The sentence about a file that cannot be followed beyond ``position``."""
    return (
        f"the file is damaged at byte {position} ({what}); what comes after cannot be read: "
        "copy it again from where it was made, or make it again"
    )
