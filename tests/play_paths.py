"""The way of a play's packets through a lab: which interfaces see each, and where one is lost.

``lab routed`` puts a router between client and server, ``lab pair`` a link. Then every packet
passes all interfaces of its way, a microsecond apart, unless its line ends in brackets::

    #1 client:5000 > server:80 S 1000 [lost at router]      seen at router:eth0, and no further
    #1 client:5000 > server:80 S 1000 [lost at client]      it left, and nobody saw it again
    #2 server:80 > client:5000 S. 5000 ack 1 [comes +40ms]  as long on its last link
    #3 server:80 > client:5000 R. 0 ack 1 [made at router]  the router sends it in the server's name
    #4 client:5000 > server:80 P. (10) [copy]               seen at its receiver alone

``router > client icmp 3/1 quotes #1`` is the router's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from observatory.model import (
    Direction,
    Interface,
    Link,
    Node,
    Process,
    Segment,
    Sighting,
    Topology,
)

HOP_NS = 1_000
UNITS_NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
WAY = re.compile(r"\s*\[(?P<way>[^\]]+)\]")
_LOST = re.compile(r"lost at (?P<host>\w+)")
_COMES = re.compile(r"comes \+(?P<count>\d+)(?P<unit>us|ms|s)")
_MADE = re.compile(r"made at (?P<host>\w+)")

LABS = {
    "pair": Topology(
        "pair",
        (
            Node("client", False, (("eth0", "10.0.0.1/24"),)),
            Node("server", False, (("eth0", "10.0.0.2/24"),)),
        ),
        (Link((("client", "eth0"), ("server", "eth0"))),),
    ),
    "routed": Topology(
        "routed",
        (
            Node("client", False, (("eth0", "10.0.0.1/24"),)),
            Node("router", True, (("eth0", "10.0.0.254/24"), ("eth1", "10.0.0.253/24"))),
            Node("server", False, (("eth0", "10.0.0.2/24"),)),
        ),
        (
            Link((("client", "eth0"), ("router", "eth0"))),
            Link((("router", "eth1"), ("server", "eth0"))),
        ),
    ),
}
ROUTER = "10.0.0.254"


def interfaces(lab: Topology, dropped: int) -> tuple[Interface, ...]:
    """All of a lab's interfaces; those of the first host dropped packets."""
    ends = [end for link in lab.links for end in link.ends]
    lost = [dropped] + [0] * (len(ends) - 1)
    return tuple(
        Interface(f"{host}:{device}", 1, 0, None, count, host)
        for (host, device), count in zip(ends, lost, strict=True)
    )


def placed(processes: Iterable[Process], lab: Topology | None) -> tuple[Process, ...]:
    """Processes on the hosts that their roles name: ``server.1`` on ``server``."""
    hosts = {node.name for node in lab.nodes} if lab else set()
    return tuple(
        replace(process, host=host) if (host := process.role.split(".")[0]) in hosts else process
        for process in processes
    )


def seen(segment: Segment, lab: Topology, way: str) -> Segment:
    """The segment with its sightings. Raises ValueError for a way that is none."""
    sightings = _whole_way(segment, lab)
    lost, comes, made = _LOST.fullmatch(way), _COMES.fullmatch(way), _MADE.fullmatch(way)
    ends = [host for link in lab.links for host, _ in link.ends]
    if lost:
        arriving = [n for n, one in enumerate(sightings) if ends[one.interface] == lost["host"]]
        sightings = sightings[: arriving[0] + 1]
    elif made:
        leaving = [n for n, one in enumerate(sightings) if ends[one.interface] == made["host"]]
        sightings = sightings[leaving[-1] :]
    elif comes:
        delay = int(comes["count"]) * UNITS_NS[comes["unit"]]
        last = sightings[-1]
        sightings = [*sightings[:-1], replace(last, time_ns=segment.time_ns + delay)]
    elif way == "copy":
        sightings = sightings[-1:]
    elif way:
        raise ValueError(f"{way!r} is no way of a packet")
    first = sightings[0]
    return replace(segment, interface=first.interface, sightings=tuple(sightings))


def _whole_way(segment: Segment, lab: Topology) -> list[Sighting]:
    """All interfaces from the sender's host to the receiver's, or to where the lab ends."""
    hosts = {
        address.partition("/")[0]: node.name for node in lab.nodes for _, address in node.addresses
    }
    order = [node.name for node in lab.nodes]
    src = order.index(hosts[segment.src.address])
    to = hosts.get(segment.dst.address)
    dst = order.index(to) if to else len(order) - 1
    links = list(enumerate(lab.links))[min(src, dst) : max(src, dst)]
    places = [(2 * n, 2 * n + 1) for n, _ in links]
    if src > dst:
        places = [(far, near) for near, far in reversed(places)]
    found = []
    for hop, (out, into) in enumerate(places):
        at = segment.time_ns + 2 * hop * HOP_NS
        found.append(Sighting(out, at, Direction.OUTBOUND))
        found.append(Sighting(into, at + HOP_NS, Direction.INBOUND))
    return found
