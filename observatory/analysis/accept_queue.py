"""Who waited in a listener's accept queue at a moment, and whether there was room for another.

Linux takes a connection more than the backlog says: the queue is full when it holds more than
``backlog`` (sk_acceptq_is_full). While it is full a SYN is dropped, and nothing says so on the
wire (tcp_conn_request). So there are three witnesses: the handshakes seen and the accepts
recorded are counted; the kernel told the queue's length beside calls on the listener; and it
counted in all how often a queue was full (ListenOverflows).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from observatory.analysis.arrivals import NEVER
from observatory.analysis.callsets import ACCEPTING
from observatory.analysis.completions import Joined
from observatory.analysis.matching import FOREVER
from observatory.analysis.queue_told import Overflow, Told, overflows, told_after
from observatory.analysis.wire import Conversation, Half, Sighting
from observatory.model import Call, Counter

# What was captured so long before a moment was in its queue by then.
_ON_ITS_WAY_NS = 100_000


@dataclass(frozen=True, slots=True)
class FullQueue:
    """A queue without room. ``listen`` is the call that set its ``backlog``, ``holds`` how many
    that is on Linux; ``waiting`` are the connections that are seen to have been in it. ``told`` is
    what the kernel said of it next, where that shows it was full, or, ``denied``, that it was not.
    ``sure`` is False where it is possible only, or denied."""

    listen: Call
    backlog: int
    holds: int
    waiting: tuple[Conversation, ...]
    told: Told | None = None
    sure: bool = True
    denied: bool = False


def full_for(joined: Joined, conversation: Conversation, syn: Sighting) -> FullQueue | None:
    """The queue that a SYN of ``conversation`` found full when it came; None if there was room,
    if it never came, or if it is not known which listener's it was."""
    listener = joined.descriptors.sockets.get(conversation.listener or 0)
    time_ns = syn.arrived_ns
    if listener is None or time_ns == NEVER:
        return None
    listens = [c for c in listener.named("listen") if c.entered_ns <= time_ns]
    backlog = listens[-1].args.get("backlog") if listens else None
    if not isinstance(backlog, int):
        return None
    told = told_after(listener, time_ns)
    holds = (max(backlog, 0) if told is None else told.limit) + 1
    waiting, leaving = _in_queue(joined, listener.id, time_ns)
    seen = FullQueue(listens[-1], backlog, holds, waiting)
    if told is not None:
        entering = _entering(joined, listener.id, time_ns, told.at_ns)
        if told.length - entering >= holds:
            return replace(seen, told=told)
        taken = _taken_by(joined, (*waiting, *leaving), told.at_ns)
        if told.length + taken < holds:
            denied = replace(seen, told=told, sure=False, denied=True)
            return denied if len(waiting) >= holds else None
    if len(waiting) >= holds:
        return seen
    possible = (*waiting, *leaving)
    return replace(seen, waiting=possible, sure=False) if len(possible) >= holds else None


def _in_queue(
    joined: Joined, listener: int, time_ns: int
) -> tuple[tuple[Conversation, ...], tuple[Conversation, ...]]:
    """Those that had surely entered the queue and had surely not been taken, newest first; and
    those that an accept may have been taking. It is first in, first out: older than one that was
    taken, none is there."""
    queued = joined.queued.get(listener, [])
    waiting: list[Conversation] = []
    leaving: list[Conversation] = []
    for index in range(bisect_right(queued, time_ns, key=_entered) - 1, -1, -1):
        conversation = queued[index]
        accept = joined.matching.accepted_by.get(conversation.id)
        if accept is not None and (accept.returned_ns or FOREVER) <= time_ns:
            break
        if leaving or (accept is not None and accept.entered_ns <= time_ns):
            leaving.append(conversation)
        elif not any(reset.time_ns <= time_ns for reset in conversation.server.resets):
            waiting.append(conversation)
    return tuple(waiting), tuple(leaving)


def _entered(conversation: Conversation) -> int:
    return conversation.establishing.arrived_ns if conversation.establishing else 0


def _entering(joined: Joined, listener: int, first_ns: int, last_ns: int) -> int:
    """How many at most entered the queue in a stretch of time."""
    queued = joined.queued.get(listener, [])
    begin = bisect_left(queued, first_ns - _ON_ITS_WAY_NS, key=_entered)
    return max(bisect_right(queued, last_ns, key=_entered) - begin, 0)


def _taken_by(joined: Joined, waiting: Iterable[Conversation], time_ns: int) -> int:
    """How many of those that waited an accept may have taken by then."""
    accepts = (joined.matching.accepted_by.get(one.id) for one in waiting)
    return sum(accept is not None and accept.entered_ns < time_ns for accept in accepts)


def room_made(joined: Joined, full: FullQueue, until_ns: int) -> Call | None:
    """The first accept that took one of the waiting connections, if there was one by then."""
    accepts = [joined.matching.accepted_by.get(one.id) for one in full.waiting]
    if full.told is not None and full.told.call.name in ACCEPTING and not full.denied:
        accepts.append(full.told.call)
    done = [a for a in accepts if a is not None and (a.returned_ns or FOREVER) <= until_ns]
    return min(done, key=lambda accept: accept.entered_ns, default=None)


def tally(joined: Joined, counters: Iterable[Counter]) -> Mapping[str, Overflow]:
    """By host, where the kernel counted exactly: how many SYNs are seen to have found an accept
    queue full, and how many it counted."""
    known = tuple(counters)
    found: Tally[str] = Tally()
    for conversation in joined.wire.conversations:
        for syn in _unanswered(conversation.client, conversation.server):
            if full_for(joined, conversation, syn):
                found[host_of(joined, conversation)] += 1
    counted = {host: overflows(known, host) for host in found}
    return {
        host: Overflow(number, exactly)
        for host, number in found.items()
        if (exactly := counted[host]) is not None
    }


def host_of(joined: Joined, conversation: Conversation) -> str:
    """The lab's host of a conversation's listener; empty where there is one only."""
    listener = joined.descriptors.sockets.get(conversation.listener or 0)
    pids = listener.pids if listener is not None else []
    process = joined.processes.get(pids[0]) if pids else None
    return process.host if process is not None else ""


def _unanswered(client: Half, server: Half) -> Iterator[Sighting]:
    """The SYNs that came and were not answered before the next one."""
    syns = [syn for syn in client.syns if syn.ack is None]
    answers = [answer.time_ns for answer in (*server.syns, *server.resets)]
    for syn, after in zip(syns, [*syns[1:], None], strict=False):
        until = after.time_ns if after is not None else FOREVER
        answered = any(syn.time_ns <= answer < until for answer in answers)
        if not answered:
            yield syn
