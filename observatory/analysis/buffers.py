"""How much a send wanted into its buffer, and whether that can have filled it."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.analysis.asked import answer, number
from observatory.analysis.streams import Stream
from observatory.analysis.wire import Conversation, Half
from observatory.model import Call

# What the kernel adds to bytes that wait: a socket buffer's own memory for each piece of them
# (SKB_TRUESIZE of an empty one is 1,280 bytes on 64 bit).
_PIECE = 2_048
# The least that Linux gives an established socket whose limit it sets itself, with the smallest
# segments that are met: room for twice ten of them (tcp_sndbuf_expand).
_LEAST_LIMIT = 46_080


@dataclass(frozen=True, slots=True)
class Handed:
    """Offsets: bytes from ``acknowledged`` up to ``last``, the end of the call's own, were to be
    in the buffer. ``limit`` is the buffer's, of memory, as the kernel told it afterwards."""

    acknowledged: int
    last: int
    limit: int

    @property
    def size(self) -> int:
        return self.last - self.acknowledged


def handed(call: Call, stream: Stream, conversation: Conversation, half: Half) -> Handed | None:
    """What the send wanted into the buffer; None where the kernel was not asked of it after the
    call, or where it is not known which bytes are the call's."""
    limit = number(answer(call, "after"), "send_buffer")
    if limit is None or stream.missing_sends or call.id in stream.crossed:
        return None
    _, last = stream.range_of(call)
    if not last:
        return None
    other = conversation.opposite(half)
    before = (s.ack for s in conversation.before(call.entered_ns) if s.half is other)
    return Handed(max(next((ack for ack in before if ack is not None), 1), 1), last, limit)


def had_room(call: Call, stream: Stream, conversation: Conversation, half: Half) -> bool:
    """Whether all of it fitted at once, so that the call waited for something else (a processor)
    if it waited. The limit may have grown meanwhile, but is never less than the kernel gives."""
    wanted = handed(call, stream, conversation, half)
    if wanted is None:
        return False
    pieces = len(half.carrying(wanted.acknowledged, wanted.last))
    pieces += len(stream.senders(wanted.acknowledged, wanted.last)) + 2
    return wanted.size + pieces * _PIECE <= min(wanted.limit, _LEAST_LIMIT)
