"""What the kernel shows of each segment of a run: who was doing what when it was queued.

Pure: from the records of :mod:`benchmarks.kernel_stacks`, a run's segments and its calls. Nothing
of the analyzer is used.

- What a device is given (``net:net_dev_start_xmit``) is a segment if its device and length are,
  if the stack can make such a packet, and if the frame was stamped right after it; one to one, and
  not where two fit as well, nor where the packet being delivered was another connection's.
- **Whose bytes** they are is counted: what each call put into a socket (``sock:sock_send_length``,
  in the order in which they returned) against the sequence numbers since its SYN. **Whose FIN** it
  is, the change of state says that was made when it was queued.
- **Which packet was just being delivered**: a packet on loopback keeps its address from the device
  to its receipt (``net:netif_receive_skb``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from benchmarks.kernel_stacks import DELIVER, PROBE, SENT, STATE, XMIT, Record
from observatory.codec.tracepoint_formats import TCP_STATES, numeric, text
from observatory.codec.tracepoints import endpoints
from observatory.model import Call, Endpoint, Protocol, Segment, Trace

MOST_APART_NS = 1_000_000
"""From the device's being given a packet to the stamp of the frame; mostly it is 2 µs."""
LEAST_LEAD_NS = 20_000
"""By how much the nearest event must be nearer than the next that fits as well: a processor may
be held up between giving a packet to the device and its stamp."""
BACKLOG_NS = 100_000

Pair = tuple[Endpoint, Endpoint]


class Origin(StrEnum):
    """In what the kernel was when it queued a packet."""

    CALL = "in a call"
    ARRIVAL = "delivering a packet"
    TIMER = "in a timer"
    RELEASE = "sending what was held back"
    DEATH = "ending a process"
    OTHER = "elsewhere"


SOFTIRQS: Mapping[str, Origin] = {
    "net_rx_action": Origin.ARRIVAL,
    "run_timer_softirq": Origin.TIMER,
    "run_timer_base": Origin.TIMER,
    "call_timer_fn": Origin.TIMER,
    "hrtimer_run_softirq": Origin.RELEASE,
    "tasklet_action_common": Origin.RELEASE,
    "tasklet_action": Origin.RELEASE,
    "net_tx_action": Origin.RELEASE,
}
"""By a function that stands above ``handle_softirqs``."""

PROCESS: tuple[tuple[str, Origin], ...] = (
    ("__release_sock", Origin.ARRIVAL),  # packets that came while a call held the socket
    ("tcp_write_timer_handler", Origin.TIMER),  # timers that went off meanwhile
    ("tcp_delack_timer_handler", Origin.TIMER),
    ("tcp_keepalive_timer", Origin.TIMER),
    # What else releasing the socket does: an ACK that was put off until the backlog was through
    # (net.ipv4.tcp_backlog_ack_defer).
    ("release_sock", Origin.ARRIVAL),
    ("do_exit", Origin.DEATH),
)
"""By a function in what a thread runs for itself; whatever else it is, is its call's doing."""

SOFTIRQ_ROOT = ("handle_softirqs", "__do_softirq", "__softirqentry_text_start")


def origin_of(stack: Sequence[str], softirq: bool) -> tuple[Origin, tuple[str, ...]]:
    """Where a packet came from, and the part of the stack that made it (the innermost first)."""
    if softirq:
        ends = [stack.index(root) for root in SOFTIRQ_ROOT if root in stack]
        inner = tuple(stack[: min(ends)] if ends else stack)
        return next((SOFTIRQS[name] for name in inner if name in SOFTIRQS), Origin.OTHER), inner
    inner = tuple(stack)
    return next((origin for name, origin in PROCESS if name in inner), Origin.CALL), inner


@dataclass(frozen=True, slots=True)
class Moment:
    """A thread at a time. ``calls`` are those that it can be laid to: the one that it was in, or
    those that killed it; empty where it was in none that was recorded."""

    origin: Origin
    thread: int
    calls: frozenset[int]
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """What the kernel shows of one segment.

    ``delivered`` is the segment that was being delivered, None where that is not known.
    ``fresh`` says that it shows bytes for the first time, ``fin`` a FIN. ``whose`` are the calls
    that the first of what it carries can be laid to: of its new bytes, or of all its bytes where
    it only repeats, else of its FIN, its SYN; None where that is not known. ``advances`` says that
    its ACK number is higher than any before, ``again`` that all it carries was sent before.
    """

    moment: Moment
    delivered: int | None = None
    fresh: bool = False
    fin: bool = False
    advances: bool = False
    again: bool = False
    whose: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Truths:
    """By segment id; ``unmatched`` are segments whose queue event was not found or not sure."""

    by_segment: Mapping[int, Truth]
    unmatched: tuple[int, ...]


