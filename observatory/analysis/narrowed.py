"""Path MTU discovery: a router says that a segment is too big, and its sender sends smaller ones.

RFC 1191 and RFC 8201. Linux believes the message, marks what was larger as lost and sends it
again at once (tcp_simple_retransmit), in segments that fit.
"""

from __future__ import annotations

from observatory.analysis.conversations import Sighting
from observatory.analysis.wire import unwrap
from observatory.model import Segment

# What is sent again for a message leaves at once; a timeout is 200 ms at least.
_AT_ONCE_NS = 190_000_000


def asked_for_smaller(again: Sighting, within_ns: int = _AT_ONCE_NS) -> Segment | None:
    """The ICMP message for which ``again`` was sent: it quotes a segment that was larger, and had
    come no more than ``within_ns`` before. None where there is none."""
    for message in reversed(again.conversation.too_big.get(again.half, ())):
        came_ns = message.sightings[-1].time_ns if message.sightings else message.time_ns
        if came_ns > again.time_ns:
            continue
        if again.time_ns - came_ns > within_ns:
            return None
        if _is_part(again, message):
            return message
    return None


def _is_part(again: Sighting, message: Segment) -> bool:
    """Whether ``again`` carries a part of what the message quotes, and less than it."""
    half, icmp = again.half, message.icmp
    if icmp is None or icmp.quoted_seq is None or half.base is None:
        return False
    quoted = unwrap(icmp.quoted_seq, half.base, again.seq)
    carriers = half.carrying(quoted, quoted + 1)
    if not carriers:
        return False
    whole = carriers[0]
    return whole.seq <= again.seq < whole.end and again.segment.length < whole.segment.length
