"""The lab's network: hosts and routers, and the links between them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A host or router of the lab: a network namespace. ``addresses`` are by interface, as
    ``("eth0", "192.0.2.1/24")``."""

    name: str
    router: bool = False
    addresses: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two interfaces, each as (node, interface). ``relay`` names what carries the
    packets where it is not the wire itself (``netem``, ``user-space relay``)."""

    ends: tuple[tuple[str, str], tuple[str, str]]
    relay: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """Where a run took place. ``faults`` are sentences about what was done to the path, in the
    order it was done."""

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    faults: tuple[str, ...] = ()
