"""What analysis concluded: causes, completions, explanations, connections, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module

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
    """What put a segment on the wire. ``path``: nobody at either end, but what lies between them
    (it duplicates a packet, or answers in another's name)."""

    CALL = "call"
    REPLY = "reply"
    TIMER = "timer"
    PATH = "path"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What the kernel's own events say of a conclusion. ``silent``: it was asked, and nothing it
    said speaks of this one."""

    AGREED = "agreed"
    CONTRADICTED = "contradicted"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a segment was sent. ``call`` is the API call it goes back to, ``segment`` the segment
    it answers or repeats; ``reason`` a short phrase. ``mechanism`` names how a RST came about: a
    row of the evidence table (docs/kernel-evidence.md), empty for other segments."""

    kind: CauseKind
    reason: str
    confidence: Confidence
    call: int | None = None
    segment: int | None = None
    mechanism: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The ids that a conclusion rests on."""

    segments: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the kernel said of one conclusion. ``row`` names the row of the evidence table that
    says what it should have said, ``said`` is that in a phrase (``RST sent, reason NO_SOCKET``;
    empty where it was silent), ``events`` are the ids of the events."""

    verdict: Verdict
    row: str
    said: str = ""
    events: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A conclusion of ours that the kernel contradicts: what we say, what it says, and the ids of
    both sides' evidence. ``subject`` is what it is about (``RST #4``, ``connection 1, client``)."""

    subject: str
    ours: str
    kernels: str
    segments: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
    connections: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """A kernel event and what it speaks of: a connection, which of its ends (``client``,
    ``server``, empty if not known), and the segment. ``during`` is the call that its thread was in
    at that moment: not the cause of it, on loopback often a call of the other side. ``said`` is
    the event in a phrase."""

    event: int
    said: str = ""
    connection: int | None = None
    end: str = ""
    segment: int | None = None
    during: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a call returned what it did. ``rule`` names the row of the rule table, ``reference``
    where the behaviour is specified or documented. ``plain`` marks ordinary success, which the
    report's Why section leaves out. ``facts`` are what the rule's text was filled with, by name:
    with them it can be said in another language."""

    text: str
    rule: str
    confidence: Confidence
    evidence: Evidence = Evidence()
    reference: str = ""
    plain: bool = False
    facts: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ExplainedCall:
    """A call with the segments it sent, those sent again for it, and those that completed it.
    ``kernel`` is None where the kernel was not asked, or has no event for such a call."""

    call: Call
    socket: int | None
    connection: int | None
    sent: tuple[int, ...]
    retransmitted: tuple[int, ...]
    completed_by: tuple[int, ...]
    explanation: Explanation
    kernel: Testimony | None = None


@dataclass(frozen=True, slots=True)
class AttributedSegment:
    """A segment with its cause and the calls it completed.

    ``relative_seq`` and ``relative_ack`` count from the ISN (SYN is 0), None when not TCP.
    ``src_pid`` and ``dst_pid`` are the processes whose sockets sent and received it, where known.
    ``quotes`` is the id of the segment that an ICMP error quotes; ``carries`` are all calls whose
    SYN, bytes or FIN the segment carries, of which ``cause.call`` is the first. ``kernel`` is what
    the kernel said of its cause, None where it was not asked or has no event for such a segment;
    ``kernel_reason`` is the reason it gave for a RST (``NO_SOCKET``) or for dropping the segment.
    ``fate`` says what became of a SYN without an answer. ``lost_after`` is the interface that saw
    a segment last (``router:eth0``) which never came to its receiver; empty where that is not
    known, as in a trace that sees the wire from one place.
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
    kernel: Testimony | None = None
    kernel_reason: str = ""
    fate: str = ""
    lost_after: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """One incarnation of a four-tuple.

    ``opened`` and ``closed`` are phrases (``active open by connect() #4``, ``orderly``,
    ``aborted by server``). ``client_states`` and ``server_states`` are RFC 9293's names in order,
    as segments and calls show them; ``client_kernel`` and ``server_kernel`` those that the kernel
    said its sockets went through, empty where it said nothing. ``peculiarities`` say why the two
    need not be the same word for word.
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
    client_kernel: tuple[str, ...] = ()
    server_kernel: tuple[str, ...] = ()
    peculiarities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Socket:
    """The life of one API object: made by ``created_by``, gone with ``closed_by``, the call
    that gave up its last descriptor (close, exit, exec, dup2). ``kernel`` are the states that the
    kernel said a listening socket went through."""

    id: int
    family: str
    type: str
    created_by: int | None
    closed_by: int | None
    local: Address | None
    peer: Address | None
    pids: tuple[int, ...]
    kernel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the trace is explained. ``agreed``, ``contradicted`` and ``silent`` count the
    conclusions that the kernel was asked about (0 where it was not)."""

    calls: int
    calls_explained: int
    segments: int
    segments_attributed: int
    uncertain: int
    dropped: int
    agreed: int = 0
    contradicted: int = 0
    silent: int = 0


@dataclass(frozen=True, slots=True)
class Analysis:
    """The whole conclusion over a trace, which it never edits. ``kernel`` places each of the
    trace's kernel events, ``differences`` are where the kernel contradicts us. ``language`` is
    that of its sentences and phrases: analysis speaks English (``en``)."""

    trace: Trace
    calls: tuple[ExplainedCall, ...]
    segments: tuple[AttributedSegment, ...]
    connections: tuple[Connection, ...]
    sockets: tuple[Socket, ...]
    coverage: Coverage
    notes: tuple[str, ...] = field(default=())
    kernel: tuple[PlacedEvent, ...] = ()
    differences: tuple[Difference, ...] = ()
    language: str = "en"

    def _repr_html_(self) -> str:
        """This run's page, as Jupyter shows it: in a frame of its own."""
        # The model imports nothing outward; a notebook that asks for a picture gets it here.
        framed: str = import_module("observatory.pages").framed(self)
        return framed
