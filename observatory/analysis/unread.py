"""Whether data was unread when a socket was closed: what calls and wire account for, and what the
kernel said just before (SIOCINQ).

Closing a TCP socket with unread data is an abort (RFC 1122 4.2.2.13, Linux __tcp_close).
"""

from __future__ import annotations

from dataclasses import dataclass

from observatory.analysis.asked import asked_ns, at_its_end, number
from observatory.analysis.callsets import RECEIVING
from observatory.analysis.lives import SocketLife
from observatory.analysis.matching import FOREVER
from observatory.analysis.streams import Stream
from observatory.analysis.wire import Conversation, Half


@dataclass(frozen=True, slots=True)
class Unread:
    """``count`` bytes were unread when the socket was ended. ``asked`` is what the kernel said
    just before, None where it was not asked. ``sure`` says that both agree as far as they go;
    ``denied`` that the kernel had none although as many had come and nobody is seen to have read
    them."""

    count: int
    asked: int | None = None
    sure: bool = True
    denied: bool = False


def unread_at_end(
    life: SocketLife, conversation: Conversation, own: Half, incoming: Stream, time_ns: int
) -> Unread:
    """What was unread when, at ``time_ns``, the socket sent its RST. ``own`` is the half that it
    sent, ``incoming`` are the bytes that came."""
    # What the RST does not acknowledge had come before something that was missing, if at all: that
    # is in no queue from which it could be read.
    in_order = _acknowledged(conversation, own, time_ns) - incoming.taken_by(time_ns)
    counted = min(incoming.unread_at(time_ns), max(in_order, 0))
    answered = at_its_end(life)
    asked, ended_ns = number(answered, "unread"), life.closed_ns or time_ns
    if asked is None:
        return Unread(counted)
    from_ns = asked_ns(answered, ended_ns)
    came_since = incoming.shown_by(time_ns) - incoming.shown_by(from_ns)
    if asked:
        # Another thread may have read them between the question and the call.
        sure = counted > 0 or not _receiving(life, from_ns, ended_ns)
        return Unread(max(asked, min(counted, asked + came_since)), asked, sure)
    if counted <= came_since:
        return Unread(counted, asked)
    if _acknowledged(conversation, own, from_ns) > incoming.taken_by(ended_ns):
        return Unread(came_since, asked, denied=True)
    return Unread(counted, asked, sure=False)  # they came at that very moment


def _receiving(life: SocketLife, first_ns: int, last_ns: int) -> bool:
    """Whether a receive was under way."""
    return any(
        call.entered_ns <= last_ns and (call.returned_ns or FOREVER) >= first_ns
        for call in life.named(*RECEIVING)
    )


def _acknowledged(conversation: Conversation, half: Half, time_ns: int) -> int:
    """The offset up to which an end had acknowledged bytes: they were in its receive queue."""
    said = (one.ack for one in conversation.before(time_ns) if one.half is half)
    return next((ack for ack in said if ack is not None), 0)
