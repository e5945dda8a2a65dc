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
    Evidence,
    ExplainedCall,
    Explanation,
    Socket,
)
from observatory.model.segments import Direction, Frame, Icmp, Protocol, Segment, TcpOptions
from observatory.model.trace import Interface, KernelEvent, RunHeader, Trace

__all__ = [
    "Address",
    "Analysis",
    "AttributedSegment",
    "Call",
    "Cause",
    "CauseKind",
    "Confidence",
    "Connection",
    "Coverage",
    "Direction",
    "Endpoint",
    "Evidence",
    "ExplainedCall",
    "Explanation",
    "Frame",
    "Icmp",
    "Interface",
    "KernelEvent",
    "Process",
    "Protocol",
    "RunHeader",
    "Segment",
    "Site",
    "Socket",
    "TcpOptions",
    "Trace",
    "UnixAddress",
    "parse_address",
]
