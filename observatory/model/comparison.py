"""Two runs laid beside each other: what is the same, what is new, gone or other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from observatory.model.conclusions import Analysis, AttributedSegment, ExplainedCall

Entry = TypeVar("Entry", ExplainedCall, AttributedSegment)


class Change(StrEnum):
    """What became of a call or segment from the first run to the second. ``shifted`` is a bare
    ACK that only one run has: whether an ACK goes alone or with other segments is a matter of
    microseconds."""

    SAME = "same"
    NEW = "new"
    GONE = "gone"
    OTHER = "other"
    SHIFTED = "shifted"


@dataclass(frozen=True, slots=True)
class Difference:
    """One respect in which two calls or segments differ, in words: ``errno``, ``none``,
    ``ECONNRESET``."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Pair(Generic[Entry]):
    """A call or segment of the first run and its counterpart in the second; one is None where
    there is none. ``group`` is whose it is: a process's role, a connection's two ends."""

    group: str
    before: Entry | None
    after: Entry | None
    change: Change
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two analyses and their alignment; pairs are by group, in order within it."""

    before: Analysis
    after: Analysis
    calls: tuple[Pair[ExplainedCall], ...]
    segments: tuple[Pair[AttributedSegment], ...]

    @property
    def same(self) -> bool:
        """Nothing is new, gone or other; ACKs may stand elsewhere."""
        changes = {pair.change for pair in self.calls} | {pair.change for pair in self.segments}
        return changes <= {Change.SAME, Change.SHIFTED}
