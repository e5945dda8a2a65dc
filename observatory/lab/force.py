"""Faults put in force on a built lab, and mended: each by the means that can do it.

::

    prepare(faults, network)            lays the links that need a relay, before anything goes on
    put(fault, network)                 from now on
    mend(fault, network)                no more; how many packets it hit
    hits(fault, network)                so far

==============  =====================================================================
drop, reject    nftables on the router or host (``faults_nft``)
link, routes    the kernel's own interfaces, routes and filters (``faults_routes``)
on the link     netem where the kernel has it and it can do it (``faults_netem``), else
                a relay (``relay``)
==============  =====================================================================

All is called in the process that built the lab, where it is single-threaded. The packets that are
on their way at the time may see the path before or after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from observatory.errors import ScenarioFailed, UsageError
from observatory.lab import faults_netem, faults_nft, faults_routes, relay_link
from observatory.lab.faults import Carried, Fault, Filter, Hook, Relayed, Routing

if TYPE_CHECKING:
    from observatory.lab.network import Network


@dataclass(frozen=True, slots=True)
class InForce:
    """A fault at work. Both give the number of packets it has hit, None where nobody counts."""

    hits: Callable[[], int | None]
    mend: Callable[[], int | None]


def prepare(faults: Iterable[Fault], network: Network) -> None:
    """Let relays carry the links of those ``faults`` that need one.

    For the time before the play: links that change now lose their interfaces for new ones.
    """
    for there in _by_link(faults).values():
        # netem can be one thing for all packets of an interface.
        fault, *more = there
        simple = isinstance(fault, Carried) and not more and faults_netem.parameters(fault)
        if not simple or not faults_netem.available(network):
            relay_link.lay(fault.link, network)


def _by_link(faults: Iterable[Fault]) -> dict[frozenset[str], list[Carried | Relayed]]:
    found: dict[frozenset[str], list[Carried | Relayed]] = {}
    for fault in faults:
        if isinstance(fault, Carried | Relayed):
            found.setdefault(frozenset(fault.link), []).append(fault)
    return found


def put(fault: Fault, network: Network) -> None:
    """Put ``fault`` in force; returns when it is.

    Raises ScenarioFailed where it is in force already or the kernel refuses it, MissingTool where
    nft is missing, UsageError where the lab has no such host or link.
    """
    if fault in network.in_force:
        raise ScenarioFailed(f"this is so already: {fault.sentence}")
    for kinds, putting in _MEANS:
        if isinstance(fault, kinds):
            network.in_force[fault] = putting(fault, network)


def mend(fault: Fault, network: Network) -> int | None:
    """Take ``fault`` away; how many packets it hit, None where nobody counts.

    Raises ScenarioFailed if it is not in force.
    """
    return _found(fault, network, forget=True).mend()


def hits(fault: Fault, network: Network) -> int | None:
    """How many packets ``fault`` has hit so far, None where nobody counts."""
    return _found(fault, network).hits()


def told(fault: Fault, hit: int | None) -> str:
    """The sentence about a fault after it: ``router drops every SYN: 3 packets``."""
    if hit is None:
        return fault.sentence
    return f"{fault.sentence}: {hit} packet{'' if hit == 1 else 's'}"


def _found(fault: Fault, network: Network, forget: bool = False) -> InForce:
    if fault not in network.in_force:
        raise ScenarioFailed(f"this is not so: {fault.sentence}")
    return network.in_force.pop(fault) if forget else network.in_force[fault]


def _put_filter(fault: Filter, network: Network) -> InForce:
    hook = fault.hook or (Hook.FORWARD if network.plan.host(fault.at).router else Hook.INPUT)
    place = network.namespace_of(fault.at)
    table = f"fault_{network.number()}"
    addresses = addresses_in(network)
    faults_nft.run_nft(faults_nft.ruleset(fault, table, hook, addresses), place)

    def counted() -> int:
        return faults_nft.hits(faults_nft.run_nft(faults_nft.question(table), place))

    def mended() -> int:
        faults_nft.run_nft(faults_nft.pause(table), place)
        hit = counted()
        faults_nft.run_nft(faults_nft.removal(table), place)
        return hit

    return InForce(counted, mended)


def _put_routing(fault: Routing, network: Network) -> InForce:
    undo = faults_routes.put_routing(fault, network)

    def mended() -> None:
        undo()

    return InForce(lambda: None, mended)


def _put_carried(fault: Carried, network: Network) -> InForce:
    if fault.towards not in ("", *fault.link):
        raise UsageError(f"{fault.towards} is no end of the link {' - '.join(fault.link)}")
    relay = network.wires.get(frozenset(fault.link))
    if relay is None:
        return _put_netem(fault, network)
    number = network.number()
    addresses = addresses_in(network)
    ends = (fault.match.source, fault.match.destination)
    relay.put(number, fault, {host: tuple(addresses(host)) for host in ends if host})
    return InForce(lambda: relay.hits(number), lambda: relay.mend(number))


def _put_netem(fault: Carried, network: Network) -> InForce:
    relay_link.cable_between(fault.link, network)
    if not (faults_netem.parameters(fault) and faults_netem.available(network)):
        raise ScenarioFailed(
            f"no relay carries the link, and nothing else can do this: {fault.sentence}. Have "
            f"Relayed({fault.link}) among the faults that are there from the beginning."
        )
    return InForce(lambda: None, faults_netem.put_netem(fault, network))


def _put_relayed(fault: Relayed, network: Network) -> InForce:
    if frozenset(fault.link) not in network.wires:
        raise ScenarioFailed(f"a link cannot be laid anew during a play: {fault.sentence}")
    return InForce(lambda: None, lambda: None)


def addresses_in(network: Network) -> Callable[[str], tuple[str, ...]]:
    """The addresses of a host of the lab by its name; an address is its own."""
    known: Mapping[str, tuple[str, ...]] = {
        host: tuple(str(one.ip) for end in network.plan.ends(host) for one in end.addresses)
        for host in network.plan.names
    }
    return lambda host: known.get(host, (host,))


_MEANS = (
    (get_args(Filter), _put_filter),
    (get_args(Routing), _put_routing),
    (get_args(Carried), _put_carried),
    ((Relayed,), _put_relayed),
)
