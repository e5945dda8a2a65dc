"""Which parts of a lab can be had here, found by building a small one in a process that ends at
once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from observatory.errors import ObservatoryError
from observatory.lab.probe import in_a_child

if TYPE_CHECKING:
    from observatory.lab.network import Network


class Part(StrEnum):
    """What a lab is made of."""

    SETTINGS = "settings"
    LINKS = "links"
    FIREWALL = "firewall"
    NETEM = "netem"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class LabProbe:
    """``refused``: by part of a lab why it cannot be had. ``error`` is why none was tried."""

    refused: Mapping[str, str]
    error: str = ""


def probe_lab() -> LabProbe:
    """Build two hosts and a link, put a fault of each kind in force: some 0.2 s."""
    return LabProbe(**in_a_child(lambda: asdict(_try()), lambda error: {"refused": {}, **error}))


def _try() -> LabProbe:
    from observatory.lab.namespace import enter_private_network
    from observatory.lab.network import build
    from observatory.lab.topology import PAIR

    try:
        enter_private_network()
    except ObservatoryError as refusal:
        return LabProbe({}, str(refusal))
    refused = dict(_refusals({Part.SETTINGS: _set}))
    try:
        network = build(PAIR)
    except ObservatoryError as refusal:
        return LabProbe({Part.LINKS: str(refusal), **refused})
    with network:
        trials = {
            Part.FIREWALL: lambda: _drop(network),
            Part.NETEM: lambda: _delay(network),
            Part.RELAY: lambda: _relay(network),
        }
        return LabProbe({**refused, **dict(_refusals(trials))})


def _refusals(trials: Mapping[Part, Callable[[], None]]) -> Iterator[tuple[str, str]]:
    for part, work in trials.items():
        try:
            work()
        except (ObservatoryError, OSError) as refusal:
            yield part, str(refusal)


def _set() -> None:
    from observatory.lab.namespace import write_settings

    write_settings({"net.ipv4.tcp_syn_retries": "5"})


def _drop(network: Network) -> None:
    from observatory.lab import force
    from observatory.lab.faults import Drop, Reject

    for fault in (Drop(at="server", first=1), Reject(at="server")):
        force.put(fault, network)
        force.mend(fault, network)


def _delay(network: Network) -> None:
    from observatory.errors import MissingTool
    from observatory.lab import faults_netem

    if not faults_netem.available(network):
        raise MissingTool("the kernel has no netem")


def _relay(network: Network) -> None:
    from observatory.lab import force
    from observatory.lab.faults import Delay, Relayed

    link = ("client", "server")
    fault = Delay(link, 1_000_000, first=1)
    force.prepare((Relayed(link), fault), network)
    force.put(fault, network)
    force.mend(fault, network)