def truths(trace: Trace, records: Sequence[Record]) -> Truths:
    """What ``records`` (in order of time) say of the trace's segments."""
    people = People(trace)
    queued = match(trace, [r for r in records if r.event == XMIT], people)
    delivering = _deliveries(records, queued)
    for number in _strangers(trace, queued, delivering):
        queued.pop(number, None)
        delivering.pop(number, None)
    books = Books(records, people)
    flows: dict[Pair, _Flow] = {}
    found: dict[int, Truth] = {}
    for segment in trace.segments:
        record = queued.get(segment.id)
        moment = people.moment(record) if record is not None else None
        if segment.protocol is not Protocol.TCP:
            if moment is not None:
                found[segment.id] = Truth(moment, delivering.get(segment.id))
            continue
        pair = (segment.src, segment.dst)
        flow = flows.setdefault(pair, _Flow())
        seen = flow.show(segment, moment)
        if moment is None:
            continue
        account = books.account(pair, segment.time_ns)
        found[segment.id] = Truth(
            moment,
            delivering.get(segment.id),
            fresh=seen.fresh,
            fin=seen.fin,
            advances=seen.advances,
            again=seen.again,
            whose=_whose(segment, seen, flow, account),
        )
    missing = tuple(s.id for s in trace.segments if s.id not in found)
    return Truths(found, missing)


def _whose(
    segment: Segment, seen: _Seen, flow: _Flow, account: Account | None
) -> frozenset[int] | None:
    if segment.length and account is not None:
        owner = account.owner(seen.first if seen.fresh else flow.offset(segment))
        return None if owner is None else frozenset({owner})
    if "S" in segment.flags:
        return flow.opener or None
    return account.enders if account is not None and "F" in segment.flags else None


class People:
    """The run's threads and the calls that each was in."""

    def __init__(self, trace: Trace) -> None:
        self._calls: dict[int, list[Call]] = defaultdict(list)
        self._kills: dict[int, list[Call]] = defaultdict(list)
        for call in sorted(trace.calls, key=attrgetter("entered_ns")):
            self._calls[call.tid].append(call)
            victim = call.args.get("pid")
            if call.name == "kill" and isinstance(victim, int):
                self._kills[victim].append(call)
        self.threads = frozenset((*self._calls, *(p.pid for p in trace.processes)))

    def moment(self, record: Record) -> Moment:
        origin, stack = origin_of(record.stack, record.softirq)
        calls: Iterable[Call] = ()
        if origin is Origin.DEATH:
            calls = self._enders(record)
        elif not record.softirq:
            calls = self._within(record.thread, record.time_ns)
        origin = Origin.CALL if origin is Origin.DEATH else origin
        return Moment(origin, record.thread, frozenset(call.id for call in calls), stack)

    def _within(self, thread: int, time_ns: int) -> list[Call]:
        calls = self._calls.get(thread, [])
        place = bisect_right(calls, time_ns, key=attrgetter("entered_ns")) - 1
        if place < 0:
            return []
        call = calls[place]
        over = call.returned_ns is not None and call.returned_ns < time_ns
        return [] if over else [call]

    def _enders(self, record: Record) -> list[Call]:
        """A thread that ends was killed, or asked for it. (What it was in when it was killed, or
        was executed as, did not.)"""
        if "get_signal" in record.stack:
            return [c for c in self._kills[record.thread] if c.entered_ns <= record.time_ns]
        return [c for c in self._within(record.thread, record.time_ns) if c.name == "exit"]


# Queue events and segments.

NEEDS: Mapping[Protocol, tuple[str, ...]] = {
    Protocol.TCP: ("tcp",),
    Protocol.UDP: ("udp",),
    Protocol.ICMP: ("icmp",),
    Protocol.ICMPV6: ("icmp", "ndisc", "mld"),
}


CARRYING = frozenset(("tcp_write_xmit", "__tcp_retransmit_skb", "tcp_retransmit_skb"))
"""What sends bytes or a FIN."""


def can_make(stack: Sequence[str], segment: Segment) -> bool:
    """Whether such a stack makes such a packet."""
    words = NEEDS[segment.protocol]
    if not any(word in name for name in stack for word in words):
        return False
    if segment.protocol is not Protocol.TCP:
        return True
    resets = any("reset" in name for name in stack) or "tcp_v6_send_response" in stack
    opens = any("syn" in name or name == "tcp_connect" for name in stack)
    again = any("retransmit" in name for name in stack)
    if "R" in segment.flags:
        return resets
    if "S" in segment.flags:
        return opens or again
    carries = segment.length or "F" in segment.flags
    if any(name in CARRYING for name in stack) != bool(carries):
        return "tcp_write_wakeup" in stack  # a probe, with bytes or without
    return not resets


