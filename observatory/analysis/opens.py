"""Which SYN each active open sent.

The kernel sends the SYN inside connect(), towards the address that was named. Where the socket's
own port is known, by any call up to the next connect, the two ports find it. strace does not tell
that port: then the SYN is one of those that left for the destination while the call ran. It is
this call's for certain when it is the only one that is left, all others being claimed by connects
that can have sent no other; where several are left the first in time is taken, and the match says
so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from observatory.analysis.lives import SocketLife
from observatory.analysis.naming import FOREVER, learn, local_endpoint, told_between
from observatory.analysis.wire import Sighting, Wire
from observatory.model import Call, Endpoint, parse_address

# The capture's clock and the caller's are the same, but a stamp is taken a little before or
# after the event itself: two sights of one moment may differ by this much.
SLACK_NS = 1_000_000

# After these a socket that tries again starts from nothing (Linux tcp_reset, tcp_write_err).
ENDS_THE_ATTEMPT = frozenset({"ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"})

# With these a SYN is out; with the second kind it may be, or the kernel refused before.
_SENT = frozenset({None, "EINPROGRESS", "EINTR", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET"})
_MAY_HAVE_SENT = frozenset({"EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPROTO", "ENOPROTOOPT"})
_NEVER_ANSWERED = frozenset({"ECONNREFUSED", "ETIMEDOUT", *_MAY_HAVE_SENT})

# No more SYNs than these are weighed for one call; where there are more the choice is a guess.
_WEIGHED = 64


@dataclass(slots=True, eq=False)
class Attempt:
    """A call that may have sent a SYN. ``candidates`` are the SYNs that it can have sent, in
    time order; ``sure`` is False where one that is not among them may be its own."""

    call: Call
    life: SocketLife
    peer: Endpoint
    local: Endpoint | None
    deferred: bool
    sure: bool = True
    candidates: list[Sighting] = field(default_factory=list)


class Opens:
    """First SYNs without ACK, each claimed by no more than one call. ``by_call`` is the result;
    ``doubtful`` are the ids of the SYNs that time alone gave to their call."""

    def __init__(self, wire: Wire) -> None:
        self.by_call: dict[int, Sighting] = {}
        self.doubtful: set[int] = set()
        self._by_ports: dict[tuple[int, int], list[Sighting]] = {}
        self._by_port: dict[int, list[Sighting]] = {}
        self._taken: set[int] = set()
        for conversation in wire.conversations:
            for half in {conversation.client, conversation.server}:
                if half.syns and "A" not in half.syns[0].segment.flags:
                    syn = half.syns[0]
                    ports = (syn.segment.src.port, syn.segment.dst.port)
                    self._by_ports.setdefault(ports, []).append(syn)
                    self._by_port.setdefault(ports[1], []).append(syn)
        for syns in (*self._by_ports.values(), *self._by_port.values()):
            syns.sort(key=lambda s: s.time_ns)

    def settle(self, lives: Iterable[SocketLife], *, lossy: bool) -> None:
        """Give each attempt of the sockets its SYN, those with a known port first."""
        attempts = [attempt for life in lives if life.is_tcp for attempt in _attempts(life)]
        attempts.sort(key=lambda attempt: attempt.call.entered_ns)
        for attempt in attempts:
            if attempt.local is not None:
                self._claim_by_port(attempt)
        nameless = [attempt for attempt in attempts if attempt.local is None]
        for attempt in nameless:
            self._weigh(attempt)
        self._eliminate(nameless, lossy=lossy)
        for attempt in nameless:
            left = [syn for syn in attempt.candidates if syn.id not in self._taken]
            if attempt.call.id not in self.by_call and left:
                self._claim(attempt, left[0], sure=False)

    def _claim_by_port(self, attempt: Attempt) -> None:
        local, peer = attempt.local, attempt.peer
        assert local is not None
        for syn in self._within(attempt, self._by_ports.get((local.port, peer.port), []), SLACK_NS):
            if _agrees(local, syn.segment.src):
                self._claim(attempt, syn, sure=_inside(attempt.call, syn))
                return

    def _weigh(self, attempt: Attempt) -> None:
        for syn in self._within(attempt, self._by_port.get(attempt.peer.port, []), 0):
            if len(attempt.candidates) == _WEIGHED:
                attempt.sure = False
                return
            if attempt.deferred or _fits(attempt.call, syn):
                attempt.candidates.append(syn)

    def _within(self, attempt: Attempt, syns: list[Sighting], slack_ns: int) -> Iterator[Sighting]:
        """Those that left while the call ran and that nobody has claimed."""
        call = attempt.call
        last = FOREVER if attempt.deferred else (call.returned_ns or FOREVER) + slack_ns
        begin = bisect_left(syns, call.entered_ns - slack_ns, key=lambda syn: syn.time_ns)
        for index in range(begin, len(syns)):
            syn = syns[index]
            if syn.time_ns > last:
                return
            if syn.id not in self._taken and _agrees(attempt.peer, syn.segment.dst):
                yield syn

    def _eliminate(self, attempts: list[Attempt], *, lossy: bool) -> None:
        """An attempt with one SYN left has sent that one; so no other attempt has, which may
        leave that with one in turn."""
        wanted: dict[int, list[Attempt]] = {}
        left = {attempt: len(attempt.candidates) for attempt in attempts}
        for attempt in attempts:
            for syn in attempt.candidates:
                wanted.setdefault(syn.id, []).append(attempt)
        due = deque(attempt for attempt in attempts if left[attempt] == 1 and attempt.sure)
        while due:
            attempt = due.popleft()
            free = [syn for syn in attempt.candidates if syn.id not in self._taken]
            if not free or attempt.call.id in self.by_call:
                continue
            self._claim(attempt, free[0], sure=not lossy)
            for other in wanted[free[0].id]:
                left[other] -= 1
                if left[other] == 1 and other.sure:
                    due.append(other)

    def _claim(self, attempt: Attempt, syn: Sighting, *, sure: bool) -> None:
        self._taken.add(syn.id)
        self.by_call[attempt.call.id] = syn
        if not sure:
            self.doubtful.add(syn.id)
        elif attempt.local is None:
            learn(attempt.life, attempt.call.entered_ns, syn.segment.src)


def opening_peer(call: Call) -> Endpoint | None:
    """Where an active open goes: connect(), or a send that carries a Fast Open (tcp(7))."""
    if call.name != "connect" and "MSG_FASTOPEN" not in str(call.args.get("flags")):
        return None
    peer = parse_address(call.args.get("address"))
    return peer.on_the_wire() if isinstance(peer, Endpoint) else None


def dissolves(call: Call) -> bool:
    """connect() to AF_UNSPEC takes the connection from its socket."""
    return call.name == "connect" and call.args.get("address") == "AF_UNSPEC" and call.succeeded


def _attempts(life: SocketLife) -> Iterator[Attempt]:
    """The calls of a socket that may have sent a SYN: each that opens, but for those that only
    ask after an attempt that is under way."""
    under_way = False
    opening = [call for call in life.named("connect", *_FAST_OPENS) if _opens(call)]
    for index, call in enumerate(opening):
        peer = opening_peer(call)
        if peer is None:
            under_way = under_way and not dissolves(call)
            continue
        until = opening[index + 1].entered_ns if index + 1 < len(opening) else FOREVER
        if call.errno in _NO_PLACE:
            continue
        local = _local_of(life, call, until)
        previous = opening[index - 1] if index else call
        under_way = under_way and not _told_failure(life, previous, call)
        sent = call.errno in _SENT or call.errno in _MAY_HAVE_SENT
        if local is not None or (sent and not under_way):
            sure = call.errno in _SENT
            yield Attempt(call, life, peer, local, _may_defer(life, call), sure)
        under_way = call.errno in (None, "EINPROGRESS", "EINTR", "EALREADY", "EISCONN")


# No address and port were to be had, so that nothing was sent.
_NO_PLACE = frozenset({"EADDRNOTAVAIL", "EADDRINUSE"})
_FAST_OPENS = ("sendto", "sendmsg")


def _opens(call: Call) -> bool:
    return call.name == "connect" or opening_peer(call) is not None


def _local_of(life: SocketLife, call: Call, until_ns: int) -> Endpoint | None:
    """The socket's own endpoint in this attempt: what was told after the call, or up to the next
    one; what was told before holds only for a port that bind() took (tcp_set_state gives back
    any other)."""
    if isinstance(call.local, Endpoint) and call.local.port:
        return call.local.on_the_wire()
    if any(bind.succeeded and bind.entered_ns < call.entered_ns for bind in life.named("bind")):
        before = local_endpoint(life, call.entered_ns)
        if before is not None:
            return before
    return told_between(life, call.entered_ns, until_ns)


def _told_failure(life: SocketLife, attempt: Call, call: Call) -> bool:
    """SO_ERROR told, before ``call``, that an attempt had failed."""
    asked = [c for c in life.named("getsockopt") if c.args.get("option") == "SO_ERROR"]
    between = (c for c in asked if attempt.entered_ns < c.entered_ns < call.entered_ns)
    return any(c.args.get("value") not in (0, None, "0") for c in between)


def _may_defer(life: SocketLife, call: Call) -> bool:
    """With TCP_FASTOPEN_CONNECT connect() may return without sending (tcp(7))."""
    return call.name == "connect" and any(
        c.args.get("option") == "TCP_FASTOPEN_CONNECT" for c in life.named("setsockopt")
    )


def _inside(call: Call, syn: Sighting) -> bool:
    """By the stamps themselves. A SYN just outside may be another's, and this one's was lost."""
    return call.entered_ns <= syn.time_ns <= (call.returned_ns or FOREVER)


def _fits(call: Call, syn: Sighting) -> bool:
    """What became of the SYN is what the call returned: an answer before it says that the
    connection is open, none if it was refused or given up."""
    answers = syn.other.syns
    if call.succeeded and call.name == "connect":
        return any(answer.arrived_ns <= (call.returned_ns or FOREVER) for answer in answers)
    return not (call.errno in _NEVER_ANSWERED and answers)


def _agrees(told: Endpoint, seen: Endpoint) -> bool:
    """A wildcard address agrees with any: after a refused connect the kernel tells 0.0.0.0."""
    return told.port == seen.port and (told.is_wildcard or told.address == seen.address)
