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
from observatory.analysis.lives import SocketLife
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
    listen = _last_listen(listener, time_ns)
    backlog = listen.args.get("backlog") if listen else None
    if listen is None or not isinstance(backlog, int):
        return None
    told = told_after(listener, time_ns)
    holds = (max(backlog, 0) if told is None else told.limit) + 1
    waiting, possibly = _in_queue(joined, listener.id, time_ns, holds)
    seen = FullQueue(listen, backlog, holds, waiting)
    if told is not None:
        entering = _entering(joined, listener.id, time_ns, told.by_ns)
        if told.length - entering >= holds:
            return replace(seen, told=told)
        taken = _taken_by(joined, (*waiting, *possibly), told.by_ns)
        if told.length + taken < holds:
            denied = replace(seen, told=told, sure=False, denied=True)
            return denied if len(waiting) >= holds else None
    if len(waiting) >= holds:
        return seen
    both = (*waiting, *possibly)
    return replace(seen, waiting=both, sure=False) if len(both) >= holds else None


def _last_listen(listener: SocketLife, time_ns: int) -> Call | None:
    listens = [call for call in listener.named("listen") if call.entered_ns <= time_ns]
    return listens[-1] if listens else None


def _in_queue(
    joined: Joined, listener: int, time_ns: int, holds: int
) -> tuple[tuple[Conversation, ...], tuple[Conversation, ...]]:
    """Those that had surely entered the queue and had surely not been taken, newest first; and
    those of which that is only possible: an accept may have been taking them, or their last ACK
    may have found the queue full itself. It is first in, first out: older than one that was
    taken, none is there."""
    queued = joined.queued.get(listener, [])
    waiting: list[Conversation] = []
    possibly: list[Conversation] = []
    leaving = False
    newest = bisect_right(queued, time_ns, key=_entered) - 1
    taken = newest
    while taken >= 0 and _left_ns(joined, queued[taken]) > time_ns:
        taken -= 1
    for index in range(newest, taken, -1):
        conversation = queued[index]
        while taken >= 0 and _left_ns(joined, queued[taken]) > _entered(conversation):
            taken -= 1
        had_room = index - taken <= holds
        accept = joined.matching.accepted_by.get(conversation.id)
        leaving = leaving or (accept is not None and accept.entered_ns <= time_ns)
        if any(reset.time_ns <= time_ns for reset in conversation.server.resets):
            continue
        (waiting if had_room and not leaving else possibly).append(conversation)
    return tuple(waiting), tuple(possibly)


def _left_ns(joined: Joined, conversation: Conversation) -> int:
    """By when it had surely been taken out of the queue."""
    accept = joined.matching.accepted_by.get(conversation.id)
    return FOREVER if accept is None else accept.returned_ns or FOREVER


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
    queue full, and how many segments it counted."""
    known = tuple(counters)
    found: Tally[str] = Tally()
    others: Tally[str] = Tally()
    for conversation in joined.wire.conversations:
        for syn in _unanswered(conversation.client, conversation.server):
            full = full_for(joined, conversation, syn)
            (found if full else others)[host_of(joined, conversation)] += 1
    return {
        host: Overflow(
            found[host],
            counted,
            found[host] == counted and not others and _acks_had_room(joined),
        )
        for host in found
        if (counted := overflows(known, host)) is not None
    }


def _acks_had_room(joined: Joined) -> bool:
    """Whether no handshake's last ACK can have met a full queue."""
    for listener, queued in joined.queued.items():
        life = joined.descriptors.sockets[listener]
        taken = -1
        for index, conversation in enumerate(queued):
            came_ns = _entered(conversation)
            while taken + 1 < index and _left_ns(joined, queued[taken + 1]) <= came_ns:
                taken += 1
            listen = _last_listen(life, came_ns)
            backlog = listen.args.get("backlog") if listen else None
            if not isinstance(backlog, int) or index - taken > max(backlog, 0) + 1:
                return False
    return True


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
