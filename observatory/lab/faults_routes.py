"""Faults that are the router's or a host's own doing, through pyroute2: a link that is down, a
neighbour that does not answer, routes that lead nowhere, a smaller MTU.

Each function puts one in force on a built lab and returns what mends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any

from observatory.errors import ScenarioFailed, UsageError
from observatory.lab.faults import CutLink, DeadRoute, DeafNeighbour, Routing, SmallerMtu

if TYPE_CHECKING:
    from pyroute2 import IPRoute

    from observatory.lab.network import Network

Mend = Callable[[], None]

FAMILIES = (AF_INET, AF_INET6)
_TABLE_LOCAL = 255
_PROTO_KERNEL = 2  # routes that come with an address (rtnetlink(7))
_NUD_NOARP = 0x40  # multicast and the like (linux/neighbour.h)
_IFA_F_NODAD = 0x02  # linux/if_addr.h
_READY_S = 5.0
_LOOK_AGAIN_S = 0.001


def put_routing(fault: Routing, network: Network) -> Mend:
    """Put ``fault`` in force; what mends it. Raises ScenarioFailed where the kernel refuses."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        match fault:
            case CutLink():
                return _cut_link(fault, network)
            case DeafNeighbour():
                return _deafen(fault, network)
            case DeadRoute():
                return _add_dead_route(fault, network)
            case SmallerMtu():
                return _narrow(fault, network)
    except NetlinkError as refusal:
        raise ScenarioFailed(f"the kernel did not take it: {fault.sentence}: {refusal}") from None


def _cut_link(fault: CutLink, network: Network) -> Mend:
    at, towards = fault.at, network.plan.neighbour(fault.at, fault.towards)
    routes, index = network.routes(at), network.index(at, network.interface(at, towards))
    other = network.routes(towards)
    other_index = network.index(towards, network.interface(towards, at))
    kept = remember(routes, index)
    routes.link("set", index=index, state="down")

    def mend() -> None:
        routes.link("set", index=index, state="up")
        when_up(routes, index)
        when_up(other, other_index)  # until then it drops what it is to send
        restore(routes, index, kept)

    return mend


def _deafen(fault: DeafNeighbour, network: Network) -> Mend:
    """Without ARP an interface hears no question for its IPv4 address. IPv6 has none to switch
    off: the host drops the questions as they come in."""
    from observatory.lab.faults_nft import removal, run_nft, silence

    plan, table = network.plan, f"deaf_{fault.host}"
    arp_on: list[Callable[[], object]] = []
    for end in plan.ends(fault.host):
        routes, index = network.routes(fault.host), network.index(fault.host, end.device)
        routes.link("set", index=index, arp=False)
        arp_on.append(partial(routes.link, "set", index=index, arp=True))
    run_nft(silence(table), network.namespace_of(fault.host))
    for name in plan.names:
        with suppress(UsageError):
            if name != fault.host and plan.neighbour(name, fault.host) == fault.host:
                device = network.interface(name, fault.host)
                _forget_neighbours(network.routes(name), network.index(name, device))

    def mend() -> None:
        for turn_on in arp_on:
            turn_on()
        run_nft(removal(table), network.namespace_of(fault.host))

    return mend


def _forget_neighbours(routes: IPRoute, index: int) -> None:
    """So that the next packet asks again for whom it is."""
    for family in FAMILIES:
        for found in routes.get_neighbours(family=family, ifindex=index):
            if not found["state"] & _NUD_NOARP:
                address = found.get_attr("NDA_DST")
                routes.neigh("del", family=family, dst=address, ifindex=index)


def _add_dead_route(fault: DeadRoute, network: Network) -> Mend:
    wanted = [
        {"family": AF_INET if each.version == 4 else AF_INET6, "dst": str(each)}
        for each in _more_specific(_networks(fault.destination, network))
    ]
    return _with_routes(
        network.routes(fault.at), [{**each, "type": str(fault.type)} for each in wanted]
    )


