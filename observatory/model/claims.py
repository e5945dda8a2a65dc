"""What a statement of the book came to on this kernel: verdicts, and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Of a statement, or of one check of it."""

    HOLDS = "holds"
    DIFFERS = "differs"
    CANNOT = "cannot be tested here"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one run says of a statement. ``seen`` is a sentence with ids and times; ``calls``,
    ``segments`` and ``kernel`` are the ids that it rests on."""

    verdict: Verdict
    seen: str
    calls: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A call, segment or kernel event that a finding rests on. ``id`` is as reports print it
    (``c5``, ``#2``, ``k3``); ``until_ns`` is when a call returned, None for all else and for a
    call that never did."""

    id: str
    text: str
    time_ns: int
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A statement held against one behaviour. ``run_file`` is where its run is kept, empty where
    it is not; ``started_ns`` the time of the run's first event, None where there was none."""

    behaviour: str
    finding: Finding
    run_file: str = ""
    started_ns: int | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement of UNP volume 1 (third edition) and its verdict. ``section`` is where the book
    makes it, ``quoted`` a few of the book's own words."""

    number: int
    section: str
    statement: str
    quoted: str
    verdict: Verdict
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class ClaimsReport:
    """Every claim that was asked for, in order, on ``kernel`` (all kernels, where the runs come
    from several). ``slow`` says whether what takes minutes was run as well."""

    kernel: str
    claims: tuple[Claim, ...]
    slow: bool = False

    def counts(self) -> dict[Verdict, int]:
        """How many claims have each verdict."""
        return {v: sum(claim.verdict is v for claim in self.claims) for v in Verdict}
