"""The TCP state machine of RFC 9293: Figure 5 and section 3.10 as one table.

Everything that moves an endpoint from state to state is a row of ``TRANSITIONS``, with the clause
it comes from. An event without a row leaves the state as it is (``next_state`` says so with
None): what was observed is data, however strange. The diagram in docs/ is drawn from the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

CLOSED: Final = "CLOSED"
LISTEN: Final = "LISTEN"
SYN_SENT: Final = "SYN-SENT"
SYN_RECEIVED: Final = "SYN-RECEIVED"
ESTABLISHED: Final = "ESTABLISHED"
FIN_WAIT_1: Final = "FIN-WAIT-1"
FIN_WAIT_2: Final = "FIN-WAIT-2"
CLOSE_WAIT: Final = "CLOSE-WAIT"
CLOSING: Final = "CLOSING"
LAST_ACK: Final = "LAST-ACK"
TIME_WAIT: Final = "TIME-WAIT"

STATES: Final = (
    CLOSED,
    LISTEN,
    SYN_SENT,
    SYN_RECEIVED,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    CLOSE_WAIT,
    CLOSING,
    LAST_ACK,
    TIME_WAIT,
)

OPEN_PASSIVE: Final = "open-passive"
OPEN_ACTIVE: Final = "open-active"  # sends SYN
RECEIVED_SYN: Final = "received SYN"  # sends SYN-ACK
RECEIVED_SYN_ACK: Final = "received SYN-ACK"  # sends ACK
RECEIVED_ACK_OF_SYN: Final = "received ACK of SYN"
SENT_FIN: Final = "sent FIN"
RECEIVED_FIN: Final = "received FIN"  # sends ACK
RECEIVED_ACK_OF_FIN: Final = "received ACK of FIN"
SENT_RST: Final = "sent RST"
RECEIVED_RST: Final = "received RST"
RECEIVED_RST_ACTIVE: Final = "received RST after active open"
CLOSE: Final = "close"  # sends nothing
USER_TIMEOUT: Final = "user timeout"
TWO_MSL: Final = "2MSL"

WIRE: Final = "wire"
CALLS: Final = "calls"
UNSEEN: Final = "unseen"


class Transition(NamedTuple):
    """One arc. ``clause`` is the section of RFC 9293; ``shown_by`` is what can show it:
    ``wire`` (segments), ``calls`` (only the API calls), ``unseen`` (neither, or Linux has no
    such arc)."""

    state: str
    event: str
    next: str
    clause: str
    shown_by: str = WIRE


TRANSITIONS: Final = (
    Transition(CLOSED, OPEN_PASSIVE, LISTEN, "3.10.1"),
    Transition(CLOSED, OPEN_ACTIVE, SYN_SENT, "3.10.1"),
    # Linux answers connect() on a listening socket with EISCONN instead.
    Transition(LISTEN, OPEN_ACTIVE, SYN_SENT, "3.10.1", UNSEEN),
    Transition(LISTEN, RECEIVED_SYN, SYN_RECEIVED, "3.10.7.2, third"),
    Transition(LISTEN, CLOSE, CLOSED, "3.10.4", CALLS),
    Transition(SYN_SENT, RECEIVED_SYN_ACK, ESTABLISHED, "3.10.7.3, fourth"),
    Transition(SYN_SENT, RECEIVED_SYN, SYN_RECEIVED, "3.10.7.3, fourth"),
    Transition(SYN_SENT, RECEIVED_RST, CLOSED, "3.10.7.3, second"),
    Transition(SYN_SENT, CLOSE, CLOSED, "3.10.4"),
    Transition(SYN_SENT, USER_TIMEOUT, CLOSED, "3.10.8", CALLS),
    Transition(SYN_RECEIVED, RECEIVED_ACK_OF_SYN, ESTABLISHED, "3.10.7.4, fifth"),
    Transition(SYN_RECEIVED, SENT_FIN, FIN_WAIT_1, "3.10.4"),
    Transition(SYN_RECEIVED, RECEIVED_FIN, CLOSE_WAIT, "3.10.7.4, eighth"),
    Transition(SYN_RECEIVED, SENT_RST, CLOSED, "3.10.5"),
    # Figure 5, note 1: only what was opened passively goes back to listening.
    Transition(SYN_RECEIVED, RECEIVED_RST, LISTEN, "3.10.7.4, second"),
    Transition(SYN_RECEIVED, RECEIVED_RST_ACTIVE, CLOSED, "3.10.7.4, second"),
    Transition(SYN_RECEIVED, USER_TIMEOUT, CLOSED, "3.10.8", UNSEEN),
    Transition(ESTABLISHED, SENT_FIN, FIN_WAIT_1, "3.10.4"),
    Transition(ESTABLISHED, RECEIVED_FIN, CLOSE_WAIT, "3.10.7.4, eighth"),
    Transition(ESTABLISHED, SENT_RST, CLOSED, "3.10.5"),
    Transition(ESTABLISHED, RECEIVED_RST, CLOSED, "3.10.7.4, second"),
    Transition(ESTABLISHED, USER_TIMEOUT, CLOSED, "3.10.8", CALLS),
    Transition(FIN_WAIT_1, RECEIVED_ACK_OF_FIN, FIN_WAIT_2, "3.10.7.4, fifth"),
    Transition(FIN_WAIT_1, RECEIVED_FIN, CLOSING, "3.10.7.4, eighth"),
    Transition(FIN_WAIT_1, SENT_RST, CLOSED, "3.10.5"),
    Transition(FIN_WAIT_1, RECEIVED_RST, CLOSED, "3.10.7.4, second"),
    Transition(FIN_WAIT_1, USER_TIMEOUT, CLOSED, "3.10.8", UNSEEN),
    Transition(FIN_WAIT_2, RECEIVED_FIN, TIME_WAIT, "3.10.7.4, eighth"),
    Transition(FIN_WAIT_2, SENT_RST, CLOSED, "3.10.5"),
    Transition(FIN_WAIT_2, RECEIVED_RST, CLOSED, "3.10.7.4, second"),
    Transition(FIN_WAIT_2, USER_TIMEOUT, CLOSED, "3.10.8", UNSEEN),
    Transition(CLOSE_WAIT, SENT_FIN, LAST_ACK, "3.10.4"),
    Transition(CLOSE_WAIT, SENT_RST, CLOSED, "3.10.5"),
    Transition(CLOSE_WAIT, RECEIVED_RST, CLOSED, "3.10.7.4, second"),
    Transition(CLOSE_WAIT, USER_TIMEOUT, CLOSED, "3.10.8", UNSEEN),
    Transition(CLOSING, RECEIVED_ACK_OF_FIN, TIME_WAIT, "3.10.7.4, fifth"),
    Transition(CLOSING, RECEIVED_RST, CLOSED, "3.10.7.4, second"),
    # An endpoint that has sent its FIN resets nothing by itself: its RST shows that the
    # connection is no longer known to it.
    Transition(CLOSING, SENT_RST, CLOSED, "3.10.7.1"),
    Transition(CLOSING, USER_TIMEOUT, CLOSED, "3.10.8", UNSEEN),
    Transition(LAST_ACK, RECEIVED_ACK_OF_FIN, CLOSED, "3.10.7.4, fifth"),
    Transition(LAST_ACK, RECEIVED_RST, CLOSED, "3.10.7.4, second"),
    Transition(LAST_ACK, SENT_RST, CLOSED, "3.10.7.1"),
    Transition(LAST_ACK, USER_TIMEOUT, CLOSED, "3.10.8", UNSEEN),
    Transition(TIME_WAIT, TWO_MSL, CLOSED, "3.10.8", UNSEEN),
    Transition(TIME_WAIT, RECEIVED_RST, CLOSED, "3.10.7.4, second"),
    Transition(TIME_WAIT, SENT_RST, CLOSED, "3.10.7.1"),
)

NEXT: Final = {(row.state, row.event): row.next for row in TRANSITIONS}


def next_state(state: str, event: str) -> str | None:
    """The state after ``event``, None where the machine has no such arc."""
    return NEXT.get((state, event))


def advance(path: Sequence[str], event: str) -> tuple[str, ...]:
    """``path`` with the state that ``event`` leads to, unchanged where there is no such arc.

    For what segments do not show and calls do: ``advance(paths.client, USER_TIMEOUT)`` after a
    connect that returned ETIMEDOUT.
    """
    following = next_state(path[-1], event) if path else None
    return tuple(path) if following is None else (*path, following)
