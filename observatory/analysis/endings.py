"""Which of several calls gave up a socket's last descriptor, where their times alone do not say.

exit(2), execve(2) and a signal give descriptors up some time after they were asked for: the
kernel takes a process apart in milliseconds. Another process that closes its own descriptor of
the same socket meanwhile is the last or is not. What the last one sent, a FIN or a RST, left
while it was at work, and so tells which it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from observatory.analysis.descriptors import Descriptors
from observatory.analysis.lives import Drop, SocketLife
from observatory.analysis.wire import Half, Wire

_FOREVER = 1 << 63


def settle(
    descriptors: Descriptors, wire: Wire, told: Mapping[int, tuple[int, int]] | None = None
) -> None:
    """Correct ``closed_by`` of sockets whose last descriptors were given up at once, by what the
    wire shows; the calls that may have been the last are entered as doubtful. Needs the sockets
    of the wire's halves (matching). ``told`` are those of which the kernel tells in which process,
    and when, the last descriptor was given up: there is no doubt then."""
    contested = {
        life.id: rivals
        for life in descriptors.sockets.values()
        if life.is_tcp and len(life.drops) > 1 and len(rivals := _rivals(life)) > 1
    }
    if not contested:
        return
    ends = _ends(wire)
    for number, rivals in contested.items():
        life = descriptors.sockets[number]
        known = _told(rivals, told.get(number)) if told else None
        if known is not None:
            _was_last(descriptors, life, known)
            continue
        begin_ns = min(drop.begin_ns for drop in rivals)
        shown = [time_ns for time_ns in ends.get(number, ()) if time_ns >= begin_ns]
        if not shown and ends.get(number):
            continue  # shut down before: the last descriptor sent nothing
        for drop in rivals:
            if drop.call:
                descriptors.doubtful.setdefault(drop.call.id, set()).add(number)
        found = _at_work(rivals, min(shown)) if shown else None
        if found is not None:
            _was_last(descriptors, life, found)


def _rivals(life: SocketLife) -> list[Drop]:
    """Those that may have been the last: done no earlier than every other had begun."""
    if life.holders:
        return []
    latest = max(drop.begin_ns for drop in life.drops)
    last = [drop for drop in life.drops if _end(drop) >= latest]
    # Several names that one death took away are given up by one call.
    return list({drop.call.id: drop for drop in last if drop.call}.values())


def _told(rivals: Iterable[Drop], told: tuple[int, int] | None) -> Drop | None:
    """The one rival of the process that the kernel names, at work at that time."""
    if told is None:
        return None
    process, time_ns = told
    own = [drop for drop in rivals if drop.pid == process]
    working = [drop for drop in own if drop.begin_ns <= time_ns <= _end(drop)]
    return working[0] if len(working) == 1 else None


def _end(drop: Drop) -> int:
    return _FOREVER if drop.end_ns is None else drop.end_ns


def _ends(wire: Wire) -> Mapping[int, list[int]]:
    """When each socket sent a FIN or RST of its own; a listener, a RST for one in its queue."""
    times: dict[int, list[int]] = defaultdict(list)
    for conversation in wire.conversations:
        for half in (conversation.client, conversation.server):
            number = half.socket
            if number is None and half is conversation.server:
                number = conversation.listener
            if number is not None:
                times[number] += _own_ends(half)
    return times


def _own_ends(half: Half) -> Iterable[int]:
    """A reply to a segment of no connection carries no ACK: that was not the socket's doing."""
    yield from (fin.time_ns for fin in half.fins[:1])
    yield from (
        reset.time_ns for reset in half.resets if reset.ack is not None and not reset.made_at
    )


def _at_work(rivals: Iterable[Drop], time_ns: int) -> Drop | None:
    """The rival that was at work at that time, and of several the one with the least time."""
    working = [drop for drop in rivals if drop.begin_ns <= time_ns <= _end(drop)]
    return min(working, key=lambda drop: _end(drop) - drop.begin_ns, default=None)


def _was_last(descriptors: Descriptors, life: SocketLife, drop: Drop) -> None:
    assert drop.call is not None
    before, call = life.closed_by, drop.call
    if before == call.id:
        return
    if before is not None:
        ended = descriptors.ended.get(before, ())
        descriptors.ended[before] = tuple(number for number in ended if number != life.id)
        descriptors.left[before] = (drop.pid,)
    descriptors.ended[call.id] = (*descriptors.ended.get(call.id, ()), life.id)
    descriptors.left.pop(call.id, None)
    life.closed_by, life.closed_ns, life.close_end_ns = call.id, drop.begin_ns, drop.end_ns
