"""One run of a behaviour seen twice: by its journal, and by an strace of the same processes."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from observatory.analysis import analyze
from observatory.model import Analysis, Call, Confidence, Trace
from observatory.sources import files, strace
from tests.conftest import environment

# What the journal asks the kernel after a call that the program made. A program knows at which
# port it listens: that answer stays.
ASKED = frozenset({"getsockname", "getpeername"})
NAMING = frozenset({"bind", "listen"})
SAME = {"exit_group": "exit", "ppoll": "poll", "pselect6": "select", "vfork": "fork"}

# True of the same call, and less exact: when it returned, or that it never did, is not known.
LESS_EXACT = frozenset(
    {
        ("recv", "recv-part"),
        ("send-broken-by-reset", "send-killed-by-sigpipe"),
        ("bind", "bind-reuseport"),
        ("socket-refused", "socket-no-such-number"),
        # An actor that asks for faults holds the socket that it asks by, which strace sees.
        ("ends-sockets", "ends-process"),
        # A file that a program adopts as a socket is one to the journal, and none to strace.
        ("ends-process", "ends-sockets"),
    }
)


@dataclass(frozen=True)
class BothWays:
    """The two analyses; ``pairs`` maps calls of strace's to the journal's of the same call."""

    journal: Analysis
    strace: Analysis
    pairs: Mapping[int, int]

    def differences(self) -> Iterator[str]:
        """What strace's analysis says otherwise. What it holds for likely, where the journal
        knows, is no lie; what it is certain of must be the same."""
        for ours, theirs in zip(self.strace.segments, self.journal.segments, strict=True):
            a, b = ours.cause, theirs.cause
            call = self.pairs.get(a.call) if a.call is not None else None
            same = (a.kind, a.segment) == (b.kind, b.segment)
            told = call == b.call or (a.confidence is Confidence.LIKELY and a.call is not None)
            # Whether a FIN's receiver had closed when it acknowledged it, is told by a stamp that
            # strace takes later than the journal.
            ticks = b.reason == "ACK of FIN" and a.reason.startswith("ACK of FIN, delayed")
            if not (same or ticks or a.confidence is Confidence.LIKELY) or not told:
                segment = ours.segment
                yield (
                    f"#{segment.id} {segment.flags}: {a.kind} {a.segment} c{call} {a.reason!r}"
                    f" for {b.kind} {b.segment} c{b.call} {b.reason!r}"
                )
        explained = {one.call.id: one for one in self.journal.calls}
        for one in self.strace.calls:
            if one.call.id not in self.pairs:
                continue
            theirs_told = explained[self.pairs[one.call.id]].explanation
            sure = one.explanation.confidence is Confidence.CERTAIN
            differs = one.explanation.rule != theirs_told.rule
            differs = differs and (one.explanation.rule, theirs_told.rule) not in LESS_EXACT
            # Where the journal guesses, as of what a send waited for, it is no measure.
            differs = differs and theirs_told.confidence is Confidence.CERTAIN
            if differs and (sure or one.explanation.confidence is Confidence.UNEXPLAINED):
                yield (
                    f"c{self.pairs[one.call.id]} {one.call.name}: {one.explanation.rule}"
                    f" for {theirs_told.rule}"
                )


def observe(name: str, folder: Path) -> BothWays:
    """Run a behaviour under strace. The journal's own questions are not the program's calls."""
    log, run = folder / "strace.log", folder / "run.pcapng"
    command = [sys.executable, "-m", "observatory", "run", name, "-q", "-o", str(run)]
    done = subprocess.run(
        strace.command_line(log, command=command),
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trace = files.load(run)
    read = strace.read_logs([log])
    actors = {process.pid for process in trace.processes}
    pairs = dict(_pairs((c for c in read.calls if c.pid in actors), trace.calls))
    kept = {*pairs, *_own_names(read.calls)}
    calls = [c for c in read.calls if c.pid in actors and (c.id in kept or c.name not in ASKED)]
    first = min(call.entered_ns for call in trace.calls)
    calls = [call for call in calls if call.entered_ns >= first]
    other = _with(trace, calls)
    numbers = {call.id: number for number, call in enumerate(calls, 1)}
    renumbered = {numbers[ours]: theirs for ours, theirs in pairs.items() if ours in numbers}
    return BothWays(analyze(trace), analyze(other), renumbered)


def _own_names(calls: Iterable[Call]) -> Iterator[int]:
    last: dict[tuple[int, int | None], str] = {}
    for call in calls:
        if call.name == "getsockname" and last.get((call.pid, call.fd)) in NAMING:
            yield call.id
        last[(call.pid, call.fd)] = call.name


def _with(trace: Trace, calls: Iterable[Call]) -> Trace:
    return replace(
        trace,
        run=replace(trace.run, calls_source="strace"),
        calls=tuple(replace(call, id=number) for number, call in enumerate(calls, 1)),
    )


def _pairs(ours: Iterable[Call], theirs: Iterable[Call]) -> Iterator[tuple[int, int]]:
    """A call of the journal's holds the system call of the same name and descriptor."""
    waiting: dict[tuple[int, str, int | None], list[Call]] = defaultdict(list)
    for call in ours:
        waiting[(call.pid, call.name, call.fd)].append(call)
    for call in theirs:
        name = SAME.get(call.name, call.name)
        for other in waiting[(call.pid, name, call.fd)]:
            until = call.returned_ns or (1 << 63)
            if call.entered_ns <= other.entered_ns <= until:
                waiting[(call.pid, name, call.fd)].remove(other)
                yield other.id, call.id
                break
