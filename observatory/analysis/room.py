"""Whether a send buffer was full: by what was handed over and acknowledged, and by what the
kernel said of its memory."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.analysis.asked import answer, number
from observatory.analysis.view import View, counted
from observatory.analysis.wire import Sighting

# The kernel looks at the limit before it begins a segment, and then fills it up
# (tcp_sendmsg_locked; GSO_LEGACY_MAX_SIZE, and BIG TCP allows eight times that).
_OVERSHOOT = 8 * 65_536


@dataclass(frozen=True, slots=True)
class Overfull:
    """A send that put more into the buffer than it holds: it cannot have returned before ``made``
    had come. ``handed`` bytes, its own among them, wanted into ``holds`` bytes of memory."""

    made: Sighting
    handed: int
    holds: int


def overfull(view: View) -> Overfull | None:
    """Whether the call's bytes, with those before them that were not yet acknowledged, were more
    than the buffer's limit as the kernel told it afterwards; it only grows."""
    call, half, other, stream = view.call, view.half, view.other, view.outgoing
    holds = number(answer(call, "after"), "send_buffer")
    if holds is None or half is None or other is None or stream is None or half is other:
        return None
    _, last = stream.range_of(call)
    conversation = view.conversation
    if not last or stream.missing_sends or conversation is None or view.crossed:
        return None
    wanted = last - holds - _OVERSHOOT  # what must be acknowledged before the last byte fits
    before = [s.ack or 0 for s in conversation.before(call.entered_ns) if s.half is other][:1]
    meanwhile = conversation.arriving(half, call.entered_ns, call.returned_ns or call.entered_ns)
    made = next((s for s in meanwhile if s.half is other and (s.ack or 0) >= wanted), None)
    acknowledged = before[0] if before else 1
    if made is None or acknowledged >= wanted:
        return None
    return Overfull(made, last - max(acknowledged, 1), holds)


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
