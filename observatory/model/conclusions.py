"""What analysis concluded: causes, completions, explanations, connections, coverage."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from observatory.model.addresses import Address, Endpoint
from observatory.model.calls import Call
from observatory.model.segments import Segment
from observatory.model.trace import Trace


class Confidence(StrEnum):
    """How sure a conclusion is. A wrong ``certain`` is the worst bug there can be."""

    CERTAIN = "certain"
    LIKELY = "likely"
    UNEXPLAINED = "unexplained"


class CauseKind(StrEnum):
    """What put a segment on the wire."""

    CALL = "call"
    REPLY = "reply"
    TIMER = "timer"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a segment was sent. ``call`` is the API call it goes back to, ``segment`` the segment
    it answers or repeats; ``reason`` a short phrase."""

    kind: CauseKind
    reason: str
    confidence: Confidence
    call: int | None = None
    segment: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The ids that a conclusion rests on."""

    segments: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a call returned what it did. ``rule`` names the row of the rule table, ``reference``
    where the behaviour is specified or documented. ``plain`` marks ordinary success, which the
    report's Why section leaves out."""

    text: str
    rule: str
    confidence: Confidence
    evidence: Evidence = Evidence()
    reference: str = ""
    plain: bool = False


@dataclass(frozen=True, slots=True)
class ExplainedCall:
    """A call with the segments it sent, those sent again for it, and those that completed it."""

    call: Call
    socket: int | None
    connection: int | None
    sent: tuple[int, ...]
    retransmitted: tuple[int, ...]
    completed_by: tuple[int, ...]
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class AttributedSegment:
    """A segment with its cause and the calls it completed.

    ``relative_seq`` and ``relative_ack`` count from the ISN (SYN is 0), None when not TCP.
    ``src_pid`` and ``dst_pid`` are the processes whose sockets sent and received it, where known.
    ``quotes`` is the id of the segment that an ICMP error quotes; ``carries`` are all calls whose
    SYN, bytes or FIN the segment carries, of which ``cause.call`` is the first.
    """

    segment: Segment
    connection: int | None
    cause: Cause
    completes: tuple[int, ...] = ()
    relative_seq: int | None = None
    relative_ack: int | None = None
    retransmission: bool = False
    src_pid: int | None = None
    dst_pid: int | None = None
    quotes: int | None = None
    carries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """One incarnation of a four-tuple.

    ``opened`` and ``closed`` are phrases (``active open by connect() #4``, ``orderly``,
    ``aborted by server``). ``client_states`` and ``server_states`` are RFC 9293's names in order.
    """

    id: int
    client: Endpoint
    server: Endpoint
    opened: str
    closed: str
    client_states: tuple[str, ...]
    server_states: tuple[str, ...]
    segments: tuple[int, ...]
    calls: tuple[int, ...]
    client_bytes: int = 0
    server_bytes: int = 0
    retransmissions: int = 0
    complete: str = ""


@dataclass(frozen=True, slots=True)
class Socket:
    """The life of one API object: made by ``created_by``, gone with ``closed_by``, the call
    that gave up its last descriptor (close, exit, exec, dup2)."""

    id: int
    family: str
    type: str
    created_by: int | None
    closed_by: int | None
    local: Address | None
    peer: Address | None
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the trace is explained."""

    calls: int
    calls_explained: int
    segments: int
    segments_attributed: int
    uncertain: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """The whole conclusion over a trace, which it never edits."""

    trace: Trace
    calls: tuple[ExplainedCall, ...]
    segments: tuple[AttributedSegment, ...]
    connections: tuple[Connection, ...]
    sockets: tuple[Socket, ...]
    coverage: Coverage
    notes: tuple[str, ...] = field(default=())
