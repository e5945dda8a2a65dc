"""How often the analyzer's attribution is right, as the kernel shows it. Needs root.

    python benchmarks/attribution.py [--connections 2000] [--seed 1] [--quick] [--keep FOLDER]

Random conversations of real processes (``tests/live/conversations.py``: forks, shared sockets, all
ways to close, resets, half-closes, unread data, kills, AF_UNSPEC, loss by nftables) are observed
and analyzed twice: with the kernel's events and with calls and segments alone. Each cause is held
against what the kernel was doing when it queued the packet: its own call stack, asked for in a
second instance of tracefs. How a segment's event is found, and how bytes are counted, is told in
``attribution_truth.py``, the rules of what is right in ``attribution_judge.py``.

Printed are the precision by confidence, the counts by kind and by rule, every miss, and where the
first analysis and the kernel's own words (reasons of resets, retransmissions, changes of state)
disagree. Exits with 1 where a ``certain`` was wrong or fewer than 999 in 1000 were right.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.attribution_judge import judge
from benchmarks.attribution_truth import Truth, Truths, truths
from benchmarks.kernel_stacks import KernelStacks
from observatory import pipeline
from observatory.lab.behaviour import Behaviour
from observatory.model import Analysis, AttributedSegment, Confidence
from observatory.scenarios import catalogue
from tests.live.conversations import Crowd, Notes

PLAYS, TURNS = 4, 4
QUICK_CONNECTIONS = 50
ENOUGH = 0.999
RIGHT, WRONG, UNJUDGED = "right", "wrong", "not judged"


@dataclass(slots=True)
class Tally:
    """How often what was right. ``by`` counts (what, outcome) for confidence, kind and rule."""

    name: str
    by: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    misses: list[str] = field(default_factory=list)

    def count(self, seed: int, analysis: Analysis, known: Truths) -> None:
        for one in analysis.segments:
            truth = known.by_segment.get(one.segment.id)
            judgement = judge(one, truth)
            outcome = UNJUDGED if not judgement.judged else WRONG if judgement.wrong else RIGHT
            for what, value in (
                ("confidence", one.cause.confidence),
                ("kind", one.cause.kind),
                ("rule", judgement.rule or "none"),
            ):
                self.by.setdefault(what, Counter())[(str(value), outcome)] += 1
            if truth is not None and judgement.wrong:
                self.misses.append(
                    f"seed {seed} {_described(one)}\n    wrong: {judgement.wrong} "
                    f"({judgement.rule}; thread {truth.moment.thread}: {_made_by(truth)})"
                )

    def of(self, what: str, value: str, outcome: str) -> int:
        return self.by.get(what, Counter())[(value, outcome)]

    @property
    def judged(self) -> int:
        return sum(n for (_, outcome), n in self.by["confidence"].items() if outcome != UNJUDGED)

    @property
    def precision(self) -> float:
        right = sum(n for (_, outcome), n in self.by["confidence"].items() if outcome == RIGHT)
        return right / max(self.judged, 1)

    @property
    def passes(self) -> bool:
        certain = self.of("confidence", Confidence.CERTAIN, WRONG)
        return not certain and self.precision >= ENOUGH

    def lines(self) -> Iterator[str]:
        yield f"{self.name}: {self.precision:.3%} of {self.judged} right"
        for what, counts in self.by.items():
            yield f"  {what:42} {RIGHT:>8} {WRONG:>8} {'precision':>10} {UNJUDGED:>11}"
            for value in sorted({value for value, _ in counts}):
                right, wrong = counts[(value, RIGHT)], counts[(value, WRONG)]
                share = f"{right / (right + wrong):.2%}" if right + wrong else ""
                yield (
                    f"    {value:40} {right:8} {wrong:8} {share:>10} {counts[(value, UNJUDGED)]:11}"
                )


def _made_by(truth: Truth) -> str:
    """The functions above the IP layer, the innermost first."""
    stack = truth.moment.stack
    first = next((n for n, name in enumerate(stack) if "tcp" in name or "udp" in name), 0)
    return " < ".join(stack[first : first + 8])


def _described(one: AttributedSegment) -> str:
    segment, cause = one.segment, one.cause
    called = "" if cause.call is None else f" by c{cause.call}"
    to = "" if cause.segment is None else f" to #{cause.segment}"
    return (
        f"#{segment.id} {segment.src} > {segment.dst} {segment.flags or segment.protocol} "
        f"seq {one.relative_seq} ack {one.relative_ack} length {segment.length}: "
        f"{cause.kind}{called}{to}, {cause.confidence} ({cause.reason})"
    )


@dataclass(slots=True)
class Measured:
    """All runs together."""

    alone: Tally
    with_kernel: Tally
    connections: int = 0
    segments: int = 0
    unmatched: int = 0
    agreed: int = 0
    contradicted: int = 0
    silent: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, seed: int, analysis: Analysis, known: Truths) -> None:
        """One run: with the kernel's events as it is, and again without."""
        trace = replace(analysis.trace, kernel=(), witness=None, counters=())
        self.alone.count(seed, pipeline.analyze(trace), known)
        self.with_kernel.count(seed, analysis, known)
        self.connections += len(analysis.connections)
        self.segments += len(analysis.segments)
        self.unmatched += len(known.unmatched)
        coverage = analysis.coverage
        self.agreed += coverage.agreed
        self.contradicted += coverage.contradicted
        self.silent += coverage.silent
        self.differences += [
            f"seed {seed} {each.subject}: we say {each.ours}; the kernel says {each.kernels}"
            for each in analysis.differences
        ]

    def lines(self) -> Iterator[str]:
        for tally, told in ((self.alone, ()), (self.with_kernel, self.alone.misses)):
            yield ""
            yield from tally.lines()
            yield from (miss for miss in tally.misses if miss not in told)
        yield ""
        yield (
            f"the kernel's own words: {self.agreed} conclusions agreed, {self.contradicted} "
            f"contradicted, {self.silent} it was silent about"
        )
        yield from self.differences


