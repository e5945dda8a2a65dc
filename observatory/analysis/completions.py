"""Which arrivals completed each call: those without which it would not have returned as it did."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from observatory.analysis.arrivals import NEVER, Arrivals
from observatory.analysis.buffers import had_room
from observatory.analysis.callsets import ACCEPTING, RECEIVING, SENDING, WAITING, sends
from observatory.analysis.descriptors import Descriptors
from observatory.analysis.lives import SocketLife
from observatory.analysis.mail import Mail
from observatory.analysis.matching import FOREVER, Matching
from observatory.analysis.queue_told import Overflow
from observatory.analysis.resets import lingers_zero
from observatory.analysis.streams import Stream
from observatory.analysis.wire import Conversation, Half, Kind, Sighting, Wire
from observatory.model import Call, Counter, Process, Segment

# A send that took longer than this waited for room in its buffer.
BLOCKED_NS = 1_000_000

# Errors that only something that arrived can have caused.
ARRIVED_ERRORS = frozenset(
    {"ECONNREFUSED", "ECONNRESET", "EPIPE", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EMSGSIZE"}
    | {"EPROTO", "ENOPROTOOPT", "EOPNOTSUPP", "ECONNABORTED"}
)


@dataclass(frozen=True, slots=True)
class Joined:
    """Everything that says what a call met on the wire. ``queued`` maps a listening socket to
    the conversations that entered its accept queue, in that order; ``holders`` and ``at_port``
    a port to the sockets and the conversations that have it at one end; ``signals`` a process to
    the kill() calls that reached it; ``processes`` to what is known of it. ``exact`` is False where
    ``returned_ns`` is only a time by which a call had returned. ``overflows`` are by host;
    ``counters`` and ``settings`` the kernel's, as the trace has them."""

    descriptors: Descriptors
    wire: Wire
    matching: Matching
    streams: Mapping[int, dict[Half, Stream]]
    mail: Mail
    segments: Mapping[int, Segment]
    queued: Mapping[int, list[Conversation]]
    holders: Mapping[int, list[SocketLife]]
    at_port: Mapping[int, list[Conversation]]
    signals: Mapping[int, list[Call]]
    processes: Mapping[int, Process]
    exact: bool = True
    arrivals: Arrivals | None = None
    overflows: Mapping[str, Overflow] = field(default_factory=dict)
    counters: tuple[Counter, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def setting(self, name: str, host: str) -> str | None:
        """A kernel setting (sysctl) as it was on a host, None where it is not known."""
        return self.settings.get(f"{host}:{name}", self.settings.get(name))

    def came_ns(self, segment: Segment) -> int:
        """When a segment came to its receiver's host; NEVER if it did not."""
        return self.arrivals.at_ns(segment) if self.arrivals else segment.time_ns

    def lost_after(self, segment: Segment) -> str:
        """The interface that saw a segment last which did not come; empty if it did."""
        sighting = self.wire.sightings.get(segment.id)
        if sighting is not None:
            return sighting.lost_after
        known = self.arrivals is not None and self.arrivals.are_known
        return self.arrivals.of(segment).lost_after if self.arrivals and known else ""

    def who(self, pid: int) -> str:
        """A process as reports print it: ``server[4711]``."""
        process = self.processes.get(pid)
        return f"{process.role}[{pid}]" if process and process.role else f"process {pid}"

    def life(self, call: Call) -> SocketLife | None:
        number = self.descriptors.used.get(call.id)
        return self.descriptors.sockets.get(number) if number is not None else None

    def half(self, call: Call) -> Half | None:
        number = self.descriptors.used.get(call.id)
        return self.matching.half_at.get((call.id, number)) if number is not None else None

    def conversation_of(self, half: Half | None) -> Conversation | None:
        return self.wire.conversations[half.conversation - 1] if half is not None else None

    def conversation(self, call: Call) -> Conversation | None:
        return self.conversation_of(self.half(call))

    def other(self, call: Call) -> Half | None:
        """The half whose segments arrive at the call's socket."""
        half = self.half(call)
        conversation = self.conversation_of(half)
        return conversation.opposite(half) if conversation and half else None

    def incoming(self, call: Call) -> Stream | None:
        half = self.half(call)
        return self.incoming_of(half) if half is not None else None

    def incoming_of(self, half: Half) -> Stream:
        """The stream of bytes that arrive at a half's socket."""
        conversation = self.wire.conversations[half.conversation - 1]
        return self.streams[conversation.id][conversation.opposite(half)]


def completed_by(joined: Joined, call: Call) -> tuple[int, ...]:
    """Ids of the segments that completed the call, in order; empty where nothing had to come."""
    if call.returned_ns is None:
        return ()
    rule = _RULES.get(call.name)
    return tuple(sorted(set(rule(joined, call)))) if rule else ()


def _latest(call: Call) -> int:
    """What completed a call came before it returned: one clock stamps both, a packet before it
    is delivered, so no error is allowed for."""
    return call.returned_ns or call.entered_ns


def _first_before(sightings: list[Sighting], call: Call) -> list[int]:
    return [s.id for s in sightings if s.arrived_ns <= _latest(call)][:1]


def _error_from_wire(joined: Joined, call: Call) -> list[int]:
    """The RST or ICMP message behind an error: the first RST of a connection, else the last ICMP
    error before the call returned; of an attempt to connect, which the first that counts ends,
    the first after its last SYN."""
    found: list[tuple[int, int]] = []
    other = joined.other(call)
    if other is not None:
        found += [(s.arrived_ns, s.id) for s in other.resets]
    number = joined.descriptors.used.get(call.id)
    found += [(joined.came_ns(s), s.id) for s in joined.mail.errors.get(number or 0, [])]
    if call.errno == "ECONNREFUSED" or not found:
        begin = _attempt_start(joined, call)
        found = [one for one in found if one[0] >= begin]
    came = sorted((one for one in found if one[0] <= _latest(call)), key=lambda one: one[0])
    ending = [one for one in came if one[0] >= _last_attempt(joined, call)]
    # An open connection ends with the first RST; ICMP errors are notes, of which the last holds.
    resets = {s.id for s in other.resets} if other is not None else set()
    ends = [one for one in came if one[1] in resets]
    return [each for _, each in ending[:1] or ends[:1] or came[-1:]]


def _last_attempt(joined: Joined, call: Call) -> int:
    """When the SYN of an attempt that nobody accepted left for the last time before the call
    returned: an error before that had not ended it. NEVER for an open connection."""
    half, other = joined.half(call), joined.other(call)
    if half is None or other is None or other is half or other.syns:
        return NEVER
    sent = [syn.time_ns for syn in half.syns if syn.time_ns <= _latest(call)]
    return sent[-1] if sent else NEVER


def _attempt_start(joined: Joined, call: Call) -> int:
    conversation = joined.conversation(call)
    return conversation.sightings[0].time_ns if conversation else 0


def _connect(joined: Joined, call: Call) -> list[int]:
    if call.args.get("address") == "AF_UNSPEC":
        return []
    if call.errno in ARRIVED_ERRORS:
        return _error_from_wire(joined, call)
    if call.failed or call.args.get("address") == "AF_UNSPEC":
        return []
    return _handshake(joined, call)


def _handshake(joined: Joined, call: Call) -> list[int]:
    """The SYN-ACK; in a simultaneous open it comes after the other side's SYN (RFC 9293 3.5)."""
    other = joined.other(call)
    if other is None:
        return []
    answers = [syn for syn in other.syns if syn.kind is Kind.SYN_ACK]
    return _first_before(answers, call) or _first_before(other.syns, call)


def _accept(joined: Joined, call: Call) -> list[int]:
    made = joined.descriptors.made.get(call.id, ())
    halves = (joined.matching.half_at.get((call.id, number)) for number in made)
    for half in halves:
        conversation = joined.conversation_of(half)
        if conversation is not None:
            return _establishing(conversation, call)
    return []


def _establishing(conversation: Conversation, call: Call) -> list[int]:
    """The client's ACK that put the connection in the accept queue. With Fast Open the SYN
    itself did, when its data was acknowledged at once (RFC 7413 4.2)."""
    syns, answers = conversation.client.syns, conversation.server.syns
    fast = syns and syns[0].segment.length and answers and (answers[0].ack or 0) > 1
    if fast:
        return [syns[0].id]
    found = conversation.establishing
    return [found.id] if found is not None and found.arrived_ns <= _latest(call) else []


def _send(joined: Joined, call: Call) -> list[int]:
    if call.failed:
        return _error_from_wire(joined, call) if call.errno in ARRIVED_ERRORS else []
    return _made_room(joined, call)


def _made_room(joined: Joined, call: Call) -> list[int]:
    """The ACK that let a waiting send go on. That it waited is shown by its bytes: some of them
    left only after an ACK had come meanwhile; a call that merely took long sent them at once."""
    half, conversation = joined.half(call), joined.conversation(call)
    if half is None or conversation is None:
        return []
    life = joined.life(call)
    never_waits = life is not None and life.nonblocking(call.entered_ns) is not None
    if never_waits or (call.returned_ns or 0) - call.entered_ns < BLOCKED_NS:
        return []
    stream = joined.streams[conversation.id][half]
    if had_room(call, stream, conversation, half):
        return []
    meanwhile = conversation.arriving(half, call.entered_ns, _latest(call))
    acks = [s for s in meanwhile if s.half is not half and s.ack is not None]
    carriers = half.carrying(*stream.range_of(call))
    if not acks or (carriers and carriers[-1].time_ns < acks[0].arrived_ns):
        return []
    shut = any(ack.segment.window == 0 for ack in acks)
    if not joined.exact and not shut:
        return []  # the bytes waited; that the call did, nothing shows
    return [acks[-1].id]


def _receive(joined: Joined, call: Call) -> list[int]:
    if call.failed:
        return _error_from_wire(joined, call) if call.errno in ARRIVED_ERRORS else []
    if call.id in joined.mail.received:
        return joined.mail.received[call.id]
    stream = joined.incoming(call)
    if stream is None:
        return []
    taken = stream.reads.get(call.id)
    if taken is not None:
        return [s.id for s in stream.half.delivering(*taken)]
    return _first_before(stream.half.fins, call) if call.result == 0 else []


def _splice(joined: Joined, call: Call) -> list[int]:
    return _send(joined, call) if sends(call) else _receive(joined, call)


def _wait(joined: Joined, call: Call) -> list[int]:
    """What made each ready descriptor ready: the newest matching arrival before the return."""
    found: list[int] = []
    for fd, events in _ready(call).items():
        number = joined.descriptors.waited.get(call.id, {}).get(fd)
        life = joined.descriptors.sockets.get(number) if number is not None else None
        if life is not None:
            found += _readiness(joined, life, events, call)
    return found


_SELECTED = {"ready_read": "POLLIN", "ready_write": "POLLOUT", "ready_except": "POLLPRI"}


def _ready(call: Call) -> dict[int, str]:
    ready: dict[int, str] = {}
    for item in _pairs(call.args.get("ready")):
        ready[item[0]] = item[1]
    for key, events in _SELECTED.items():
        fds = call.args.get(key)
        for fd in fds if isinstance(fds, (tuple, list)) else ():
            if isinstance(fd, int):
                ready[fd] = f"{ready[fd]}|{events}" if fd in ready else events
    return ready


def _pairs(value: object) -> list[tuple[int, str]]:
    if not isinstance(value, (tuple, list)):
        return []
    return [(pair[0], str(pair[1])) for pair in value if isinstance(pair, (tuple, list))]


def _readiness(joined: Joined, life: SocketLife, events: str, call: Call) -> list[int]:
    if "POLLPRI" in events:
        found = _urgent(joined, life, call)
        if found:
            return found
    if "POLLIN" in events or "POLLRDHUP" in events:
        found = _readable(joined, life, call)
        if found:
            return found
    if life.is_udp:
        errors = _errors_by(joined, life, call)
        return errors[-1:] if "POLLERR" in events else []
    writable = any(event in events for event in ("POLLOUT", "POLLERR", "POLLHUP"))
    return _writable(joined, life, events, call) if writable else []


def _urgent(joined: Joined, life: SocketLife, call: Call) -> list[int]:
    """The segment that announced urgent data last (tcp(7): POLLPRI)."""
    half = joined.matching.half_at.get((call.id, life.id))
    if half is None:
        return []
    came = joined.incoming_of(half).half.deliveries
    marked = (s.id for _, _, s in came if "U" in s.segment.flags and s.arrived_ns <= _latest(call))
    return [*marked][-1:]


def _readable(joined: Joined, life: SocketLife, call: Call) -> list[int]:
    if life.is_udp:
        return _next_datagram(joined, life, call)
    if life.id in joined.queued:
        return _next_in_queue(joined, life, call)
    half = joined.matching.half_at.get((call.id, life.id))
    if half is None:
        return []
    stream = joined.incoming_of(half)
    unread_from = stream.taken_by(call.entered_ns)
    carriers = stream.half.delivering(unread_from, unread_from + 1)
    return _first_before([*carriers, *stream.half.resets, *stream.half.fins], call)


def _next_datagram(joined: Joined, life: SocketLife, call: Call) -> list[int]:
    begin = bisect_right(life.calls, call.entered_ns, key=lambda c: c.entered_ns)
    for later in life.calls[begin : begin + 3]:
        for datagram in joined.mail.received.get(later.id, ()):
            came_ns = joined.came_ns(joined.segments[datagram])
            return [datagram] if came_ns <= _latest(call) else []
    return []


def _next_in_queue(joined: Joined, life: SocketLife, call: Call) -> list[int]:
    """The oldest completed connection that no accept had taken yet."""
    for conversation in joined.queued[life.id]:
        accept = joined.matching.accepted_by.get(conversation.id)
        if accept is None or accept.entered_ns > call.entered_ns:
            return _establishing(conversation, call)
        if (accept.returned_ns or FOREVER) > call.entered_ns:
            return _establishing(conversation, call) if joined.exact else []
    return []


def _writable(joined: Joined, life: SocketLife, events: str, call: Call) -> list[int]:
    half = joined.matching.half_at.get((call.id, life.id))
    conversation = joined.conversation_of(half)
    if half is None or conversation is None:
        return []
    other = conversation.opposite(half)
    if "POLLERR" in events or "POLLHUP" in events:
        resets = [s.id for s in other.resets if s.arrived_ns <= _latest(call)]
        icmp = _errors_by(joined, life, call)
        if resets or icmp:
            # The first RST ends a connection; those that follow it find it gone.
            return resets[:1] or icmp[-1:]
    sent = joined.streams[conversation.id][half].sends
    if not sent or sent[0][2].entered_ns > call.entered_ns:
        return _first_before(other.syns, call)
    meanwhile = conversation.arriving(half, call.entered_ns, _latest(call))
    acks = [s.id for s in meanwhile if s.half is other and s.ack]
    # Of several ACKs up to a time by which it had returned, any may have come after it had.
    return acks[-1:] if joined.exact else []


def _close(joined: Joined, call: Call) -> list[int]:
    """A close that lingers waits until its FIN is acknowledged (socket(7), SO_LINGER)."""
    half, other = joined.half(call), joined.other(call)
    life = joined.life(call)
    if half is None or other is None or life is None or half.fin_at is None:
        return []
    if not _lingers(life) or lingers_zero(life):
        return []
    conversation = joined.conversation(call)
    if conversation is None:
        return []
    meanwhile = conversation.arriving(half, call.entered_ns, _latest(call))
    return [s.id for s in meanwhile if s.half is other and (s.ack or 0) > half.fin_at][:1]


def _errors_by(joined: Joined, life: SocketLife, call: Call) -> list[int]:
    """The ICMP errors about a socket's packets that had come when the call returned."""
    errors = joined.mail.errors.get(life.id, [])
    return [s.id for s in errors if joined.came_ns(s) <= _latest(call)]


def _lingers(life: SocketLife) -> bool:
    values = [call.args.get("value") for call in life.set("SO_LINGER")]
    last = values[-1] if values else None
    return isinstance(last, (tuple, list)) and bool(last[0])


def _pending_error(joined: Joined, call: Call) -> list[int]:
    """getsockopt(SO_ERROR) that fetched an error fetched what had arrived."""
    value = call.args.get("value")
    if call.args.get("option") != "SO_ERROR" or value in (0, None, "0"):
        return []
    return _error_from_wire(joined, call)


_RULES: Mapping[str, Callable[[Joined, Call], list[int]]] = {
    "connect": _connect,
    "close": _close,
    "getsockopt": _pending_error,
    "splice": _splice,
    **dict.fromkeys(ACCEPTING, _accept),
    **dict.fromkeys(SENDING, _send),
    **dict.fromkeys(RECEIVING, _receive),
    **dict.fromkeys(WAITING, _wait),
}
