"""The JSON document: one run, observed and explained, as other programs read it.

Its shape is in document_shape.py. Endpoints print as ``127.0.0.1:80``, ``[::1]:80``,
``unix:/path``; an ICMP message has an address and no port. Import this where a
document is made, for it loads msgspec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from observatory.codec.calltext import call_text
from observatory.codec.document_kernel import (
    difference_entry,
    kernel_entries,
    testimony_entry,
)
from observatory.codec.document_shape import (
    SCHEMA,
    AddressEntry,
    CallEntry,
    CauseEntry,
    ConnectionEntry,
    CounterEntry,
    CoverageEntry,
    Document,
    EvidenceEntry,
    ExplanationEntry,
    IcmpEntry,
    InterfaceEntry,
    LinkEntry,
    NodeEntry,
    ProcessEntry,
    RunEntry,
    ScalesEntry,
    SegmentEntry,
    SightingEntry,
    SocketEntry,
    SourcesEntry,
    StatesEntry,
    TopologyEntry,
    WitnessEntry,
)
from observatory.codec.document_text import address, clean, mapping
from observatory.model import (
    Analysis,
    AttributedSegment,
    Connection,
    Counter,
    Coverage,
    Endpoint,
    ExplainedCall,
    Explanation,
    Process,
    Protocol,
    RunHeader,
    Sighting,
    Socket,
    Topology,
    Trace,
    Witness,
)

Scaling = dict[tuple[int | None, Endpoint], int | None]
"""The window scale option of a connection's SYN from an endpoint, None if it has none."""

TCP = Protocol.TCP  # looked up once: finding an enumeration's member takes longer than a field

SCHEMA_TITLE = "A run observed by socket-observatory"


def document(analysis: Analysis) -> dict[str, Any]:
    """The document as JSON values (dicts, lists, strings, integers, None)."""
    import msgspec

    built: dict[str, Any] = msgspec.to_builtins(entries(analysis))
    return built


def encode(analysis: Analysis, indent: int = 0) -> bytes:
    """The document as UTF-8 JSON on one line with a newline at its end, or indented."""
    import msgspec

    compact = msgspec.json.encode(entries(analysis))
    return (msgspec.json.format(compact, indent=indent) if indent else compact) + b"\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document."""
    import msgspec

    generated = msgspec.json.schema(Document)
    definitions = generated["$defs"]
    for definition in definitions.values():
        definition["description"] = " ".join(definition.get("description", "").split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA_TITLE,
        **generated,
    }


def entries(analysis: Analysis) -> Document:
    """The document as typed values."""
    trace = analysis.trace
    datagram_sockets = {s.id for s in analysis.sockets if "SOCK_DGRAM" in s.type}
    options = _scaling(analysis.segments)
    interfaces = [clean(interface.name) for interface in trace.interfaces]
    return Document(
        schema=SCHEMA,
        run=_run(trace, analysis.notes, analysis.language),
        processes=[_process(process) for process in trace.processes],
        calls=[_call(call, call.socket not in datagram_sockets) for call in analysis.calls],
        segments=[_segment(segment, interfaces) for segment in analysis.segments],
        connections=[_connection(each, options) for each in analysis.connections],
        kernel=list(kernel_entries(analysis)),
        coverage=_coverage(analysis.coverage),
        sockets=[_socket(socket) for socket in analysis.sockets],
        differences=[difference_entry(difference) for difference in analysis.differences],
    )


# --- Each part, from its model -----------------------------------------------------------------


def _run(trace: Trace, notes: Sequence[str], language: str) -> RunEntry:
    run: RunHeader = trace.run
    return RunEntry(
        scenario=_text(run.scenario),
        command=_text(run.command),
        kernel=_text(run.kernel),
        started_ns=run.started_ns,
        interfaces=[
            InterfaceEntry(clean(each.name), each.captured, each.dropped, each.host)
            for each in trace.interfaces
        ],
        sources=SourcesEntry(run.calls_source, run.segments_source, run.kernel_source),
        capture_method=run.capture_method,
        version=run.version,
        settings=dict(run.settings),
        defects=[clean(defect) for defect in trace.defects],
        notes=[clean(note) for note in notes],
        topology=None if run.topology is None else _topology(run.topology),
        counters=[_counter(counter) for counter in trace.counters],
        witness=None if trace.witness is None else _witness(trace.witness),
        unwatched=trace.unwatched,
        language=language,
    )


def _topology(topology: Topology) -> TopologyEntry:
    return TopologyEntry(
        name=topology.name,
        nodes=[
            NodeEntry(node.name, node.router, [AddressEntry(*pair) for pair in node.addresses])
            for node in topology.nodes
        ],
        links=[
            LinkEntry([":".join(end) for end in link.ends], link.relay) for link in topology.links
        ],
        faults=list(topology.faults),
    )


def _counter(counter: Counter) -> CounterEntry:
    return CounterEntry(counter.name, counter.host, counter.before, counter.after, counter.exact)


def _witness(witness: Witness) -> WitnessEntry:
    return WitnessEntry(list(witness.watched), list(witness.missing), witness.lost, witness.foreign)


def _process(process: Process) -> ProcessEntry:
    return ProcessEntry(
        pid=process.pid,
        parent=process.parent,
        command=clean(process.command),
        role=clean(process.role),
        ended_ns=process.ended_ns,
        status=process.status,
        signal=process.signal,
        host=process.host,
    )


