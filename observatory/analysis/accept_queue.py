"""Who waited in a listener's accept queue at a moment, and whether there was room for another.

Linux takes a connection more than the backlog says: the queue is full when it holds more than
``backlog`` (sk_acceptq_is_full). While it is full a SYN is dropped, and nothing says so on the
wire (tcp_conn_request); so this is counted from the handshakes seen and the accepts recorded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from observatory.analysis.completions import Joined
from observatory.analysis.matching import FOREVER
from observatory.analysis.wire import Conversation
from observatory.model import Call


@dataclass(frozen=True, slots=True)
class FullQueue:
    """A queue without room. ``waiting`` are the connections in it, ``listen`` the call that set
    its ``backlog``, ``holds`` how many that is on Linux."""

    listen: Call
    backlog: int
    holds: int
    waiting: tuple[Conversation, ...]


def full_for(joined: Joined, conversation: Conversation, time_ns: int) -> FullQueue | None:
    """The queue that a SYN of ``conversation`` found full at that time; None if there was room,
    or if it is not known which listener's it was."""
    listener = joined.descriptors.sockets.get(conversation.listener or 0)
    if listener is None:
        return None
    listens = [c for c in listener.calls if c.name == "listen" and c.entered_ns <= time_ns]
    backlog = listens[-1].args.get("backlog") if listens else None
    if not isinstance(backlog, int):
        return None
    holds = max(backlog, 0) + 1
    waiting = tuple(_waiting(joined, listener.id, time_ns))
    return FullQueue(listens[-1], backlog, holds, waiting) if len(waiting) >= holds else None


def _waiting(joined: Joined, listener: int, time_ns: int) -> Iterator[Conversation]:
    """Those that had surely entered the queue and had surely not been taken, newest first. It
    is first in, first out: older than one that was taken, none is there."""
    queued = joined.queued.get(listener, [])
    for index in range(bisect_right(queued, time_ns, key=_entered) - 1, -1, -1):
        conversation = queued[index]
        if _taken(joined, conversation, time_ns):
            return
        if not any(reset.time_ns <= time_ns for reset in conversation.server.resets):
            yield conversation


def _entered(conversation: Conversation) -> int:
    return conversation.establishing.arrived_ns if conversation.establishing else 0


def _taken(joined: Joined, conversation: Conversation, time_ns: int) -> bool:
    accept = joined.matching.accepted_by.get(conversation.id)
    return accept is not None and accept.entered_ns <= time_ns


def room_made(joined: Joined, full: FullQueue, until_ns: int) -> Call | None:
    """The first accept that took one of the waiting connections, if there was one by then."""
    accepts = (joined.matching.accepted_by.get(one.id) for one in full.waiting)
    done = [a for a in accepts if a is not None and (a.returned_ns or FOREVER) <= until_ns]
    return min(done, key=lambda accept: accept.entered_ns, default=None)
