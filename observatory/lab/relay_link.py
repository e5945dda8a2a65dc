"""A link of the lab laid anew, through a relay: the same interfaces, addresses and routes at its
ends, and the relay between them.

It is for a lab in which nothing goes on yet: a capture that is open on the old interfaces, or a
connection over them, does not live through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.errors import UsageError
from observatory.lab import offload
from observatory.lab.faults import Ends
from observatory.lab.faults_routes import remember, restore, when_up
from observatory.lab.relay import LEFT, NAME, RIGHT, Relay
from observatory.lab.topology import Cable

if TYPE_CHECKING:
    from observatory.lab.network import Network

_FIRST_INDEX = 1000
"""As in ``network``: both ends of a pair should not have the same number."""
_LARGEST_MTU = 65535


def lay(link: Ends, network: Network) -> Relay:
    """Let a relay carry the link between two nodes; the one that does already, if any."""
    both = frozenset(link)
    if both not in network.wires:
        network.wires[both] = _lay(cable_between(link, network), network)
    return network.wires[both]


def cable_between(link: Ends, network: Network) -> Cable:
    """The cable between two nodes. Raises UsageError if there is none."""
    for cable in network.plan.cables:
        if {end.host for end in cable.ends} == set(link):
            return cable
    raise UsageError(f"the lab {network.plan.name} has no cable between {' and '.join(link)}")


def _lay(cable: Cable, network: Network) -> Relay:
    from pyroute2 import IPRoute

    kept = {}
    for end in cable.ends:
        routes = network.routes(end.host)
        kept[end] = remember(routes, network.index(end.host, end.device))
    first = cable.ends[0]
    network.routes(first.host).link("del", index=network.index(first.host, first.device))

    one, other = (end.host for end in cable.ends)
    relay = Relay.start((one, other), network.spawn)
    network.at_end(relay.close)
    number = _FIRST_INDEX + network.plan.cables.index(cable)
    with IPRoute() as links:
        for end, far in zip(cable.ends, (LEFT, RIGHT), strict=True):
            links.link(
                "add",
                kind="veth",
                index=number,
                ifname=end.device,
                mtu=cable.mtu,
                net_ns_fd=network.namespace_of(end.host),
                peer={"ifname": far, "net_ns_pid": relay.pid, "mtu": _LARGEST_MTU},
            )
    relay.attach()
    for end in cable.ends:
        with network.enter(end.host):
            offload.switch_off(end.device)
        network.routes(end.host).link(
            "set", index=number, state="up", gso_max_segs=offload.SEGMENTS_AT_ONCE
        )
        network.carry(end.host, end.device, NAME)
    for end in cable.ends:
        when_up(network.routes(end.host), number)
        restore(network.routes(end.host), number, kept[end])
    return relay