def measure(connections: int, seed: int, keep: Path | None = None) -> Measured:
    """Play until there were so many connections. Raises OSError where tracefs is not to be had."""
    pipeline.preload()
    measured = Measured(Tally("calls and segments alone"), Tally("with the kernel's events"))
    with KernelStacks() as kernel:
        while measured.connections < connections:
            kernel.take()
            analysis = play(seed, None if keep is None else keep / f"{seed}.pcapng")
            measured.add(seed, analysis, truths(analysis.trace, kernel.take()))
            seed += 1
        if kernel.lost:
            print(f"the kernel lost {kernel.lost} events: some is not judged", file=sys.stderr)
    return measured


def play(seed: int, path: Path | None) -> Analysis:
    """One stage of random conversations, observed and analyzed."""
    notes = Notes()
    crowd = Behaviour(
        "random", "0", f"seed {seed}", "Anything goes.", Crowd(seed, notes, PLAYS, TURNS),
        time_limit=60.0,
    )  # fmt: skip
    found, catalogue.find = catalogue.find, {"random": crowd}.__getitem__  # type: ignore[assignment]
    try:
        return pipeline.observe("random", path=path).analysis
    finally:
        catalogue.find = found
        notes.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often the analyzer's attribution is right.")
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="the first of the seeds")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CONNECTIONS} connections")
    parser.add_argument("--keep", type=Path, help="a folder for the run files")
    asked = parser.parse_args(arguments)
    connections = QUICK_CONNECTIONS if asked.quick else asked.connections
    began = time.monotonic()
    measured = measure(connections, asked.seed, asked.keep)
    print(
        f"{measured.connections} connections, {measured.segments} segments in "
        f"{time.monotonic() - began:.0f} s; the event of {measured.unmatched} was not found"
    )
    print("\n".join(measured.lines()))
    return 0 if measured.alone.passes and measured.with_kernel.passes else 1


if __name__ == "__main__":
    sys.exit(main())
