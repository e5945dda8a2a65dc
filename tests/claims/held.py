"""A predicate held against a forged document: a play, read, analyzed, judged."""

from __future__ import annotations

from dataclasses import dataclass, replace

from observatory.analysis import analyze
from observatory.claims.judging import look
from observatory.claims.statements import Predicate
from observatory.model.claims import Finding, Verdict
from tests.plays import read_play

HOLDS, DIFFERS, CANNOT = Verdict.HOLDS, Verdict.DIFFERS, Verdict.CANNOT


@dataclass(frozen=True)
class Case:
    """What a predicate must say of a play; ``args`` are more arguments of labelled calls, and
    ``asked`` what was asked of the kernel around them; ``settings`` are
    the kernel's."""

    what: str
    predicate: Predicate
    verdict: Verdict
    play: str
    args: dict[str, dict[str, object]] | None = None
    asked: dict[str, dict[str, object]] | None = None
    settings: dict[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.predicate.__name__}-{self.verdict.name}-{self.what}"

    def finding(self) -> Finding:
        play = read_play(self.play)
        calls = list(play.trace.calls)
        for label, more in (self.args or {}).items():
            at = play.labels[label] - 1
            calls[at] = replace(calls[at], args={**calls[at].args, **more})
        for label, asked in (self.asked or {}).items():
            at = play.labels[label] - 1
            calls[at] = replace(calls[at], asked=asked)
        run = replace(play.trace.run, settings={**play.trace.run.settings, **(self.settings or {})})
        trace = replace(play.trace, run=run, calls=tuple(calls))
        return look(self.predicate, analyze(trace))


def check(case: Case) -> None:
    found = case.finding()
    assert found.verdict is case.verdict, found.seen
    if case.verdict is not CANNOT:
        assert found.calls or found.segments or found.kernel, "it rests on nothing"
