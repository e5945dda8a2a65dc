"""What a lab is to be: hosts, routers, the links between them. Plain values, nothing is built.

A lab of one's own is a few lines::

    TWO_ROUTERS = Plan(
        "two-routers",
        hosts=(
            Host("client", gateway="near"),
            Host("near", router=True, gateway="far"),
            Host("far", router=True, gateway="near"),
            Host("server", gateway="far"),
        ),
        cables=(
            cable("client:eth0 192.0.2.1/24", "near:eth0 192.0.2.254/24"),
            cable("near:eth1 203.0.113.1/30", "far:eth0 203.0.113.2/30", mtu=1400),
            cable("far:eth1 198.51.100.254/24", "server:eth0 198.51.100.1/24"),
        ),
    )

Addresses are of the documentation's ranges only (RFC 5737, RFC 3849), so that a lab's packets
are never taken for those of somebody's network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface
from socket import AF_INET, AF_INET6
from typing import Any

from observatory.errors import UsageError
from observatory.model import Link, Node, Topology

DOCUMENTATION = (
    IPv4Network("192.0.2.0/24"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv6Network("2001:db8::/32"),
)
VERSIONS: Mapping[int, int] = {AF_INET: 4, AF_INET6: 6}
LONGEST_DEVICE = 15  # IFNAMSIZ with its final zero (netdevice(7))

InterfaceAddress = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Host:
    """A host or router: a network namespace of its own.

    ``gateway`` is the neighbour that gets what is for no link of its own, ``routes`` are
    ``(prefix, neighbour)`` besides it. ``sysctls`` are set before its interfaces are there, so
    that those of ``net.ipv4.conf.default`` hold for them.
    """

    name: str
    router: bool = False
    gateway: str = ""
    routes: tuple[tuple[str, str], ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable: the interface ``device`` of ``host``, with its addresses."""

    host: str
    device: str
    addresses: tuple[InterfaceAddress, ...] = ()

    def address(self, family: int) -> str | None:
        """Its first address of ``family``, without the length of the prefix."""
        version = VERSIONS[family]
        return next((str(one.ip) for one in self.addresses if one.version == version), None)


@dataclass(frozen=True, slots=True)
class Cable:
    """A link between two interfaces."""

    ends: tuple[End, End]
    mtu: int = 1500


def cable(one: str, other: str, mtu: int = 1500) -> Cable:
    """A cable whose ends are written ``HOST:DEVICE ADDRESS/LENGTH …``."""
    return Cable((_end(one), _end(other)), mtu)


def _end(text: str) -> End:
    name, *addresses = text.split()
    host, _, device = name.partition(":")
    return End(host, device, tuple(ip_interface(each) for each in addresses))


