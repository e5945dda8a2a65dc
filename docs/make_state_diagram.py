"""Draws the TCP state machine from its table into docs/architecture.md (Mermaid, as GitHub shows).

python docs/make_state_diagram.py            print the diagram
python docs/make_state_diagram.py --write    put it between the marks in architecture.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from observatory.analysis.machine import CALLS, STATES, TRANSITIONS, UNSEEN, Transition

PAGE = Path(__file__).with_name("architecture.md")
BEGIN = "<!-- state diagram, made by docs/make_state_diagram.py -->"
END = "<!-- end of the state diagram -->"
# Resets and timeouts lead from nearly everywhere to CLOSED: drawn, they hide the rest.
ENDS = frozenset({"sent RST", "received RST", "received RST after active open", "user timeout"})


def diagram(transitions: Iterable[Transition] = TRANSITIONS) -> str:
    """The machine as a Mermaid state diagram, arcs to CLOSED by RST and timeout left out."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state}" as {_name(state)}' for state in STATES if "-" in state]
    lines.append("    [*] --> CLOSED")
    for row in transitions:
        if row.event not in ENDS or row.next != "CLOSED":
            lines.append(f"    {_name(row.state)} --> {_name(row.next)}: {_label(row)}")
    return "\n".join([*lines, "```"])


def page_with(text: str, drawing: str) -> str:
    """``text`` with the drawing between its marks. Raises ValueError if it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {BEGIN!r} and {END!r} to draw between")
    return f"{before}{BEGIN}\n{drawing}\n{END}{after}"


def _name(state: str) -> str:
    return state.replace("-", "_")


def _label(row: Transition) -> str:
    seen = {CALLS: ", shown by calls", UNSEEN: ", never seen"}.get(row.shown_by, "")
    return f"{row.event} ({row.clause.split(',')[0]}{seen})"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page_with(PAGE.read_text("utf-8"), diagram()), "utf-8")
    else:
        print(diagram())
