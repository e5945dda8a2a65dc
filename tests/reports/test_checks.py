"""Disagreements are a table, agreement is a line."""

from dataclasses import dataclass

from observatory.reports.checks import render


@dataclass
class Differs:
    segment: int | None
    what: str
    ours: object
    theirs: object


def test_agreement():
    assert render([], "run.pcapng") == "run.pcapng: tshark agrees\n"


def test_disagreements_stand_in_columns():
    made = [Differs(3, "flags", "SA", "S"), Differs(None, "segments", 12, 13)]
    assert render(made, "run.pcapng").splitlines() == [
        "run.pcapng: 2 disagreements with tshark",
        "  segment  what      observatory  tshark",
        "  #3       flags     SA           S",
        "  file     segments  12           13",
    ]


def test_nothing_reaches_the_terminal():
    assert "\x1b" not in render([Differs(1, "x", "\x1b[2J", None)], "a\x1b")
