"""What the kernel says of a socket: TCP_INFO's numbers by the names that ``Call.asked`` uses."""

from __future__ import annotations

import struct
from collections.abc import Sequence

STATES = (
    *("ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"),
    *("CLOSED", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING"),
)
"""RFC 9293's names of the states in include/net/tcp_states.h, by number from 1."""

LISTEN = STATES.index("LISTEN") + 1
CLOSED = STATES.index("CLOSED") + 1

# struct tcp_info (include/uapi/linux/tcp.h) up to tcpi_notsent_bytes, of which are read: state,
# rto, unacked, sacked, rtt, snd_cwnd, total_retrans, notsent_bytes.
_LAYOUT = struct.Struct("=B7xI12xII36xI8xI16xI40xI")
SIZE = _LAYOUT.size

unpack = _LAYOUT.unpack
"""``(state, rto, unacked, sacked, rtt, snd_cwnd, total_retrans, notsent_bytes)`` of ``SIZE``
bytes. Raises struct.error for another number of them (an older kernel has fewer)."""

_CONNECTION = ("rto_us", "rtt_us", "cwnd", "retransmits", "unsent", "unread", "unacked")
_QUEUE = ("queue", "queue_limit")
_LEFT = ("unread",)
_SEND_BUFFER = ("send_memory", "send_buffer")
_NAMES = {len(names): names for names in (_QUEUE, _LEFT, _CONNECTION, _CONNECTION + _SEND_BUFFER)}


def state_name(number: int) -> str:
    """The name of a state; of one that this table has not, its number."""
    return STATES[number - 1] if 0 < number <= len(STATES) else str(number)


def named(answer: Sequence[int]) -> dict[str, int | str]:
    """A journal's answer by name: of a listener ``[state, at, queue, queue_limit]``, of a socket
    that is closed ``[state, at, unread]``, of another ``[state, at, rto, rtt, cwnd, retransmits,
    unsent, unread, unacked]``, with ``send_memory, send_buffer`` behind them where its buffer was
    asked for. docs/run-file.md says what they mean. Raises KeyError for any other list."""
    state, at_ns, *numbers = answer
    values = dict(zip(_NAMES[len(numbers)], numbers, strict=True))
    return {"state": state_name(state), **values, "at_ns": at_ns}
