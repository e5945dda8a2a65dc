"""What the relay does with a packet: decisions and waiting, without a socket or a clock.

::

    fate, tally = decide(rules, tally, packet)      pure: which rules hit, what becomes of it
    schedule.take(now_ns, side, raw, fate)          keep it until it is due, or for others to pass
    schedule.due(now_ns)                            what is to be sent now, in order
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from observatory.codec.headers import decode
from observatory.lab.faults import Carried, Delay, Duplicate, Lose, Reorder
from observatory.model import Frame, Segment

ETHERNET = 1
_ETHERTYPE_ARP, _ETHERTYPE_IPV6 = b"\x08\x06", b"\x86\xdd"
_NEXT_HEADER, _ICMP_TYPE = 14 + 6, 14 + 40  # where they are in an Ethernet frame
_DESTINATION, _ALL_ON_THE_LINK = 14 + 24, b"\xff\x02"
_ICMPV6, _TYPES = 58, range(133, 138)  # RFC 4861


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame as the rules see it. ``side`` is the end of the link that it came from, 0 or 1;
    ``segment`` None where it is none (ARP, a fragment). ``neighbourly`` is what hosts ask their
    neighbours."""

    side: int
    segment: Segment | None
    neighbourly: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault on this link. ``sides`` are the ends whose packets it concerns; ``addresses`` those
    of the hosts that its match names."""

    number: int
    fault: Carried
    sides: Collection[int] = (0, 1)
    addresses: Mapping[str, Collection[str]] = field(default_factory=dict)

    def concerns(self, packet: Packet) -> bool:
        if packet.side not in self.sides:
            return False
        if packet.neighbourly and isinstance(self.fault, Lose):
            return False
        if self.fault.match.whole_path:
            return True
        return packet.segment is not None and self.fault.match.accepts(
            packet.segment, self._addresses
        )

    def _addresses(self, host: str) -> Collection[str]:
        return self.addresses.get(host, (host,))


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a packet: one copy for each of ``delays_ns``, none if it is lost. With
    ``behind`` it waits for so many later packets first, but no longer than ``patience_ns``.
    ``hits`` are the numbers of the rules that decided it."""

    delays_ns: tuple[int, ...] = (0,)
    behind: int = 0
    patience_ns: int = 0
    hits: tuple[int, ...] = ()


Tally = Mapping[int, int]
"""How many packets each rule, by its number, has concerned so far."""


def decide(rules: Sequence[Rule], tally: Tally, packet: Packet) -> tuple[Fate, Tally]:
    """What becomes of ``packet``, and the tally after it. Rules apply in their order; what one
    loses the next does not see."""
    fate = Fate()
    seen = dict(tally)
    for rule in rules:
        if not rule.concerns(packet):
            continue
        number = seen[rule.number] = seen.get(rule.number, 0) + 1
        if not _chosen(rule.fault, number):
            continue
        fate = _after(rule.fault, fate, rule.number)
        if not fate.delays_ns:
            break
    return fate, seen


def _chosen(fault: Carried, number: int) -> bool:
    if fault.first:
        return number <= fault.first
    return not fault.every or number % fault.every == 0


def _after(fault: Carried, fate: Fate, number: int) -> Fate:
    hits = (*fate.hits, number)
    match fault:
        case Lose():
            return Fate((), hits=hits)
        case Delay(delay_ns=delay):
            delays = tuple(each + delay for each in fate.delays_ns)
            return Fate(delays, fate.behind, fate.patience_ns, hits)
        case Duplicate(gap_ns=gap):
            delays = (*fate.delays_ns, fate.delays_ns[-1] + gap)
            return Fate(delays, fate.behind, fate.patience_ns, hits)
        case Reorder(behind=behind, patience_ns=patience):
            return Fate(fate.delays_ns, behind, patience, hits)


def read(raw: bytes, side: int) -> Packet:
    """An Ethernet frame that came from the end ``side``."""
    if _asks_neighbours(raw):
        return Packet(side, None, neighbourly=True)
    return Packet(side, decode(Frame(0, 0, raw, len(raw)), ETHERNET, 0))


def _asks_neighbours(raw: bytes) -> bool:
    """ARP, neighbour discovery (which never has extension headers, RFC 6980 2), and what else
    goes to all on an IPv6 link (ff02::/16, RFC 4291 2.7), as multicast listener reports."""
    ethertype = raw[12:14]
    if ethertype == _ETHERTYPE_IPV6 and len(raw) > _ICMP_TYPE:
        discovery = raw[_NEXT_HEADER] == _ICMPV6 and raw[_ICMP_TYPE] in _TYPES
        return discovery or raw[_DESTINATION:].startswith(_ALL_ON_THE_LINK)
    return ethertype == _ETHERTYPE_ARP


@dataclass(slots=True)
class _Held:
    side: int
    raw: bytes
    fate: Fate
    waits_for: int
    until_ns: int


class Schedule:
    """The packets that are on their way. ``raw`` is never looked into."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, int, bytes]] = []
        self._held: list[_Held] = []
        self._order = count()  # what is due at the same time leaves as it came

    def take(self, now_ns: int, side: int, raw: bytes, fate: Fate) -> None:
        """A packet that came from the end ``side`` at ``now_ns``."""
        if not fate.delays_ns:
            return
        if fate.behind:
            until = now_ns + fate.patience_ns
            self._held.append(_Held(side, raw, fate, fate.behind, until))
            return
        self._send(now_ns, side, raw, fate)
        overtaken_ns = now_ns + fate.delays_ns[0]
        for held in [each for each in self._held if each.side == side]:
            held.waits_for -= 1
            if not held.waits_for:
                self._held.remove(held)
                self._send(overtaken_ns, held.side, held.raw, held.fate)

    def due(self, now_ns: int) -> list[tuple[int, bytes]]:
        """``(the end it came from, raw)`` of all packets whose time has come, in order."""
        for held in [each for each in self._held if each.until_ns <= now_ns]:
            self._held.remove(held)
            self._send(held.until_ns, held.side, held.raw, held.fate)
        found = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, side, raw = heapq.heappop(self._waiting)
            found.append((side, raw))
        return found

    def next_ns(self) -> int | None:
        """When the next packet is due; None if nothing waits."""
        times = [each.until_ns for each in self._held]
        times += [self._waiting[0][0]] if self._waiting else []
        return min(times, default=None)

    def _send(self, from_ns: int, side: int, raw: bytes, fate: Fate) -> None:
        for delay in fate.delays_ns:
            heapq.heappush(self._waiting, (from_ns + delay, next(self._order), side, raw))
