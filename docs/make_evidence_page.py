"""Writes docs/kernel-evidence.md from the tables that the analyzer goes by.

python docs/make_evidence_page.py            print the page
python docs/make_evidence_page.py --write    put it into docs/kernel-evidence.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from observatory.analysis.evidence import (
    ASKED,
    CALL_ROWS,
    COMPLETED,
    REFINED,
    RESET_ROWS,
    SEGMENT_ROWS,
    Absence,
    Row,
)
from observatory.analysis.witness_states import FIN_WAITS, PECULIARITIES

PAGE = Path(__file__).with_name("kernel-evidence.md")

HEAD = """\
# What makes a conclusion sure

This page is made from the tables in `observatory/analysis/evidence.py` and `witness_states.py` by
`python docs/make_evidence_page.py --write`: it says what the analyzer does, word for word.

A conclusion rests on calls and segments. Where the kernel's tracepoints were watched, its own
events are compared with the conclusion, and the verdict is one of three:

- **agreed**: the kernel said what it must if we are right. Where the row is marked *decides* and
  the event ran in the thread of the call that we name, while that call ran, a conclusion that was
  only *likely* becomes *certain*.
- **contradicted**: the kernel said what it cannot have said if we are right. Then the conclusion is
  *likely* at most, and the difference is listed, loudly, with the evidence of both sides.
- **silent**: the kernel was asked and said nothing about it. That changes nothing. That an event is
  *not* there counts only in the rows that say so, only if the event was watched and none was lost,
  and only for a socket of which the kernel has told from its beginning.

Conclusions that no tracepoint can speak of (which call sent these bytes, what an ACK answers) have
no verdict. The words *the call's thread* mean just that: for most events the thread that was
running is *not* the one who did it. On loopback a packet is delivered, and answered, in the thread
that sent it; so a report says "while client's connect() was running", never "by client". Only what
the kernel does for its caller alone (going to SYN-SENT, LISTEN, FIN-WAIT-1 or LAST-ACK) tells who.
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        "## Why a RST was sent\n\nWhere a RST is a reply, the kernel names the packet that it "
        "answers, too: another one than we say contradicts.\n",
        *_rows(RESET_ROWS),
        *_refined(),
        "## Who sent a segment, or sent it again\n",
        *_rows(SEGMENT_ROWS),
        "## Why a call returned what it did\n",
        *_rows((*CALL_ROWS, COMPLETED)),
        *_asked(),
        *_states(),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _rows(rows: Iterable[Row]) -> Iterator[str]:
    yield "| conclusion | calls show | the wire shows | the kernel says | contradicted by |"
    yield "|---|---|---|---|---|"
    for row in rows:
        kernel = "; or ".join(says.words() for says in row.kernel)
        if row.absence is Absence.AGREES:
            kernel = "nothing of what contradicts it"
        contradicts = [says.words() for says in row.contradicts]
        if row.absence is Absence.CONTRADICTS:
            contradicts.append("its silence")
        reference = f"<br>*{row.reference}*" if row.reference else ""
        decides = " **decides**" if row.decides else ""
        cells = (
            f"**{row.conclusion}** (`{row.id}`){reference}",
            row.calls or "nothing needed",
            row.wire or "nothing needed",
            (kernel or "nothing of what contradicts it") + decides,
            "; or ".join(contradicts) or "nothing",
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _refined() -> Iterator[str]:
    yield "Where calls and wire leave the mechanism open, the kernel's reason may name it:\n"
    for (row, reason), (named, words) in REFINED.items():
        yield f"- `{row}` with reason {reason} is `{named}` ({words})"
    yield ""


def _asked() -> Iterator[str]:
    yield "The rows are asked of the calls that these rules explain:\n"
    for asked in ASKED:
        rules = ", ".join(f"`{rule}`" for rule in sorted(asked.rules))
        yield f"- `{asked.row}` (events of the {OF[asked.of]}): {rules}"
    yield ""
    yield (
        "What a call's explanation says of a RST (its own, or one that made it fail) has the "
        "verdict on that RST as well."
    )
    yield ""


OF = {
    "connection": "call's own end of the connection",
    "accepted": "connection's end that the call returned",
    "listener": "listening socket",
}


def _states() -> Iterator[str]:
    yield "## States: ours beside the kernel's\n"
    yield (
        "The states that segments and calls show are compared with those that "
        "`inet_sock_set_state` told of the same socket. They may differ in these ways and say the "
        "same; any other difference is listed as a contradiction.\n"
    )
    for row in PECULIARITIES:
        yield f"- {row.name} (*{row.reference}*)"
    yield f"- {FIN_WAITS}"
    yield ""


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page())
