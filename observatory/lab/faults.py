"""Faults on the path, as data: what is wrong, where, for which packets, and a sentence about it.

::

    Drop(SYN.towards("server"))                 router drops every SYN to server
    Drop(FIN, first=1)                          router drops the first FIN
    Reject(SYN, Rejection.ADMIN_PROHIBITED)     router rejects every SYN with ICMP admin prohibited
    Delay(("router", "server"), 40 * MILLISECOND)
                                                the link between router and server delays every …

``lab.force`` puts them in force and mends them. Nothing here touches a network, and the analyzer
never sees any of it: what a fault did must show in the packets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from observatory.lab.match import EVERYTHING, Match

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND


class Hook(StrEnum):
    """Where in a host or router the firewall looks (nft(8)). What is dropped on the way in was
    seen by a capture there; what is dropped on the way out was not, and send() says EPERM."""

    FORWARD = "forward"
    INPUT = "input"
    OUTPUT = "output"


class Rejection(StrEnum):
    """How a packet is turned away: the ICMP message (RFC 792, RFC 1812 5.2.7.1; RFC 4443 3.1 for
    IPv6, where it has one), or a TCP segment with RST.

    "Fragmentation needed" and "packet too big" are no rejections: a :class:`SmallerMtu` makes
    the router send them, as it does everywhere.
    """

    NET_UNREACHABLE = "net-unreachable"
    HOST_UNREACHABLE = "host-unreachable"
    PROTOCOL_UNREACHABLE = "protocol-unreachable"
    PORT_UNREACHABLE = "port-unreachable"
    NET_PROHIBITED = "net-prohibited"
    HOST_PROHIBITED = "host-prohibited"
    ADMIN_PROHIBITED = "admin-prohibited"
    POLICY_FAIL = "policy-fail"
    REJECT_ROUTE = "reject-route"
    RST = "RST"


class RouteType(StrEnum):
    """A route that leads nowhere (ip-route(8)). To the router's own programs and to those of the
    hosts behind it: ICMP host unreachable, ICMP admin prohibited, silence."""

    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"
    BLACKHOLE = "blackhole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of the packets that match are hit: ``first`` that many, or ``every`` n-th (the
    n-th, the 2n-th …), or all where neither is given. The other packets pass."""

    match: Match = EVERYTHING
    first: int = 0
    every: int = 0

    def __post_init__(self) -> None:
        if self.first < 0 or self.every < 0 or (self.first and self.every):
            raise ValueError("either the first n packets (first=n), or every n-th (every=n)")

    @property
    def which(self) -> str:
        """``the first 2 SYNs to server``"""
        if self.first > 1:
            return f"the first {self.first} {self.match.phrase(plural=True)}"
        if self.first:
            return f"the first {self.match.phrase(plural=False)}"
        if self.every > 1:
            return f"every {_ordinal(self.every)} {self.match.phrase(plural=False)}"
        return f"every {self.match.phrase(plural=False)}"


@dataclass(frozen=True, slots=True)
class Drop(Share):
    """Packets vanish in silence. ``hook`` None is ``forward`` on a router, ``input`` on a host."""

    match: Match = EVERYTHING
    at: str = "router"
    hook: Hook | None = None

    @property
    def sentence(self) -> str:
        return f"{self.at} drops {self.which}"


@dataclass(frozen=True, slots=True)
class Reject(Share):
    """Packets are dropped and their sender is told, by ICMP or RST."""

    match: Match = EVERYTHING
    how: Rejection = Rejection.HOST_UNREACHABLE
    at: str = "router"
    hook: Hook | None = None

    @property
    def sentence(self) -> str:
        how = "RST" if self.how is Rejection.RST else f"ICMP {self.how.replace('-', ' ')}"
        return f"{self.at} rejects {self.which} with {how}"


@dataclass(frozen=True, slots=True)
class CutLink:
    """The cable is out: the interface of ``at`` to ``towards`` is down, and the one at the other
    end has no carrier. Mended, it has its addresses and routes again."""

    at: str = "router"
    towards: str = "server"

    @property
    def sentence(self) -> str:
        return f"the link between {self.at} and {self.towards} is cut"


@dataclass(frozen=True, slots=True)
class DeafNeighbour:
    """``host`` answers neither ARP nor neighbour discovery, as one that is switched off: after
    three questions its router sends ICMP host (address) unreachable."""

    host: str = "server"

    @property
    def sentence(self) -> str:
        return f"{self.host} answers no neighbour's question for its address"


