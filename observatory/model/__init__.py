"""What was observed and what was concluded: frozen values, standard library only.

Times are integer nanoseconds of CLOCK_REALTIME. Ids of calls, segments, connections and
sockets are small integers that count from 1 within one trace.
"""

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
