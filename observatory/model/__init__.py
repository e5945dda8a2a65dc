"""What was observed and what was concluded: frozen values, standard library only.

Times are integer nanoseconds of CLOCK_REALTIME. Ids of calls, segments, connections and
sockets are small integers that count from 1 within one trace.

Each module is loaded when the first of its names is asked for (PEP 562): the commands that observe
nothing need few of them, and making a dataclass takes half a millisecond.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observatory.model.addresses import Address, Endpoint, UnixAddress, parse_address
    from observatory.model.calls import Call, Process, Site
    from observatory.model.conclusions import (
        Analysis,
        AttributedSegment,
        Cause,
        CauseKind,
        Confidence,
        Connection,
        Coverage,
        Difference,
        Evidence,
        ExplainedCall,
        Explanation,
        PlacedEvent,
        Socket,
        Testimony,
        Verdict,
    )
    from observatory.model.segments import (
        Direction,
        Frame,
        Icmp,
        Protocol,
        Segment,
        Sighting,
        TcpOptions,
    )
    from observatory.model.topology import Link, Node, Topology
    from observatory.model.trace import Counter, Interface, KernelEvent, RunHeader, Trace, Witness

__all__ = [
    "Address",
    "Analysis",
    "AttributedSegment",
    "Call",
    "Cause",
    "CauseKind",
    "Confidence",
    "Connection",
    "Counter",
    "Coverage",
    "Difference",
    "Direction",
    "Endpoint",
    "Evidence",
    "ExplainedCall",
    "Explanation",
    "Frame",
    "Icmp",
    "Interface",
    "KernelEvent",
    "Link",
    "Node",
    "PlacedEvent",
    "Process",
    "Protocol",
    "RunHeader",
    "Segment",
    "Sighting",
    "Site",
    "Socket",
    "TcpOptions",
    "Testimony",
    "Topology",
    "Trace",
    "UnixAddress",
    "Verdict",
    "Witness",
    "parse_address",
]

_MODULES = {
    "addresses": (
        "Address",
        "Endpoint",
        "UnixAddress",
        "parse_address",
    ),
    "calls": (
        "Call",
        "Process",
        "Site",
    ),
    "conclusions": (
        "Analysis",
        "AttributedSegment",
        "Cause",
        "CauseKind",
        "Confidence",
        "Connection",
        "Coverage",
        "Difference",
        "Evidence",
        "ExplainedCall",
        "Explanation",
        "PlacedEvent",
        "Socket",
        "Testimony",
        "Verdict",
    ),
    "segments": (
        "Direction",
        "Frame",
        "Icmp",
        "Protocol",
        "Segment",
        "Sighting",
        "TcpOptions",
    ),
    "topology": (
        "Link",
        "Node",
        "Topology",
    ),
    "trace": (
        "Counter",
        "Interface",
        "KernelEvent",
        "RunHeader",
        "Trace",
        "Witness",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # not to be asked for again
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