def match(trace: Trace, queue: Sequence[Record], people: People) -> dict[int, Record]:
    """The queue event of each segment."""
    by_shape: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in queue:
        by_shape[(text(record.values, "name"), numeric(record.values, "len"))].append(record)
    found: dict[int, Record] = {}
    taken: set[int] = set()
    for segment in trace.segments:
        if segment.frame is None:
            continue
        device = trace.interfaces[segment.interface].name.rpartition(":")[2]
        fitting = by_shape.get((device, segment.frame.original_length), [])
        record = _nearest(segment, fitting, taken, people)
        if record is not None:
            found[segment.id] = record
            taken.add(id(record))
    return found


def _nearest(
    segment: Segment, fitting: Sequence[Record], taken: set[int], people: People
) -> Record | None:
    until = bisect_right(fitting, segment.time_ns, key=attrgetter("time_ns"))
    since = bisect_left(fitting, segment.time_ns - MOST_APART_NS, key=attrgetter("time_ns"))
    near = []
    for record in fitting[since:until]:
        _, inner = origin_of(record.stack, record.softirq)
        foreign = not record.softirq and record.thread not in people.threads
        if id(record) in taken or foreign or not can_make(inner, segment):
            continue
        near.append((abs(segment.time_ns - record.time_ns), record))
    if not near:
        return None
    apart_ns, nearest = min(near, key=lambda each: each[0])
    others = (other_ns for other_ns, other in near if other is not nearest)
    return None if any(ns - apart_ns < LEAST_LEAD_NS for ns in others) else nearest


def _strangers(
    trace: Trace, queued: Mapping[int, Record], delivering: Mapping[int, int]
) -> list[int]:
    """Segments said to be made by the delivery of another connection's: mistaken for each other,
    with whatever of the same length was sent at the same time."""
    by_id = {segment.id: segment for segment in trace.segments}
    found: list[int] = []
    for number, came in delivering.items():
        one, other = by_id[number], by_id[came]
        if one.protocol is not Protocol.TCP or (one.src, one.dst) == (other.dst, other.src):
            continue
        length = numeric(queued[number].values, "len")
        found += [
            each.id
            for each in trace.segments
            if each.id in queued
            and abs(each.time_ns - one.time_ns) < MOST_APART_NS
            and numeric(queued[each.id].values, "len") == length
        ]
    return found


def _deliveries(records: Iterable[Record], queued: Mapping[int, Record]) -> dict[int, int]:
    """By segment the segment whose delivery made it."""
    whose = {id(record): number for number, record in queued.items()}
    under_way: dict[int, int | None] = {}  # a packet's address, and whose it is
    received: dict[int, int | None] = {}
    on_cpu: dict[int, int | None] = {}
    in_thread: dict[int, tuple[int, int | None]] = {}
    found: dict[int, int] = {}
    for record in records:
        address = numeric(record.values, "skbaddr")
        if record.event == DELIVER and record.softirq:
            received[address] = on_cpu[record.cpu] = under_way.pop(address, None)
        elif record.event == PROBE and not record.softirq:
            in_thread[record.thread] = (record.time_ns, received.get(address))
        elif record.event == XMIT:
            number = whose.get(id(record))
            under_way[address] = number
            origin, inner = origin_of(record.stack, record.softirq)
            if number is None or origin is not Origin.ARRIVAL:
                continue
            came: int | None = None
            if record.softirq:
                came = on_cpu.get(record.cpu)
            elif "__release_sock" in inner and "tcp_rcv_state_process" not in inner:
                probed_ns, probed = in_thread.get(record.thread, (0, None))
                came = probed if record.time_ns - probed_ns < BACKLOG_NS else None
            if came is not None:
                found[number] = came
    return found


# Bytes.


@dataclass(slots=True)
class _Seen:
    fresh: bool
    first: int
    fin: bool
    advances: bool
    again: bool


