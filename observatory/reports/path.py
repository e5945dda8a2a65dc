"""What was done to the lab's path: the faults, and what carried the packets instead of a wire."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.model import Trace
from observatory.reports.style import Look


def told(trace: Trace) -> Iterator[str]:
    """A sentence each: links that are no plain wires, then faults, in the order they were put."""
    topology = trace.run.topology
    if topology is None:
        return
    for link in topology.links:
        if link.relay:
            ends = " and ".join(f"{host}:{device}" for host, device in link.ends)
            yield f"between {ends} packets are carried by {link.relay}"
    yield from topology.faults


def path(trace: Trace, look: Look) -> list[str]:
    """The section's lines; empty where the path is as it was built."""
    sentences = list(told(trace))
    if not sentences:
        return []
    lines = [look.title("Path")]
    for sentence in sentences:
        lines += look.paragraph(f"· {look.text(sentence)}", "  ", "    ")
    return lines
