"""Does every behaviour show the same each time, also on a busy machine?

    python -m benchmarks.stability [--rounds 20] [--load PROCESSES] [NAME …]

The catalogue is run again and again, several behaviours side by side, while processes that do
nothing but count keep every processor busy. Of each run these must not change: whether it shows
what it promises and is explained whole (tests/scenarios/fulfilment.py); each process's calls, their
outcomes, the rules that explain them and their confidence; and which kinds of segments there are,
with what caused each. How often something was sent again and which ACKs travel alone are a
matter of time, and no part of it. Exit status 1 if any behaviour changed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from observatory.cli.several import side_by_side
from observatory.model import Analysis, AttributedSegment
from observatory.pipeline import observe, preload
from observatory.scenarios.catalogue import catalogue
from tests.scenarios.fulfilment import echoes, kinds, outcome, roles, unfulfilled

SIDE_BY_SIDE = 4
Shown = tuple[tuple[str, ...], ...]
"""What a run showed: sorted lines, equal where nothing changed."""


def shown(name: str) -> Shown:
    """Run a behaviour once. Lines of what may not change, each with its kind in front."""
    with tempfile.TemporaryDirectory() as folder:
        analysis = observe(name, path=Path(folder) / "run.pcapng").analysis
    problems = unfulfilled(catalogue()[name].expects, analysis)
    lines = {("problem", problem) for problem in problems}
    return tuple(sorted({*lines, *_calls(analysis), *_segments(analysis)}))


def _calls(analysis: Analysis) -> Iterator[tuple[str, ...]]:
    """What each role called, with which outcomes. How many recv() it takes to read a stream, and
    which of two connections comes first, is a matter of time."""
    role_of = _roles(analysis)
    for one in analysis.calls:
        yield (
            "call",
            role_of.get(one.call.pid, ""),
            one.call.name,
            outcome(one.call),
            SAME_BUT_FOR_TIME.get(one.explanation.rule, one.explanation.rule),
            one.explanation.confidence.value,
        )


# How a stream was cut into what recv() returned; whether the FIN was there before it was asked
# for; which of two holders of a socket closed it last.
SAME_BUT_FOR_TIME = {
    "recv-part": "recv",
    "recv-eof-after-shutdown": "recv-eof",
    "close-not-last": "close-listener",
}


def _roles(analysis: Analysis) -> dict[int, str]:
    """Roles by pid; which of several children takes a connection is the kernel's choice."""
    return {
        pid: role.partition(".")[0] + ".n" * ("." in role) for pid, role in roles(analysis).items()
    }


def _segments(analysis: Analysis) -> Iterator[tuple[str, ...]]:
    calls = {one.call.id: one.call for one in analysis.calls}
    role_of = _roles(analysis)
    late = set(echoes(analysis))
    for one in analysis.segments:
        kind = _kind(one)
        if kind == "ACK" or one.retransmission or one.segment.id in late:
            continue
        # A FIN may find data to ride with: whose it is, is the last that the segment carries.
        number = one.carries[-1] if kind == "FIN" and one.carries else one.cause.call
        call = calls.get(number or 0)
        who = f"{call.name} by {role_of.get(call.pid, '')}" if call else ""
        yield "segment", kind, one.cause.kind.value, who, one.cause.confidence.value


def _kind(one: AttributedSegment) -> str:
    return next(iter(kinds(one)))


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that count."""
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            while True:
                sum(range(100_000))
        pids.append(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="(default: the whole catalogue)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--load", type=int, default=os.cpu_count() or 2, metavar="PROCESSES")
    parsed = parser.parse_args()
    names = parsed.names or [one.name for one in catalogue().values() if not one.takes_minutes]
    preload()
    seen: dict[str, Counter[Shown | str]] = {name: Counter() for name in names}
    with load(parsed.load):
        for turn in range(parsed.rounds):
            began = time.monotonic()
            for done in side_by_side(shown, names, SIDE_BY_SIDE):
                seen[done.item][done.result if done.result is not None else done.message] += 1
            changed = sum(len(found) > 1 for found in seen.values())
            took = time.monotonic() - began
            print(f"round {turn + 1}: {took:.0f} s, {changed} behaviours have changed", flush=True)
    return report(seen, parsed.rounds, parsed.load)


def report(seen: dict[str, Counter[Shown | str]], rounds: int, processes: int) -> int:
    bad = {name: found for name, found in seen.items() if len(found) > 1 or _problems(found)}
    print(f"\n{len(seen)} behaviours, {rounds} rounds, {processes} busy processes")
    for name, found in bad.items():
        print(f"\n{name}: {' and '.join(f'{n} times' for n in found.values())} alike")
        usual, *others = (result for result, _ in found.most_common())
        for line in _problems(found):
            print(f"  always or sometimes: {line}")
        for other in others:
            if isinstance(usual, str) or isinstance(other, str):
                print(f"  {other if isinstance(other, str) else 'ran'}")
                continue
            for mark, lines in (("-", set(usual) - set(other)), ("+", set(other) - set(usual))):
                for line in sorted(lines):
                    print(f"  {mark} {' '.join(line)}")
    print(f"\n{len(bad)} changed or fell short")
    return 1 if bad else 0


def _problems(found: Counter[Shown | str]) -> list[str]:
    lines = {line for result in found if not isinstance(result, str) for line in result}
    told = [line[1] for line in sorted(lines) if line[0] == "problem"]
    return told + [result for result in found if isinstance(result, str)]


if __name__ == "__main__":
    sys.exit(main())