class _Flow:
    """One direction of a pair of endpoints, as its segments show it."""

    def __init__(self) -> None:
        self._isn: int | None = None
        self._next = 0
        self._ack: int | None = None
        self._fin_seen = False
        self.opener: frozenset[int] = frozenset()

    def offset(self, segment: Segment) -> int:
        """How many bytes were sent before it in its incarnation."""
        skipped = 0 if "S" in segment.flags else 1
        return (segment.seq - (self._isn or 0) - skipped + (1 << 31)) % (1 << 32) - (1 << 31)

    def show(self, segment: Segment, moment: Moment | None) -> _Seen:
        flags = segment.flags
        again = False
        if "S" in flags:
            again = self._isn == segment.seq
            if not again:
                self._isn, self._next, self._ack, self._fin_seen = segment.seq, 0, None, False
                self.opener = moment.calls if moment else frozenset()
        first, end = self.offset(segment), self.offset(segment) + segment.length
        takes = bool(segment.length) and "R" not in flags
        fresh = takes and end > self._next
        fin = "F" in flags and not self._fin_seen
        again = again or (not fresh and not fin and (takes or "F" in flags))
        seen = _Seen(fresh, max(first, self._next), fin, self._advances(segment), again)
        if takes:
            self._next = max(self._next, end)
        self._fin_seen = self._fin_seen or "F" in flags
        return seen

    def _advances(self, segment: Segment) -> bool:
        if "A" not in segment.flags:
            return False
        before, self._ack = self._ack, segment.ack
        return before is None or 0 < (segment.ack - before) % (1 << 32) < 1 << 31


@dataclass(frozen=True, slots=True)
class Account:
    """A socket's one life: where each call's bytes end, and who queued its FIN."""

    ends: tuple[int, ...]
    callers: tuple[int | None, ...]
    enders: frozenset[int] | None

    def owner(self, offset: int) -> int | None:
        """Whose the byte at ``offset`` is, None where no call is known to have sent it."""
        place = bisect_right(self.ends, offset)
        return self.callers[place] if offset >= 0 and place < len(self.callers) else None


BIRTHS = frozenset((TCP_STATES["TCP_SYN_SENT"], TCP_STATES["TCP_SYN_RECV"]))
CLOSED_OR_LISTENING = frozenset((TCP_STATES["TCP_CLOSE"], TCP_STATES["TCP_LISTEN"]))
ENDINGS = frozenset((TCP_STATES["TCP_FIN_WAIT1"], TCP_STATES["TCP_LAST_ACK"]))


class Books:
    """All sockets of the machine, by the kernel's addresses of them."""

    def __init__(self, records: Iterable[Record], people: People) -> None:
        self._pairs: dict[Pair, list[tuple[int, int]]] = defaultdict(list)
        self._births: dict[int, list[int]] = defaultdict(list)
        self._sends: dict[int, list[tuple[int, int, int | None]]] = defaultdict(list)
        self._ends: dict[int, list[tuple[int, frozenset[int]]]] = defaultdict(list)
        self._ours: set[int] = set()
        self._known: dict[tuple[int, int], Account] = {}
        for record in records:
            if record.event == STATE:
                self._change(record, people)
            elif record.event == SENT and numeric(record.values, "ret") > 0:
                self._send(record, people)

    def _change(self, record: Record, people: People) -> None:
        socket, new = numeric(record.values, "skaddr"), numeric(record.values, "newstate")
        old = numeric(record.values, "oldstate")
        src, dst = endpoints(record.values)
        if src is not None and dst is not None and src.port and dst.port:
            self._pairs[(src.on_the_wire(), dst.on_the_wire())].append((record.time_ns, socket))
        if new in BIRTHS and old in CLOSED_OR_LISTENING:
            self._births[socket].append(record.time_ns)
        if not record.softirq and record.thread in people.threads:
            self._ours.add(socket)
            if new in ENDINGS:
                moment = people.moment(record)
                if moment.origin is Origin.CALL:
                    self._ends[socket].append((record.time_ns, moment.calls))

    def _send(self, record: Record, people: People) -> None:
        if record.thread not in people.threads:
            return
        socket = numeric(record.values, "sk")
        calls = sorted(people.moment(record).calls)
        size, caller = numeric(record.values, "ret"), calls[0] if calls else None
        self._sends[socket].append((record.time_ns, size, caller))
        self._ours.add(socket)

    def account(self, pair: Pair, time_ns: int) -> Account | None:
        """That of the socket which had these endpoints at the time."""
        sockets = [
            socket
            for since_ns, socket in self._pairs.get(pair, ())
            if since_ns <= time_ns and socket in self._ours
        ]
        if not sockets:
            return None
        births = self._births[sockets[-1]]
        place = bisect_right(births, time_ns)
        if not place:
            return None
        key = (sockets[-1], place)
        if key not in self._known:
            until_ns = births[place] if place < len(births) else 1 << 63
            self._known[key] = self._make(sockets[-1], births[place - 1], until_ns)
        return self._known[key]

    def _make(self, socket: int, since_ns: int, until_ns: int) -> Account:
        ends, callers, total = [], [], 0
        for time_ns, size, caller in self._sends[socket]:
            if since_ns <= time_ns < until_ns:
                total += size
                ends.append(total)
                callers.append(caller)
        enders = [who for at_ns, who in self._ends[socket] if since_ns <= at_ns < until_ns]
        return Account(tuple(ends), tuple(callers), enders[0] if enders else None)
