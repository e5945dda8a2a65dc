"""The shape of the JSON document, field for field, in the order it is printed.

docs/document.schema.json is generated from these dataclasses (``python -m
observatory.codec.document > docs/document.schema.json``). Fields are only ever added within
``observatory/1``; a reader ignores the ones it does not know. Times are integer nanoseconds of
CLOCK_REALTIME, ids count from 1 within one document.

Unlike the model these are not frozen: they live only to be encoded, and a document of 100,000
segments is made in half the time. What there is one of for each segment is a Struct, in half the
time again, and holds the model's enumerations as they are: msgspec writes their values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec import Struct

from observatory.codec.document_kernel import DifferenceEntry, KernelEntry, TestimonyEntry
from observatory.model import CauseKind, Confidence, Direction, Protocol

SCHEMA: Final = "observatory/1"

ConfidenceText = Literal["certain", "likely", "unexplained"]


@dataclass(slots=True)
class InterfaceEntry:
    """A capturing interface; captured and dropped are packets, null where not known. host is
    the lab's host or router that has it, empty where there is one host only."""

    name: str
    captured: int | None
    dropped: int | None
    host: str


@dataclass(slots=True)
class SourcesEntry:
    """What observed each part (journal, capture, file, …), null where nothing did."""

    calls: str | None
    segments: str | None
    kernel: str | None


@dataclass(slots=True)
class AddressEntry:
    """An address with the length of its prefix (192.0.2.1/24) and the interface that has it."""

    interface: str
    address: str


@dataclass(slots=True)
class NodeEntry:
    """A host or router of the lab."""

    name: str
    router: bool
    addresses: list[AddressEntry]


@dataclass(slots=True)
class LinkEntry:
    """A link between two interfaces, each as HOST:INTERFACE. relay names what carries the
    packets where it is not the wire itself."""

    ends: list[str]
    relay: str


@dataclass(slots=True)
class TopologyEntry:
    """The lab's network; faults are sentences about what was done to the path, in order."""

    name: str
    nodes: list[NodeEntry]
    links: list[LinkEntry]
    faults: list[str]


@dataclass(slots=True)
class CounterEntry:
    """A counter of the kernel (TcpExt.ListenOverflows) before and after the run. exact says that
    nobody else was counted; host is the lab's host, empty where there is one only."""

    name: str
    host: str
    before: int
    after: int
    exact: bool


@dataclass(slots=True)
class WitnessEntry:
    """What was asked of the kernel's tracepoints: the events watched, those that this kernel
    lacks (each with what it costs), how many were lost, and how many of others were left out."""

    watched: list[str]
    missing: list[str]
    lost: int
    foreign: int


@dataclass(slots=True)
class RunEntry:
    """What was run, where and how it was seen. Everything is null for a foreign capture.
    settings are the kernel settings in force that matter; defects are sentences about what is
    known to be missing or damaged; notes are the analysis's remarks on the whole. topology is
    null where the run took place on one host; counters are those of the kernel's that changed;
    witness is null where its tracepoints were not watched, and unwatched then says why. language
    is that of the document's sentences and phrases (en)."""

    scenario: str | None
    command: str | None
    kernel: str | None
    started_ns: int | None
    interfaces: list[InterfaceEntry]
    sources: SourcesEntry
    capture_method: str | None
    version: str | None
    settings: dict[str, str]
    defects: list[str]
    notes: list[str]
    topology: TopologyEntry | None
    counters: list[CounterEntry]
    witness: WitnessEntry | None
    unwatched: str
    language: str


@dataclass(slots=True)
class ProcessEntry:
    """A process; role is its name in the report. ended_ns, and exit status or signal, where its
    end was observed. host is the lab's host that it ran on, empty where there is one only."""

    pid: int
    parent: int | None
    command: str
    role: str
    ended_ns: int | None
    status: int | None
    signal: str | None
    host: str


@dataclass(slots=True)
class EvidenceEntry:
    """The ids that a conclusion rests on."""

    segments: list[int]
    calls: list[int]
    kernel: list[int]


@dataclass(slots=True)
class ExplanationEntry:
    """Why a call returned what it did. rule names the row of the rule table; plain marks
    ordinary success."""

    text: str
    rule: str
    confidence: ConfidenceText
    evidence: EvidenceEntry
    reference: str
    plain: bool


@dataclass(slots=True)
class CallEntry:
    """An API call. text is the call as strace prints it; errno the symbolic name or null;
    result and returned_ns are null if it never returned. sent are the segments it put on the
    wire, retransmitted those sent again for it, completed_by the arrivals without which it would
    not have returned what it did. local and peer are what getsockname and getpeername said right
    after it, site the file:line it was made at. asked is what else the kernel was asked about the
    socket, before and after the call."""

    id: int
    name: str
    pid: int
    tid: int
    fd: int | None
    socket: int | None
    connection: int | None
    args: dict[str, Any]
    text: str
    result: int | None
    errno: str | None
    entered_ns: int
    returned_ns: int | None
    sent: list[int]
    retransmitted: list[int]
    completed_by: list[int]
    explanation: ExplanationEntry
    local: str | None
    peer: str | None
    site: str | None
    asked: dict[str, Any]
    kernel: TestimonyEntry | None


