"""Reasons that differ in ids alone are told in full once."""

from pathlib import Path

from observatory.analysis import analyze
from observatory.reports.style import Look
from observatory.reports.why import MOST_PARAGRAPHS, reasons, why
from observatory.sources.files import load

SWEEP = Path(__file__).parents[2] / "captures" / "catalogue" / "listen-backlog-sweep.pcapng"


def test_a_reason_of_a_kind_that_was_told_refers_to_it():
    analysis = analyze(load(SWEEP))
    lines = why(analysis, Look(100, colour=False, ascii=False))
    shown = reasons(analysis)[:MOST_PARAGRAPHS]
    kinds = {reason.kind for reason in shown}
    referring = [line for line in lines if line.strip().startswith("as c")]

    assert len(referring) == len(shown) - len(kinds)
    assert sum("did not wait" in line for line in lines) == 1


def test_full_tells_each_in_full():
    analysis = analyze(load(SWEEP))
    lines = why(analysis, Look(100, colour=False, ascii=False), full=True)

    assert not [line for line in lines if line.strip().startswith("as c")]
