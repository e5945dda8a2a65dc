"""Which port a UDP socket has whose calls do not tell it.

A datagram leaves inside the call that sends it, and has come before the call that receives it
returns. So every call of the socket has datagrams that may be its own: as long, and going where it
sent or coming from where it received. The endpoint that all of these agree on is the socket's own,
if it is one and no other socket has it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from observatory.analysis.lives import SocketLife
from observatory.analysis.naming import FOREVER, learn, local_endpoint
from observatory.model import Endpoint, Protocol, Segment

# After so many calls that agree, no more are asked.
_ASKED = 16


@dataclass(frozen=True, slots=True)
class Moment:
    """A datagram that a call sent or received (``outward`` False), at some time between."""

    outward: bool
    from_ns: int
    until_ns: int
    peer: Endpoint | None
    length: int


def learn_ports(
    sockets: Iterable[tuple[SocketLife, list[Moment]]], segments: Iterable[Segment]
) -> None:
    """Tell the sockets the ports that no call told. ``segments`` are in time order."""
    nameless, named = [], set()
    for life, moments in sockets:
        own = local_endpoint(life, FOREVER)
        if own is not None:
            named.add(own.port)
        elif moments:
            nameless.append((life, moments))
    if not nameless:
        return
    datagrams = _by_peer(segments)
    found: dict[Endpoint, list[tuple[SocketLife, int]]] = defaultdict(list)
    for life, moments in nameless:
        agreed = {one for one in _agreed(moments, datagrams) if one.port not in named}
        if len(agreed) == 1:
            found[agreed.pop()].append((life, life.created_ns))
    for endpoint, takers in found.items():
        if len(takers) == 1:
            learn(*takers[0], endpoint)


_Peers = dict[tuple[bool, int, int], list[Segment]]


def _by_peer(segments: Iterable[Segment]) -> _Peers:
    """Datagrams by the port at the other end and their length, seen from either end."""
    found: _Peers = defaultdict(list)
    for one in segments:
        if one.protocol is Protocol.UDP:
            found[(True, one.dst.port, one.length)].append(one)
            found[(False, one.src.port, one.length)].append(one)
    return found


def _agreed(moments: list[Moment], datagrams: _Peers) -> set[Endpoint]:
    """The endpoints at this end of datagrams that every one of the calls may have had."""
    agreed: set[Endpoint] | None = None
    for moment in [one for one in moments if one.peer is not None][:_ASKED]:
        ends = _ends(moment, datagrams)
        agreed = ends if agreed is None else agreed & ends
    return agreed or set()


def _ends(moment: Moment, datagrams: _Peers) -> set[Endpoint]:
    port = moment.peer.port if moment.peer else 0
    candidates = datagrams.get((moment.outward, port, moment.length), [])
    begin = bisect_left(candidates, moment.from_ns, key=lambda one: one.time_ns)
    ends = set()
    for index in range(begin, len(candidates)):
        one = candidates[index]
        if one.time_ns > moment.until_ns:
            break
        near, far = (one.src, one.dst) if moment.outward else (one.dst, one.src)
        if goes_to(moment.peer, far):
            ends.add(near)
    return ends


def goes_to(named: Endpoint | None, seen: Endpoint) -> bool:
    """The name a call used fits the endpoint in the packet; a wildcard means this host."""
    if named is None:
        return True
    return named.port == seen.port and (named.is_wildcard or named.address == seen.address)
