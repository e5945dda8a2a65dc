"""The lab's network in a run file: its hosts and links, and whose interface saw a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from observatory.codec import fields
from observatory.codec.fields import BadRecord
from observatory.model.topology import Link, Node, Topology
from observatory.model.trace import Interface


def topology_record(topology: Topology) -> dict[str, object]:
    """All of a topology."""
    return {
        "name": topology.name,
        "nodes": [
            {
                "name": node.name,
                "router": node.router,
                "addresses": [list(pair) for pair in node.addresses],
            }
            for node in topology.nodes
        ],
        "links": [
            {"ends": [list(end) for end in link.ends], "relay": link.relay}
            for link in topology.links
        ],
        "faults": list(topology.faults),
    }


def read_topology(run: Mapping[str, Any]) -> Topology | None:
    """The topology that stands in a run's record, None where there is none. Raises BadRecord."""
    if run.get("topology") is None:
        return None
    record = fields.mapping(run, "topology")
    return Topology(
        name=fields.string(record, "name"),
        nodes=tuple(_node(node) for node in fields.mappings(record, "nodes")),
        links=tuple(_link(link) for link in fields.mappings(record, "links")),
        faults=fields.strings(record, "faults"),
    )


def with_hosts(interfaces: Sequence[Interface], topology: Topology | None) -> list[Interface]:
    """The interfaces, each with the host that stands before the colon in its name."""
    hosts = {node.name for node in topology.nodes} if topology else set()
    return [
        replace(interface, host=host) if (host := _host(interface.name)) in hosts else interface
        for interface in interfaces
    ]


def _host(name: str) -> str:
    host, colon, _ = name.partition(":")
    return host if colon else ""


def _node(record: Mapping[str, Any]) -> Node:
    return Node(
        name=fields.string(record, "name"),
        router=fields.truth(record, "router"),
        addresses=tuple(_pairs(record, "addresses")),
    )


def _link(record: Mapping[str, Any]) -> Link:
    match list(_pairs(record, "ends")):
        case [one, other]:
            return Link((one, other), fields.string(record, "relay"))
    raise BadRecord("ends")


def _pairs(record: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    match record.get(name):
        case [*items]:
            return [_pair(item, name) for item in items]
    raise BadRecord(name)


def _pair(value: Any, name: str) -> tuple[str, str]:
    match value:
        case [str(one), str(other)]:
            return one, other
    raise BadRecord(name)
