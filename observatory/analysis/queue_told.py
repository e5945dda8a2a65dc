"""What the kernel said of a listener's accept queue: its length when calls on it were about to be
made, and how many times it overflowed in all.

A queue only shrinks by accept(), so that what was in it a little later, less what entered
meanwhile, was in it before: nobody needs to ask at the very moment at which a SYN was dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from observatory.analysis.asked import Answer, answer, asked_ns, number
from observatory.analysis.lives import SocketLife
from observatory.model import Call, Counter

OVERFLOWS = "TcpExt.ListenOverflows"


@dataclass(frozen=True, slots=True)
class Told:
    """What was answered before ``call`` was made, between ``from_ns`` and ``by_ns``: so many in
    the queue, which is full with more than ``limit``."""

    call: Call
    from_ns: int
    by_ns: int
    length: int
    limit: int


@dataclass(frozen=True, slots=True)
class Overflow:
    """A host's accept queues over the whole run: ``found`` SYNs are seen to have found one full,
    ``counted`` segments, SYNs and the last ACKs of handshakes, were counted as such. ``exactly``
    says that the two are the same segments: as many, no other SYN without an answer, and no ACK
    that can have met a full queue."""

    found: int
    counted: int
    exactly: bool


def told_after(listener: SocketLife, time_ns: int) -> Told | None:
    """The first answer after a moment, before listen() set another limit."""
    first = bisect_left(listener.calls, time_ns, key=lambda call: call.entered_ns)
    for index in range(first, len(listener.calls)):
        call = listener.calls[index]
        if call.name == "listen":
            return None
        found = _told(call, answer(call))
        if found is not None and found.from_ns >= time_ns:
            return found
    for drop in listener.drops:  # an exit is no call on the listener itself
        found = _told(drop.call, answer(drop.call, fd=drop.fd)) if drop.call is not None else None
        if found is not None and found.from_ns >= time_ns:
            return found
    return None


def _told(call: Call, found: Answer) -> Told | None:
    length, limit = number(found, "queue"), number(found, "queue_limit")
    if length is None or limit is None:
        return None
    return Told(call, asked_ns(found, call.entered_ns), call.entered_ns, length, limit)


def overflows(counters: Iterable[Counter], host: str) -> int | None:
    """How often in all an accept queue of that host was found full; None where that was not
    counted, or others were counted with it."""
    exact = [one for one in counters if one.host == host and one.exact]
    return sum(one.change for one in exact if one.name == OVERFLOWS) if exact else None
