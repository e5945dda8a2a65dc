"""Whether a send buffer was full: by what was handed over and acknowledged, and by what the
kernel said of its memory."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.analysis.asked import answer, number
from observatory.analysis.buffers import handed
from observatory.analysis.holding import scaled_window
from observatory.analysis.view import View, counted
from observatory.analysis.wire import Sighting

# The kernel looks at the limit before it begins a segment, and then fills it up, if need be to
# this (tcp_sendmsg_locked; GSO_LEGACY_MAX_SIZE, of which BIG TCP allows eight times as much), but
# never to more than the largest window it has seen (tcp_bound_to_half_wnd).
_LARGEST = 8 * 65_536
_MOST_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Overfull:
    """A send that put more into the buffer than it holds: it cannot have returned before ``made``
    had come. ``size`` bytes, its own among them, wanted into ``limit`` bytes of memory."""

    made: Sighting
    size: int
    limit: int


def overfull(view: View) -> Overfull | None:
    """Whether the call's bytes, with those before them that were not yet acknowledged, were more
    than the buffer's limit; the kernel told it afterwards, and it only grows."""
    call, half, other, stream = view.call, view.half, view.other, view.outgoing
    conversation = view.conversation
    if half is None or conversation is None or stream is None or half is other:
        return None
    wanted = handed(call, stream, conversation, half)
    if wanted is None:
        return None
    fits_from = wanted.last - wanted.limit - _segment(view)
    meanwhile = conversation.arriving(half, call.entered_ns, call.returned_ns or call.entered_ns)
    made = next((s for s in meanwhile if s.half is other and (s.ack or 0) >= fits_from), None)
    if made is None or wanted.acknowledged >= fits_from:
        return None
    return Overfull(made, wanted.size, wanted.limit)


def _segment(view: View) -> int:
    """The most that a segment can have been filled with: the largest window that was seen."""
    half, other, conversation = view.half, view.other, view.conversation
    if half is None or other is None or conversation is None or view.lossy:
        return _LARGEST
    if len(conversation.sightings) > _MOST_LOOKED_AT:
        return _LARGEST
    came = (s.segment for s in conversation.before(view.decided_ns) if s.half is other)
    windows = [scaled_window(other, half, segment) for segment in came]
    known = [window for window in windows if window is not None]
    return min(max(known), _LARGEST) if known and len(known) == len(windows) else _LARGEST


def memory_said(view: View) -> str:
    """What the kernel said of a full send buffer right after a send that failed, in a sentence;
    empty if it was not asked, or had room again by then."""
    found = answer(view.call, "after")
    taken, limit = number(found, "send_memory"), number(found, "send_buffer")
    if taken is None or limit is None or taken < limit:
        return ""
    parts = [
        f"{counted(waiting, 'byte')} {what}"
        for name, what in (("unsent", "not sent"), ("unacked", "not acknowledged"))
        if (waiting := number(found, name)) is not None
    ]
    held = f" with {' and '.join(parts)}" if parts else ""
    return (
        f" Asked right after, the kernel said: {taken:,} of {limit:,} bytes of memory used{held}."
    )
