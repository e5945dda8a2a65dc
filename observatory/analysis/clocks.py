"""Calls and packets recorded on two machines: how far their clocks are apart.

A handshake ties them. The SYN left after connect() was entered, and what a successful connect()
waited for, the SYN-ACK, came before it returned; so each handshake bounds the difference from
both sides. accept() and the first bytes sent bound it at a server. What most handshakes agree on
is the difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from observatory.model import Call, Endpoint, Process, Protocol, Segment, parse_address

MOST_COMPARED = 64
"""Connects to one endpoint, and SYNs to it, that are compared with each other."""
PRECISIONS_NS = (1_000_000_000, 1_000_000, 1_000)


@dataclass(frozen=True, slots=True)
class Offset:
    """Capture time minus call time lies between ``low_ns`` and ``high_ns``, as ``handshakes``
    of them agree."""

    low_ns: int
    high_ns: int
    handshakes: int

    @property
    def same_clock(self) -> bool:
        """Whether nothing speaks against one clock."""
        return self.low_ns <= 0 <= self.high_ns

    @property
    def middle_ns(self) -> int:
        return (self.low_ns + self.high_ns) // 2

    def __str__(self) -> str:
        late = "behind" if self.middle_ns > 0 else "ahead of"
        within = max(1, (self.high_ns - self.low_ns) // 2000)
        plural = "" if self.handshakes == 1 else "s"
        return (
            f"the calls' clock was {abs(self.middle_ns) / 1e9:.6f} s {late} the capture's "
            f"(within {within:,} µs, from {self.handshakes} handshake{plural}); the calls are "
            "shown by the capture's clock"
        )


@dataclass(frozen=True, slots=True)
class _Handshake:
    """When the packets of one were captured; None where they were not."""

    client: Endpoint
    server: Endpoint
    syn_ns: int
    syn_ack_ns: int | None
    ack_ns: int | None
    reply_ns: int | None  # the first bytes of the server


def estimate(calls: Sequence[Call], segments: Iterable[Segment]) -> Offset | None:
    """The difference that most handshakes allow; None if there is none to compare."""
    handshakes = list(_handshakes(segments))
    precision = _precision(calls)
    bounds = [
        (low - precision, high)
        for low, high in (*_of_connects(calls, handshakes), *_of_accepts(calls, handshakes))
    ]
    return _agreed([bound for bound in bounds if bound[0] <= bound[1]])


def shift(calls: Iterable[Call], by_ns: int) -> tuple[Call, ...]:
    """The same calls, later by ``by_ns``."""
    return tuple(
        replace(
            call,
            entered_ns=call.entered_ns + by_ns,
            returned_ns=None if call.returned_ns is None else call.returned_ns + by_ns,
        )
        for call in calls
    )


def shift_ends(processes: Iterable[Process], by_ns: int) -> tuple[Process, ...]:
    """The same processes, ended later by ``by_ns``."""
    return tuple(
        one if one.ended_ns is None else replace(one, ended_ns=one.ended_ns + by_ns)
        for one in processes
    )


def _precision(calls: Sequence[Call]) -> int:
    """What the stamps were cut to: a return may have been that much later than it says."""
    for precision in PRECISIONS_NS:
        if all(call.entered_ns % precision == 0 for call in calls):
            return precision
    return 0


def _handshakes(segments: Iterable[Segment]) -> Iterator[_Handshake]:
    found: dict[tuple[Endpoint, Endpoint], _Handshake] = {}
    begun: dict[tuple[Endpoint, Endpoint], int] = {}
    for one in segments:
        if one.protocol is not Protocol.TCP:
            continue
        ends = (one.src, one.dst)
        if "S" in one.flags and "A" not in one.flags:
            if begun.get(ends) != one.seq:  # not the same SYN sent again
                if ends in found:
                    yield found[ends]
                found[ends] = _Handshake(*ends, one.time_ns, None, None, None)
                begun[ends] = one.seq
            continue
        back = (one.dst, one.src)
        if ends in found and found[ends].ack_ns is None and found[ends].syn_ack_ns:
            found[ends] = replace(found[ends], ack_ns=one.time_ns)
        elif back in found and "S" in one.flags and found[back].syn_ack_ns is None:
            found[back] = replace(found[back], syn_ack_ns=one.time_ns)
        elif back in found and one.length and found[back].reply_ns is None:
            found[back] = replace(found[back], reply_ns=one.time_ns)
    yield from found.values()


def _of_connects(
    calls: Sequence[Call], handshakes: Sequence[_Handshake]
) -> Iterator[tuple[int, int]]:
    connects: dict[Endpoint, list[Call]] = defaultdict(list)
    syns: dict[Endpoint, list[_Handshake]] = defaultdict(list)
    for call in calls:
        address = parse_address(call.args.get("address"))
        if call.name == "connect" and isinstance(address, Endpoint):
            connects[address.on_the_wire()].append(call)
    for handshake in handshakes:
        syns[handshake.server].append(handshake)
    for server, attempts in connects.items():
        for call, handshake in _pairs(attempts, syns[server]):
            if call.returned_ns is None:
                continue
            answered = handshake.syn_ack_ns if call.succeeded else None
            last = answered or handshake.syn_ns
            yield last - call.returned_ns, handshake.syn_ns - call.entered_ns


def _of_accepts(
    calls: Sequence[Call], handshakes: Sequence[_Handshake]
) -> Iterator[tuple[int, int]]:
    by_client = {handshake.client: handshake for handshake in handshakes}
    replying: dict[tuple[int, int | None], _Handshake] = {}
    accepted: dict[tuple[int, int | None], int] = {}
    for call in calls:
        handshake = by_client.get(call.peer) if isinstance(call.peer, Endpoint) else None
        if call.name.startswith("accept") and handshake and call.returned_ns is not None:
            replying[(call.pid, call.result)] = handshake
            accepted[(call.pid, call.result)] = call.returned_ns
        elif call.name.startswith(("send", "write")) and (call.pid, call.fd) in replying:
            served = replying.pop((call.pid, call.fd))
            returned = accepted.pop((call.pid, call.fd))
            if served.ack_ns and served.reply_ns:
                yield served.ack_ns - returned, served.reply_ns - call.entered_ns


def _pairs(
    attempts: Sequence[Call], syns: Sequence[_Handshake]
) -> Iterator[tuple[Call, _Handshake]]:
    """One by one where there are as many of both; else any may be of any."""
    if len(attempts) == len(syns):
        yield from zip(attempts, sorted(syns, key=lambda one: one.syn_ns), strict=True)
    else:
        yield from product(attempts[:MOST_COMPARED], syns[:MOST_COMPARED])


def _agreed(bounds: Sequence[tuple[int, int]]) -> Offset | None:
    """The stretch that most ``bounds`` have in common; of several the one with 0, or the first."""
    edges = sorted([(low, 0) for low, _ in bounds] + [(high, 1) for _, high in bounds])
    best: Offset | None = None
    inside = 0
    for index, (at, closing) in enumerate(edges):
        inside += -1 if closing else 1
        if closing:
            continue
        stretch = Offset(at, edges[index + 1][0], inside)
        more = best is None or inside > best.handshakes
        if more or (best and inside == best.handshakes and stretch.same_clock):
            best = stretch
    return best
