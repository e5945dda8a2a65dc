"""Bytes and calls: which offsets of a half's sequence space each send and recv stands for.

A send that returned n put the next n bytes into the stream, in the order of the calls; a recv
that returned n took the next n. Offsets count as the wire does, the first byte being 1.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from observatory.analysis.callsets import bytes_of, receives, sends
from observatory.analysis.matching import FOREVER, SLACK_NS, Matching
from observatory.analysis.wire import Conversation, Half
from observatory.model import Call

# A receive that took bytes at a moment returned soon after: copying them is all it has left.
READ_NS = 10_000_000


@dataclass(slots=True, eq=False)
class Stream:
    """One half's bytes by the calls of its own socket (``sends``) and of the receiver's
    (``reads``). ``reads`` excludes MSG_PEEK, which takes nothing. ``missing_sends`` says that
    the wire shows more bytes than the sends account for. ``shown_ns[i]`` is when all bytes
    up to the end of delivery ``i`` had come, ``left_ns[i]`` when all up to ``half.ends[i]`` had
    left, ``urgent`` maps the offsets of urgent bytes to when
    they were announced. ``crossed`` are the calls of several threads that ran at the same time:
    which of them was first is not known."""

    half: Half
    sends: list[tuple[int, int, Call]] = field(default_factory=list)
    reads: dict[int, tuple[int, int]] = field(default_factory=dict)
    read_log: list[tuple[int, int, Call]] = field(default_factory=list)
    missing_sends: bool = False
    shown_ns: list[int] = field(default_factory=list)
    left_ns: list[int] = field(default_factory=list)
    urgent: dict[int, int] = field(default_factory=dict)
    exact: bool = True
    crossed: set[int] = field(default_factory=set)
    sent_until: int = 1
    read_until: int = 1

    def senders(self, first: int, last: int) -> list[Call]:
        """The calls whose bytes lie in [first, last), in stream order."""
        index = max(bisect_right(self.sends, first, key=lambda send: send[0]) - 1, 0)
        found = []
        while index < len(self.sends) and self.sends[index][0] < last:
            if self.sends[index][1] > first:
                found.append(self.sends[index][2])
            index += 1
        return found

    def range_of(self, call: Call) -> tuple[int, int]:
        """The offsets of a send's bytes; (0, 0) for a call that put none into the stream."""
        index = bisect_left(self.sends, call.entered_ns, key=lambda send: send[2].entered_ns)
        for first, last, one in self.sends[index : index + 4]:
            if one.id == call.id:
                return first, last
        return 0, 0

    def taken_by(self, time_ns: int) -> int:
        """The offset up to which the receiver's calls had taken bytes at that time."""
        index = bisect_right(self.read_log, time_ns, key=lambda entry: entry[0])
        return self.read_log[index - 1][1] if index else 1

    def read_at(self, time_ns: int) -> Call | None:
        """The receive that took bytes at that moment, and so made room in the buffer: one that
        was under way, or else the last that had returned just before."""
        just: Call | None = None
        index = bisect_left(self.read_log, time_ns - SLACK_NS, key=lambda entry: entry[0])
        while index < len(self.read_log):
            returned_ns, _, call = self.read_log[index]
            # One that waits for all it asked for takes what comes long before it returns.
            waits = not self.exact or "MSG_WAITALL" in str(call.args.get("flags", ""))
            if call.entered_ns <= time_ns and (waits or returned_ns <= time_ns + READ_NS):
                just = call
            if returned_ns >= time_ns:
                break
            index += 1
        return just

    def shown_by(self, time_ns: int) -> int:
        """The offset up to which the wire had shown bytes without a hole at that time."""
        index = bisect_right(self.shown_ns, time_ns)
        ends = self.half.delivered.ends if self.half.delivered else self.half.ends
        return ends[index - 1] if index else 1

    def sent_by(self, time_ns: int) -> int:
        """The offset up to which bytes had left without a hole at that time."""
        index = bisect_right(self.left_ns, time_ns)
        return self.half.ends[index - 1] if index else 1

    def unread_at(self, time_ns: int) -> int:
        """Bytes that had arrived and that no recv had taken."""
        return max(self.shown_by(time_ns) - self.taken_by(time_ns), 0)


