"""What the kernel said, and what it makes of our conclusions, in the document."""

from __future__ import annotations

from pathlib import Path

from observatory.analysis import analyze
from observatory.codec.document import document
from tests.plays import read_play

PLAYS = Path(__file__).parents[1] / "analysis" / "plays" / "kernel"


def of(name: str):
    return document(analyze(read_play((PLAYS / name).read_text("utf-8")).trace))


def test_an_agreement_is_told_with_its_events_and_each_event_with_what_it_speaks_of():
    made = of("refused.play")
    reset, connect = made["segments"][1], made["calls"][1]
    assert reset["kernel"] == {
        "verdict": "agreed",
        "row": "rst-nobody-listens",
        "said": "RST sent, reason NO_SOCKET",
        "events": [2],
    }
    assert (reset["kernel_reason"], reset["cause"]["mechanism"]) == (
        "NO_SOCKET",
        "rst-nobody-listens",
    )
    assert connect["kernel"]["verdict"] == "agreed"
    told = made["kernel"][1]
    assert (told["connection"], told["end"], told["segment"], told["during"]) == (1, "server", 2, 2)
    coverage = made["coverage"]
    assert (coverage["agreed"], coverage["contradicted"], coverage["silent"]) == (3, 0, 0)


def test_the_kernels_states_stand_beside_ours_with_what_makes_them_other():
    (connection,) = of("whole-connection.play")["connections"]
    assert connection["states"]["client"][-1] == "TIME-WAIT"
    assert connection["kernel_states"]["client"][-1] == "CLOSED"
    assert any("TIME-WAIT" in words for words in connection["peculiarities"])


def test_a_difference_names_the_evidence_of_both_sides():
    (difference,) = of("reason-contradicts.play")["differences"]
    assert difference["subject"] == "RST #4"
    assert (difference["segments"], difference["kernel"]) == ([4], [1])


def test_without_a_witness_nothing_is_told():
    made = of("last-of-two-unasked.play")
    assert {segment["kernel"] for segment in made["segments"]} == {None}
    assert made["differences"] == []