class CauseEntry(Struct, gc=False):
    """What put a segment on the wire: call the id of the API call it goes back to, segment the
    id of the segment it answers or repeats; mechanism how a RST came about, a row of the evidence
    table (docs/kernel-evidence.md), else empty."""

    kind: CauseKind
    call: int | None
    segment: int | None
    reason: str
    confidence: Confidence
    mechanism: str


@dataclass(slots=True)
class IcmpEntry:
    """An ICMP message; quotes is the id of the segment whose head it quotes."""

    type: int
    code: int
    quotes: int | None


class SightingEntry(Struct, gc=False):
    """A packet as one of the interfaces on its path saw it."""

    interface: str | None
    time_ns: int
    direction: Direction


class SegmentEntry(Struct, gc=False):
    """A TCP segment, UDP datagram or ICMP message. flags are letters in the order S F R P A U E
    C; seq, ack and window are as on the wire (unscaled), the relative ones count from the ISN;
    all null where the protocol has none. length is payload bytes. completes are the calls that
    returned because of it, carries those whose SYN, bytes or FIN it carries (cause.call is the
    first of them); src_pid and dst_pid the processes whose sockets sent and received it, where
    known. sightings are all the interfaces that saw it, in order of time, of which time_ns and
    interface are the first; empty where one place sees the wire.
    kernel is what the kernel's events say of the cause, null where they were not asked or there is
    none for such a segment; kernel_reason the reason that the kernel gave for a RST, or for
    dropping the segment; fate what became of a SYN without an answer; lost_after the interface
    that saw a segment last which never came to its receiver, empty where that is not known."""

    id: int
    time_ns: int
    interface: str | None
    protocol: Protocol
    src: str
    dst: str
    flags: str
    seq: int | None
    ack: int | None
    relative_seq: int | None
    relative_ack: int | None
    length: int
    window: int | None
    connection: int | None
    icmp: IcmpEntry | None
    cause: CauseEntry
    completes: list[int]
    carries: list[int]
    retransmission: bool
    src_pid: int | None
    dst_pid: int | None
    sightings: list[SightingEntry]
    kernel: TestimonyEntry | None
    kernel_reason: str
    fate: str
    lost_after: str


@dataclass(slots=True)
class StatesEntry:
    """The states each end went through, in RFC 9293's names."""

    client: list[str]
    server: list[str]


@dataclass(slots=True)
class ScalesEntry:
    """How often to double the window that each end advertises in segments without SYN (RFC 7323);
    null where the SYNs do not tell."""

    client: int | None
    server: int | None


@dataclass(slots=True)
class ConnectionEntry:
    """One incarnation of a four-tuple; client_bytes and server_bytes are payload of each that came
    to the other end, complete says how much of its life was seen. kernel_states are the states that
    the kernel's events tell, empty where they tell none; peculiarities say why these need not be
    ours word for word."""

    id: int
    client: str
    server: str
    opened: str
    closed: str
    states: StatesEntry
    segments: list[int]
    calls: list[int]
    client_bytes: int
    server_bytes: int
    retransmissions: int
    complete: str
    window_scale: ScalesEntry
    kernel_states: StatesEntry
    peculiarities: list[str]


@dataclass(slots=True)
class CoverageEntry:
    """How much of the trace is explained, and how many packets the capture lost. agreed,
    contradicted and silent count the conclusions that the kernel's events were asked about."""

    calls: int
    calls_explained: int
    segments: int
    segments_attributed: int
    uncertain: int
    dropped: int
    agreed: int
    contradicted: int
    silent: int


@dataclass(slots=True)
class SocketEntry:
    """The life of one socket: the calls that made it and gave up its last descriptor, its
    names, and the processes that held it. kernel are the states that the kernel's events tell of
    a listening socket."""

    id: int
    family: str
    type: str
    created_by: int | None
    closed_by: int | None
    local: str | None
    peer: str | None
    pids: list[int]
    kernel: list[str]


@dataclass(slots=True)
class Document:
    """One run, observed and explained."""

    schema: Literal["observatory/1"]
    run: RunEntry
    processes: list[ProcessEntry]
    calls: list[CallEntry]
    segments: list[SegmentEntry]
    connections: list[ConnectionEntry]
    kernel: list[KernelEntry]
    coverage: CoverageEntry
    sockets: list[SocketEntry]
    differences: list[DifferenceEntry]