def _call(explained: ExplainedCall, stream: bool) -> CallEntry:
    call = explained.call
    return CallEntry(
        id=call.id,
        name=call.name,
        pid=call.pid,
        tid=call.tid,
        fd=call.fd,
        socket=explained.socket,
        connection=explained.connection,
        args=mapping(call.args),
        text=call_text(call, stream),
        result=call.result,
        errno=call.errno,
        entered_ns=call.entered_ns,
        returned_ns=call.returned_ns,
        sent=list(explained.sent),
        retransmitted=list(explained.retransmitted),
        completed_by=list(explained.completed_by),
        explanation=_explanation(explained.explanation),
        local=address(call.local),
        peer=address(call.peer),
        site=None if call.site is None else clean(str(call.site)),
        asked=mapping(call.asked),
        kernel=testimony_entry(explained.kernel),
    )


def _explanation(explanation: Explanation) -> ExplanationEntry:
    evidence = explanation.evidence
    return ExplanationEntry(
        text=clean(explanation.text),
        rule=explanation.rule,
        confidence=explanation.confidence.value,
        evidence=EvidenceEntry(
            list(evidence.segments), list(evidence.calls), list(evidence.kernel)
        ),
        reference=explanation.reference,
        plain=explanation.plain,
    )


def _segment(attributed: AttributedSegment, interfaces: Sequence[str]) -> SegmentEntry:
    segment, cause = attributed.segment, attributed.cause
    tcp = segment.protocol is TCP
    has_ports = segment.icmp is None
    return SegmentEntry(
        id=segment.id,
        time_ns=segment.time_ns,
        interface=_name(segment.interface, interfaces),
        protocol=segment.protocol,
        src=str(segment.src) if has_ports else segment.src.address,
        dst=str(segment.dst) if has_ports else segment.dst.address,
        flags=segment.flags,
        seq=segment.seq if tcp else None,
        ack=segment.ack if tcp else None,
        relative_seq=attributed.relative_seq,
        relative_ack=attributed.relative_ack,
        length=segment.length,
        window=segment.window if tcp else None,
        connection=attributed.connection,
        icmp=None
        if segment.icmp is None
        else IcmpEntry(segment.icmp.type, segment.icmp.code, attributed.quotes),
        cause=CauseEntry(
            kind=cause.kind,
            call=cause.call,
            segment=cause.segment,
            reason=cause.reason,
            confidence=cause.confidence,
            mechanism=cause.mechanism,
        ),
        completes=list(attributed.completes),
        carries=list(attributed.carries),
        retransmission=attributed.retransmission,
        src_pid=attributed.src_pid,
        dst_pid=attributed.dst_pid,
        sightings=[_sighting(each, interfaces) for each in segment.sightings],
        kernel=testimony_entry(attributed.kernel),
        kernel_reason=attributed.kernel_reason,
        fate=attributed.fate,
        lost_after=attributed.lost_after,
    )


def _sighting(sighting: Sighting, interfaces: Sequence[str]) -> SightingEntry:
    return SightingEntry(
        _name(sighting.interface, interfaces), sighting.time_ns, sighting.direction
    )


def _name(interface: int, interfaces: Sequence[str]) -> str | None:
    return interfaces[interface] if interface < len(interfaces) else None


def _connection(connection: Connection, options: Scaling) -> ConnectionEntry:
    return ConnectionEntry(
        id=connection.id,
        client=str(connection.client),
        server=str(connection.server),
        opened=clean(connection.opened),
        closed=clean(connection.closed),
        states=StatesEntry(list(connection.client_states), list(connection.server_states)),
        segments=list(connection.segments),
        calls=list(connection.calls),
        client_bytes=connection.client_bytes,
        server_bytes=connection.server_bytes,
        retransmissions=connection.retransmissions,
        complete=connection.complete,
        window_scale=_scales(connection, options),
        kernel_states=StatesEntry(list(connection.client_kernel), list(connection.server_kernel)),
        peculiarities=list(connection.peculiarities),
    )


def _scaling(segments: Iterable[AttributedSegment]) -> Scaling:
    return {
        (one.connection, one.segment.src): one.segment.options.window_scale
        for one in segments
        if "S" in one.segment.flags
    }


def _scales(connection: Connection, options: Scaling) -> ScalesEntry:
    """Windows are scaled where both SYNs say how (RFC 7323 2.2): one that does not settles it."""
    unseen = -1
    ends = (connection.client, connection.server)
    client, server = (options.get((connection.id, end), unseen) for end in ends)
    if client is None or server is None:
        return ScalesEntry(0, 0)
    if unseen in (client, server):
        return ScalesEntry(None, None)
    return ScalesEntry(client, server)


def _socket(socket: Socket) -> SocketEntry:
    return SocketEntry(
        id=socket.id,
        family=socket.family,
        type=socket.type,
        created_by=socket.created_by,
        closed_by=socket.closed_by,
        local=address(socket.local),
        peer=address(socket.peer),
        pids=list(socket.pids),
        kernel=list(socket.kernel),
    )


def _coverage(coverage: Coverage) -> CoverageEntry:
    return CoverageEntry(
        calls=coverage.calls,
        calls_explained=coverage.calls_explained,
        segments=coverage.segments,
        segments_attributed=coverage.segments_attributed,
        uncertain=coverage.uncertain,
        dropped=coverage.dropped,
        agreed=coverage.agreed,
        contradicted=coverage.contradicted,
        silent=coverage.silent,
    )


def _text(text: str | None) -> str | None:
    return None if text is None else clean(text)


def main() -> None:
    """Print the schema, as it is committed."""
    import json

    print(json.dumps(schema(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
