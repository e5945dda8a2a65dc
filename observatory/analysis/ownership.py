"""On a network that others use too: which segments belong to the traced programs' sockets.

A socket's calls name the endpoints: where it connected to, where it was bound, who was accepted.
An active open without a name of its own is recognised by its SYN, which left while the connect
ran. What no call accounts for is another program's, and is left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from observatory.model import Address, Call, Direction, Endpoint, Protocol, Segment, parse_address

Flow = frozenset[Endpoint]
Descriptor = tuple[int, int | None]

OPENING = frozenset({"connect", "sendto", "sendmsg", "sendmmsg"})
FOREVER = 1 << 63


@dataclass(frozen=True, slots=True)
class Known:
    """What calls tell: ``bound`` the sockets' own endpoints (a wildcard address with its port),
    ``flows`` both ends of those that connected, ``accepted`` the peers that were accepted with
    the port they came to (None if no call told it), ``opened`` the spans of time in which each
    destination was called, ``sending`` those of all sending calls.

    One end is not enough where both are known: another program may have the same port towards
    another server.
    """

    bound: frozenset[Endpoint]
    flows: frozenset[Flow]
    accepted: frozenset[tuple[Endpoint, int | None]]
    opened: Mapping[Endpoint, Sequence[tuple[int, int]]]
    sending: Sequence[tuple[int, int]]


def own_segments(calls: Iterable[Call], segments: Sequence[Segment]) -> list[Segment]:
    """The segments of the sockets that ``calls`` used, and the ICMP errors about them."""
    known = learn(calls)
    judged: dict[Flow, _Judgement] = defaultdict(_Judgement)
    for segment in segments:
        if segment.icmp is None:
            judged[_flow(segment.src, segment.dst)].look(segment, known)
    own = {flow for flow, judgement in judged.items() if judgement.own}
    return [segment for segment in segments if _told(segment) in own]


def learn(calls: Iterable[Call]) -> Known:
    """What ``calls`` tell of endpoints."""
    bound: set[Endpoint] = set()
    flows: set[Flow] = set()
    accepted: set[tuple[Endpoint, int | None]] = set()
    opened: dict[Endpoint, list[tuple[int, int]]] = defaultdict(list)
    sending: list[tuple[int, int]] = []
    names: dict[Descriptor, Endpoint] = {}
    towards: dict[Descriptor, Endpoint] = {}
    for call in calls:
        descriptor = call.pid, call.fd
        address = _endpoint(parse_address(call.args.get("address")))
        if call.name in OPENING and address:
            opened[address].append(_span(call))
        if call.name == "connect" and address and not address.is_wildcard:
            towards[descriptor] = address
        if call.name == "close":
            towards.pop(descriptor, None)
        if call.name.startswith(("send", "write")):
            sending.append(_span(call))
        peer = _endpoint(call.peer)
        if peer and call.name.startswith("accept"):
            listener = names.get(descriptor)
            accepted.add((peer, listener.port if listener else None))
            continue
        told = _endpoint(call.local)
        if call.name in ("bind", "getsockname") and address and address.port:
            told = address
        if told is None or not told.port:
            continue
        names[descriptor] = told
        if descriptor in towards and not told.is_wildcard:
            flows.add(_flow(told, towards[descriptor]))
        else:
            bound.add(told)
    for spans in opened.values():
        spans.sort()
    return Known(frozenset(bound), frozenset(flows), frozenset(accepted), opened, sorted(sending))


@dataclass(slots=True)
class _Judgement:
    """Of one flow: whether it is the programs' own, and its datagrams' other rule."""

    own: bool = False
    _seen: bool = field(default=False, repr=False)

    def look(self, segment: Segment, known: Known) -> None:
        if self.own:
            return
        if not self._seen:
            self._seen = True
            direction = segment.frame.direction if segment.frame else Direction.UNKNOWN
            self.own = _is_known(segment.src, known, direction is not Direction.INBOUND)
            self.own |= _is_known(segment.dst, known, direction is not Direction.OUTBOUND)
            self.own |= _flow(segment.src, segment.dst) in known.flows
            self.own |= _was_accepted(segment.src, segment.dst, known)
            self.own |= _was_accepted(segment.dst, segment.src, known)
        spans = known.opened.get(segment.dst)
        if self.own or spans is None:
            return
        if segment.protocol is Protocol.TCP:
            begins = "S" in segment.flags and "A" not in segment.flags
            self.own = begins and _within(spans, segment.time_ns)
        else:
            # A connected datagram socket sends without saying where to.
            self.own = _within(known.sending, segment.time_ns)


def _is_known(end: Endpoint, known: Known, here: bool) -> bool:
    """``here``: the endpoint may be one of this machine, so that a wildcard stands for it."""
    anywhere = (Endpoint("0.0.0.0", end.port), Endpoint("::", end.port))
    return end in known.bound or (here and not known.bound.isdisjoint(anywhere))


def _was_accepted(peer: Endpoint, at: Endpoint, known: Known) -> bool:
    return (peer, at.port) in known.accepted or (peer, None) in known.accepted


def _span(call: Call) -> tuple[int, int]:
    return call.entered_ns, FOREVER if call.returned_ns is None else call.returned_ns


def _within(spans: Sequence[tuple[int, int]], time_ns: int) -> bool:
    """Whether a time lies in one of ``spans``, which are in order of their beginnings."""
    last = bisect_right(spans, (time_ns, FOREVER + 1))
    return any(end >= time_ns for _, end in spans[max(0, last - MOST_AT_ONCE) : last])


MOST_AT_ONCE = 1024
"""Calls that run at the same time, in as many threads and processes; more are not looked at."""


def _endpoint(address: Address | None) -> Endpoint | None:
    return address.on_the_wire() if isinstance(address, Endpoint) else None


def _flow(one: Endpoint, other: Endpoint) -> Flow:
    return frozenset((one, other))


def _told(segment: Segment) -> Flow | None:
    """The flow that a segment is of, or that an ICMP error is about."""
    if segment.icmp is None:
        return _flow(segment.src, segment.dst)
    src, dst = segment.icmp.quoted_src, segment.icmp.quoted_dst
    return _flow(src, dst) if src and dst else None


def once(segments: Sequence[Segment]) -> list[Segment]:
    """Each packet once, where several interfaces saw it on its way (a bridge and its port, a VLAN
    and its trunk): for each direction of a flow those of the interface that saw most of it.

    A retransmission is another packet, and stays.
    """
    seen: dict[tuple[Endpoint, Endpoint], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for segment in segments:
        seen[(segment.src, segment.dst)][segment.interface] += 1
    chosen = {
        direction: max(counts, key=lambda interface: (counts[interface], -interface))
        for direction, counts in seen.items()
    }
    return [one for one in segments if chosen[(one.src, one.dst)] == one.interface]