def build(
    conversation: Conversation, matching: Matching, *, exact: bool = True
) -> dict[Half, Stream]:
    """Both streams of a conversation (one, when a socket is connected to itself). ``exact`` is
    False where a call is known to have returned by a time, and not when."""
    halves = (conversation.client, conversation.server)
    streams = {}
    for half in halves:
        shown_ns = _shown_ns(half)
        left_ns = shown_ns if half.delivered is None else _left_ns(half)
        urgent = urgent_offsets(half)
        streams[half] = Stream(half, shown_ns=shown_ns, left_ns=left_ns, urgent=urgent, exact=exact)
    for half, stream in streams.items():
        _enter_sends(stream, matching.calls_of.get(half, []))
        _enter_reads(stream, matching.calls_of.get(conversation.opposite(half), []))
    return streams


def _shown_ns(half: Half) -> list[int]:
    """When the receiver had the payload up to the end of each delivery; it stops at a hole."""
    came = ((first, last, carrier.arrived_ns) for first, last, carrier in half.deliveries)
    return _without_holes(came)


def _left_ns(half: Half) -> list[int]:
    """When the sender had sent the payload up to the end of each carrier, once at least."""
    sent = zip(half.starts, half.ends, half.carriers, strict=True)
    return _without_holes((first, last, carrier.time_ns) for first, last, carrier in sent)


def _without_holes(stretches: Iterable[tuple[int, int, int]]) -> list[int]:
    """By when each stretch and all before it had been passed; it stops at a hole."""
    times: list[int] = []
    latest_ns, until = 0, 1
    for first, last, time_ns in stretches:
        if first > until:
            break
        latest_ns, until = max(latest_ns, time_ns), last
        times.append(latest_ns)
    return times


def _enter_sends(stream: Stream, calls: list[Call]) -> None:
    offset = 1
    for call in sorted((c for c in calls if sends(c)), key=lambda c: c.entered_ns):
        taken = bytes_of(call) if call.returned_ns is not None else call.args.get("length")
        if call.failed or not isinstance(taken, int) or taken <= 0:
            continue
        stream.sends.append((offset, offset + taken, call))
        offset += taken
    stream.crossed |= _crossed([call for _, _, call in stream.sends], lambda one, other: True)
    stream.sent_until = offset
    shown = stream.half.ends[-1] if stream.half.ends else 1
    stream.missing_sends = shown > offset


def _enter_reads(stream: Stream, calls: list[Call]) -> None:
    reads = [c for c in calls if receives(c) and c.result and c.result > 0]
    inline = any(c.args.get("option") == "SO_OOBINLINE" and c.args.get("value") for c in calls)
    urgent = stream.urgent
    offset = 1
    for call in sorted(reads, key=lambda c: c.returned_ns or c.entered_ns):
        flags = str(call.args.get("flags", ""))
        size = bytes_of(call)
        if "MSG_OOB" in flags:
            mark = max((u for u, when in urgent.items() if when <= _latest(call)), default=offset)
            stream.reads[call.id] = (mark, mark + 1)
            continue
        if not inline and offset in urgent:
            offset += 1  # recv() in band steps over the urgent byte (tcp(7), SO_OOBINLINE)
        stream.reads[call.id] = (offset, offset + size)
        if "MSG_PEEK" not in flags:
            offset += size
            stream.read_log.append((call.returned_ns or call.entered_ns, offset, call))
    stream.crossed |= _crossed(
        sorted(reads, key=lambda c: c.entered_ns),
        lambda one, other: not stream.exact or _returned_together(one, other),
    )
    stream.read_until = offset


def _returned_together(one: Call, other: Call) -> bool:
    """What a receive took it took when it returned, so that only near returns are in doubt."""
    return abs((one.returned_ns or 0) - (other.returned_ns or 0)) < SLACK_NS


def _crossed(calls: list[Call], doubtful: Callable[[Call, Call], bool]) -> set[int]:
    """Calls, given in the order of entry, that were entered before one of another thread had
    returned, and that one."""
    found: set[int] = set()
    latest: Call | None = None
    for call in calls:
        if latest is not None and call.entered_ns < _end(latest) and call.tid != latest.tid:
            found |= {call.id, latest.id} if doubtful(latest, call) else set()
        if latest is None or _end(call) > _end(latest):
            latest = call
    return found


def _end(call: Call) -> int:
    return FOREVER if call.returned_ns is None else call.returned_ns


def _latest(call: Call) -> int:
    return (call.returned_ns or call.entered_ns) + SLACK_NS


def urgent_offsets(half: Half) -> dict[int, int]:
    """Offsets of urgent bytes and when their announcement came. Linux sends the pointer to the
    byte after the urgent one (tcp(7), tcp_stdurg off), so the byte is one before it."""
    return {
        sighting.seq + sighting.segment.urgent - 1: sighting.arrived_ns
        for _, _, sighting in half.deliveries
        if "U" in sighting.segment.flags
    }
