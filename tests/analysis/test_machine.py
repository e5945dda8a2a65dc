"""The table of RFC 9293 itself: it is a machine, and the diagram's arcs are all in it."""

from __future__ import annotations

import re

from observatory.analysis import machine
from observatory.analysis.machine import STATES, TRANSITIONS, advance, next_state

# The arcs of RFC 9293, Figure 5, as they are drawn there.
FIGURE_5 = """
CLOSED LISTEN; CLOSED SYN-SENT; LISTEN CLOSED; LISTEN SYN-RECEIVED; LISTEN SYN-SENT;
SYN-SENT CLOSED; SYN-SENT SYN-RECEIVED; SYN-SENT ESTABLISHED; SYN-RECEIVED ESTABLISHED;
SYN-RECEIVED FIN-WAIT-1; SYN-RECEIVED LISTEN; ESTABLISHED FIN-WAIT-1; ESTABLISHED CLOSE-WAIT;
FIN-WAIT-1 FIN-WAIT-2; FIN-WAIT-1 CLOSING; CLOSE-WAIT LAST-ACK; FIN-WAIT-2 TIME-WAIT;
CLOSING TIME-WAIT; LAST-ACK CLOSED; TIME-WAIT CLOSED
"""


def test_every_arc_of_the_figure_is_a_row() -> None:
    drawn = {tuple(arc.split()) for arc in FIGURE_5.replace("\n", " ").strip().split(";")}
    rows = {(row.state, row.next) for row in TRANSITIONS}
    assert drawn <= rows
    # What the figure leaves out is told in the text: a reset or a timeout ends in CLOSED.
    extra = {arc for arc in rows - drawn if arc[1] != "CLOSED"}
    assert extra == {("SYN-RECEIVED", "CLOSE-WAIT")}


def test_the_machine_is_deterministic_and_closed() -> None:
    assert len({(row.state, row.event) for row in TRANSITIONS}) == len(TRANSITIONS)
    assert {row.state for row in TRANSITIONS} == {row.next for row in TRANSITIONS} == set(STATES)


def test_every_row_cites_its_clause_and_says_what_shows_it() -> None:
    for row in TRANSITIONS:
        assert re.fullmatch(r"3\.10\.[1-8](\.\d)?(, \w+)?", row.clause), row
        assert row.shown_by in (machine.WIRE, machine.CALLS, machine.UNSEEN), row


def test_an_event_without_a_row_is_a_value() -> None:
    assert next_state("ESTABLISHED", machine.RECEIVED_SYN) is None
    assert next_state("no such state", "no such event") is None
    assert advance(("CLOSED",), machine.TWO_MSL) == ("CLOSED",)
    assert advance((), machine.TWO_MSL) == ()


def test_advance_adds_what_only_the_calls_show() -> None:
    assert advance(("CLOSED", "SYN-SENT"), machine.USER_TIMEOUT) == ("CLOSED", "SYN-SENT", "CLOSED")