@dataclass(frozen=True, slots=True)
class Plan:
    """A lab as it is declared. Raises ValueError where it contradicts itself."""

    name: str
    hosts: tuple[Host, ...]
    cables: tuple[Cable, ...] = ()

    def __post_init__(self) -> None:
        for mistake in _mistakes(self):
            raise ValueError(f"lab {self.name}: {mistake}")

    @property
    def is_loopback(self) -> bool:
        """True for one host without a cable: the network that a behaviour has by default."""
        return not self.cables

    @property
    def names(self) -> tuple[str, ...]:
        """Of all hosts and routers, as declared."""
        return tuple(host.name for host in self.hosts)

    def host(self, name: str) -> Host:
        """The host of that name. Raises UsageError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise UsageError(f"the lab {self.name} has no host {name!r}, only {', '.join(self.names)}")

    def ends(self, host: str) -> tuple[End, ...]:
        """The interfaces of ``host``, as declared."""
        return tuple(end for one in self.cables for end in one.ends if end.host == host)

    def interface(self, host: str, towards: str | None = None) -> str:
        """The interface by which ``host`` reaches ``towards`` in the fewest hops; without
        ``towards`` its first. ``lo`` if it has no other. Raises UsageError if there is no way."""
        self.host(host)
        if towards is None or towards == host:
            return next((end.device for end in self.ends(host)), "lo")
        return self._first_hop(host, towards)[0].device

    def neighbour(self, host: str, towards: str) -> str:
        """The next host or router on the way from ``host`` to ``towards``."""
        return self._first_hop(host, towards)[1].host

    def address(self, host: str, family: int = AF_INET, towards: str | None = None) -> str:
        """An address of ``host``: that of the interface towards ``towards``, or its first.

        Raises UsageError if it has none of this family.
        """
        self.host(host)
        device = None if towards is None else self.interface(host, towards)
        for end in self.ends(host):
            if device in (None, end.device) and (found := end.address(family)):
                return found
        if self.is_loopback:
            return "::1" if family == AF_INET6 else "127.0.0.1"
        raise UsageError(f"{host} of the lab {self.name} has no IPv{VERSIONS[family]} address")

    def hop(self, host: str, towards: str, family: int) -> str | None:
        """The address to which ``host`` hands what is for its neighbour ``towards``."""
        return self._first_hop(host, towards)[1].address(family)

    def directory(self, hosts: Mapping[str, str]) -> dict[str, Any]:
        """Who is where, as JSON can hold it: ``hosts`` by role as given, and ``addresses`` by host,
        family and the host towards which (empty: its first). Of loopback every host has them."""
        if self.is_loopback:
            own = {str(int(family)): {"": self.address("host", family)} for family in VERSIONS}
            return {"hosts": {}, "addresses": {"": own}}
        addresses: dict[str, Any] = {}
        for host in self.names:
            for family in VERSIONS:
                known = addresses.setdefault(host, {}).setdefault(str(int(family)), {})
                for towards in (None, *self.names):
                    with suppress(UsageError):
                        known[towards or ""] = self.address(host, family, towards)
        return {"hosts": dict(hosts), "addresses": addresses}

    def topology(
        self, faults: tuple[str, ...] = (), relays: Mapping[str, str] | None = None
    ) -> Topology:
        """As the trace has it: with what was done to it, and what carried the packets of a link,
        by one of its ends (``router:eth1``), where that was not the wire itself."""
        carried = relays or {}
        return Topology(
            self.name,
            tuple(
                Node(
                    host.name,
                    host.router,
                    tuple(
                        (end.device, str(address))
                        for end in self.ends(host.name)
                        for address in end.addresses
                    ),
                )
                for host in self.hosts
            ),
            tuple(
                Link(
                    ((a.host, a.device), (b.host, b.device)),
                    carried.get(f"{a.host}:{a.device}") or carried.get(f"{b.host}:{b.device}", ""),
                )
                for a, b in (one.ends for one in self.cables)
            ),
            faults,
        )

    def _first_hop(self, host: str, towards: str) -> tuple[End, End]:
        """The ends, ours and the neighbour's, of the first cable on the way."""
        self.host(host)
        self.host(towards)
        # From the goal backwards, so that what is found last is our own end.
        waiting, seen = deque([towards]), {towards}
        while waiting:
            here = waiting.popleft()
            for near, far in self._leaving(here):
                if far.host == host:
                    return far, near
                if far.host not in seen:
                    seen.add(far.host)
                    waiting.append(far.host)
        raise UsageError(f"the lab {self.name} has no way from {host} to {towards}")

    def _leaving(self, host: str) -> Iterator[tuple[End, End]]:
        """The cables at ``host``: its own end and the other."""
        for one in self.cables:
            a, b = one.ends
            if a.host == host:
                yield a, b
            if b.host == host:
                yield b, a


def _mistakes(plan: Plan) -> Iterator[str]:
    names = set(plan.names)
    if len(names) < len(plan.hosts):
        yield "two hosts have one name"
    ends = [end for one in plan.cables for end in one.ends]
    if len({(end.host, end.device) for end in ends}) < len(ends):
        yield "two cables end at one interface"
    for end in ends:
        if end.host not in names:
            yield f"a cable ends at {end.host!r}, which is no host"
        if not 0 < len(end.device) <= LONGEST_DEVICE or end.device == "lo":
            yield f"{end.device!r} is no name for an interface"
        for address in end.addresses:
            if not any(address.ip in block for block in DOCUMENTATION):
                yield f"{address} is not of the documentation's ranges"
    for host in plan.hosts:
        neighbours = {far.host for _, far in plan._leaving(host.name)}
        for hop in {host.gateway, *(via for _, via in host.routes)} - {""}:
            if hop not in neighbours:
                yield f"{host.name} routes through {hop!r}, which is not its neighbour"


LOOPBACK = Plan("loopback", (Host("host"),))

PAIR = Plan(
    "pair",
    hosts=(Host("client"), Host("server")),
    cables=(
        cable(
            "client:eth0 192.0.2.1/24 2001:db8:1::1/64", "server:eth0 192.0.2.2/24 2001:db8:1::2/64"
        ),
    ),
)

ROUTED = Plan(
    "routed",
    hosts=(
        Host("client", gateway="router"),
        Host("router", router=True),
        Host("server", gateway="router"),
    ),
    cables=(
        cable(
            "client:eth0 192.0.2.1/24 2001:db8:1::1/64",
            "router:eth0 192.0.2.254/24 2001:db8:1::fe/64",
        ),
        cable(
            "router:eth1 198.51.100.254/24 2001:db8:2::fe/64",
            "server:eth0 198.51.100.1/24 2001:db8:2::1/64",
        ),
    ),
)

READY_MADE: Mapping[str, Plan] = {plan.name: plan for plan in (LOOPBACK, PAIR, ROUTED)}
"""The labs that a behaviour can name."""