@dataclass(frozen=True, slots=True)
class DeadRoute:
    """``at`` has a route of ``type`` for ``destination`` (a host's name, address or network)."""

    type: RouteType = RouteType.UNREACHABLE
    destination: str = "server"
    at: str = "router"

    @property
    def sentence(self) -> str:
        return f"{self.at} has a route of type {self.type} to {self.destination}"


@dataclass(frozen=True, slots=True)
class SmallerMtu:
    """What ``at`` forwards to ``destination`` may have ``mtu`` bytes at most: of a larger packet
    that may not be fragmented it tells its sender (ICMP fragmentation needed, RFC 1191; ICMPv6
    packet too big, RFC 8201, where ``mtu`` is 1280 or more)."""

    mtu: int = 1280
    destination: str = "server"
    at: str = "router"

    @property
    def sentence(self) -> str:
        return f"{self.at} has a path MTU of {self.mtu} bytes to {self.destination}"


Ends = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Delay(Share):
    """Packets on the link between two nodes arrive ``delay_ns`` later, in their order.
    ``towards`` one of its ends, or in both directions."""

    link: Ends = ("router", "server")
    delay_ns: int = 20 * MILLISECOND
    towards: str = ""

    @property
    def sentence(self) -> str:
        return (
            f"{_link(self.link, self.towards)} delays {self.which} "
            f"by {self.delay_ns / MILLISECOND:g} ms"
        )


@dataclass(frozen=True, slots=True)
class Duplicate(Share):
    """Packets on the link arrive twice, the second copy ``gap_ns`` later."""

    link: Ends = ("router", "server")
    gap_ns: int = 0
    towards: str = ""

    @property
    def sentence(self) -> str:
        return f"{_link(self.link, self.towards)} delivers {self.which} twice"


@dataclass(frozen=True, slots=True)
class Reorder(Share):
    """Packets on the link wait until ``behind`` later ones of their direction have overtaken
    them, but no longer than ``patience_ns``."""

    link: Ends = ("router", "server")
    behind: int = 1
    patience_ns: int = 200 * MILLISECOND
    towards: str = ""

    @property
    def sentence(self) -> str:
        later = "the next one" if self.behind == 1 else f"the next {self.behind}"
        return f"{_link(self.link, self.towards)} delivers {self.which} after {later}"


@dataclass(frozen=True, slots=True)
class Lose(Share):
    """Packets vanish on the link itself: its sender's capture has seen them leave, nothing
    arrives. What a host asks of its neighbours (ARP, neighbour discovery) is not lost."""

    link: Ends = ("router", "server")
    towards: str = ""

    @property
    def sentence(self) -> str:
        return f"{_link(self.link, self.towards)} loses {self.which}"


@dataclass(frozen=True, slots=True)
class Relayed:
    """No fault yet: the relay carries the packets of the link. Among the faults that are there
    from the beginning it makes room for those that come later."""

    link: Ends = ("router", "server")

    @property
    def sentence(self) -> str:
        return f"{_link(self.link, '')} is carried by a relay"


Filter = Drop | Reject
Routing = CutLink | DeafNeighbour | DeadRoute | SmallerMtu
Carried = Delay | Duplicate | Reorder | Lose
Fault = Filter | Routing | Carried | Relayed

KINDS: Mapping[str, type[Fault]] = {
    kind.__name__: kind
    for kind in (
        Drop,
        Reject,
        CutLink,
        DeafNeighbour,
        DeadRoute,
        SmallerMtu,
        Delay,
        Duplicate,
        Reorder,
        Lose,
        Relayed,
    )
}


def to_record(fault: Fault) -> dict[str, Any]:
    """``fault`` as values that JSON can hold; :func:`from_record` makes it again."""
    import msgspec

    return {"fault": type(fault).__name__, **msgspec.to_builtins(fault)}


def from_record(record: Mapping[str, Any]) -> Fault:
    """The fault that :func:`to_record` wrote."""
    import msgspec

    fields = {name: value for name, value in record.items() if name != "fault"}
    if isinstance(fields.get("link"), list):
        fields["link"] = tuple(fields["link"])
    return msgspec.convert(fields, KINDS[record["fault"]])


def _link(ends: Ends, towards: str) -> str:
    if not towards:
        return f"the link between {ends[0]} and {ends[1]}"
    other = ends[0] if towards == ends[1] else ends[1]
    return f"the link from {other} to {towards}"


def _ordinal(number: int) -> str:
    teen = 10 <= number % 100 <= 20
    suffix = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