def _narrow(fault: SmallerMtu, network: Network) -> Mend:
    plan, at = network.plan, fault.at
    device = network.interface(at, fault.destination)
    next_hop = plan.neighbour(at, fault.destination)
    wanted: list[Mapping[str, Any]] = []
    for each in _networks(fault.destination, network):
        family = AF_INET if each.version == 4 else AF_INET6
        if family == AF_INET6 and fault.mtu < 1280:
            continue  # IPv6 has no smaller packets to offer (RFC 8200 5)
        route = {"family": family, "dst": str(each), "metrics": {"mtu": fault.mtu}}
        if next_hop != fault.destination and (hop := plan.hop(at, fault.destination, family)):
            route["gateway"] = hop
        else:
            route["oif"] = network.index(at, device)
        wanted.append(route)
    return _with_routes(network.routes(at), wanted)


def _with_routes(routes: IPRoute, wanted: list[Mapping[str, Any]]) -> Mend:
    for each in wanted:
        routes.route("add", **each)

    def mend() -> None:
        for each in wanted:
            routes.route("del", **{key: each[key] for key in each if key != "metrics"})

    return mend


def _networks(destination: str, network: Network) -> list[IPv4Network | IPv6Network]:
    """A host's own addresses; or the address or network that is named."""
    if destination in network.plan.names:
        ends = network.plan.ends(destination)
        return [ip_network(str(one.ip)) for end in ends for one in end.addresses]
    return [ip_network(destination)]


def _more_specific(
    networks: list[IPv4Network | IPv6Network],
) -> Iterator[IPv4Network | IPv6Network]:
    """The same addresses in routes that come before those of the whole networks."""
    for each in networks:
        if each.prefixlen < each.max_prefixlen:
            yield from each.subnets(1)
        else:
            yield each


@dataclass(frozen=True, slots=True)
class Remembered:
    """The addresses and routes of an interface, as pyroute2 adds them."""

    addresses: tuple[Mapping[str, Any], ...]
    routes: tuple[Mapping[str, Any], ...]


def remember(routes: IPRoute, index: int) -> Remembered:
    """What an interface loses when it goes down or away."""
    addresses = tuple(
        {
            "family": found["family"],
            "address": found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS"),
            "prefixlen": found["prefixlen"],
            **({"flags": _IFA_F_NODAD} if found["family"] == AF_INET6 else {}),
        }
        for found in routes.get_addr(index=index)
        if found["family"] in FAMILIES
    )
    kept = [
        _as_added(found)
        for family in FAMILIES
        for found in routes.get_routes(family=family)
        if found.get_attr("RTA_OIF") == index
        and found["proto"] != _PROTO_KERNEL
        and found["table"] != _TABLE_LOCAL
    ]
    return Remembered(addresses, tuple(kept))


def _as_added(found: Any) -> Mapping[str, Any]:
    length, target = found["dst_len"], found.get_attr("RTA_DST")
    family = found["family"]
    everywhere = "::" if family == AF_INET6 else "0.0.0.0"
    metrics = dict((found.get_attr("RTA_METRICS") or {"attrs": []})["attrs"])
    optional = {
        "gateway": found.get_attr("RTA_GATEWAY"),
        "priority": found.get_attr("RTA_PRIORITY"),
        "prefsrc": found.get_attr("RTA_PREFSRC"),
        "scope": found["scope"] or None,
        "metrics": {"mtu": metrics["RTAX_MTU"]} if "RTAX_MTU" in metrics else None,
    }
    return {
        "family": family,
        "dst": f"{target or everywhere}/{length}",
        **{name: value for name, value in optional.items() if value is not None},
    }


def restore(routes: IPRoute, index: int, kept: Remembered) -> None:
    """Give the interface ``index`` what :func:`remember` found and it has no more."""
    there = {found.get_attr("IFA_ADDRESS") for found in routes.get_addr(index=index)}
    for address in kept.addresses:
        if address["address"] not in there:
            routes.addr("add", index=index, **address)
    now = remember(routes, index).routes
    for route in kept.routes:
        if route not in now:
            routes.route("add", oif=index, **route)


def when_up(routes: IPRoute, index: int) -> None:
    """Wait until the kernel has noticed that an interface and its other end are up."""
    deadline = time.monotonic() + _READY_S
    while routes.get_links(index)[0].get_attr("IFLA_OPERSTATE") != "UP":
        if time.monotonic() > deadline:
            raise ScenarioFailed(f"an interface did not come up within {_READY_S:g} s")
        time.sleep(_LOOK_AGAIN_S)
