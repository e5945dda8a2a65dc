"""The lab: what of it can be had here, and what each lack costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from observatory.doctor.system import Finding, Status, System
from observatory.lab.probe_lab import Part


@dataclass(frozen=True, slots=True)
class Use:
    """What a part of the lab is for, what it costs where it cannot be had, and what mends it.
    ``replaced``: another part does its work."""

    has: str
    cost: str
    mend: str
    replaced: bool = False


USES: Mapping[Part, Use] = {
    Part.SETTINGS: Use(
        "a private network has its own kernel settings",
        "behaviours that change one cannot be run",
        "run it where /proc/sys is writable (docker run --privileged …)",
    ),
    Part.LINKS: Use(
        "hosts with links between them (veth)",
        "behaviours on a path of several hosts cannot be run, and no fault put on it",
        "sudo modprobe veth",
    ),
    Part.FIREWALL: Use(
        "packets dropped and rejected on the path (nft)",
        "behaviours whose packets a router drops or rejects cannot be run",
        "sudo apt-get install nftables && sudo modprobe nf_tables",
    ),
    Part.NETEM: Use(
        "whole links delayed by the kernel (netem)",
        "the relay delays packets in its place, and adds some 40 µs to a round trip",
        "sudo modprobe sch_netem",
        replaced=True,
    ),
    Part.RELAY: Use(
        "chosen packets of a link delayed, lost, doubled and reordered (relay)",
        "behaviours that lose, double or reorder packets on a link cannot be run",
        "sudo observatory run NAME",
    ),
}


def check_lab(system: System) -> Iterator[Finding]:
    """The parts of a lab are tried, as a run would use them. Without a private network, which has
    a finding of its own, there is none to try."""
    probe = system.probe_lab()
    if probe.error:
        return
    for part, use in USES.items():
        name = f"lab {part}"
        refused = probe.refused.get(part)
        if refused is None and Part.LINKS in probe.refused and part is not Part.SETTINGS:
            continue  # nothing to try it on
        if refused is None:
            yield Finding(name, Status.OK, use.has)
        else:
            status = Status.NOTE if use.replaced else Status.MISSING
            yield Finding(name, status, f"{use.cost} ({refused})", use.mend)
