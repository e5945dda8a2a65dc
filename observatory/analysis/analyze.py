"""The one function that turns a trace into conclusions.

Descriptors are replayed into sockets, segments into conversations, and the two are joined;
then every segment gets its cause and every call its completion and its explanation. Each step
goes over its input once, so the whole grows linearly with calls and segments.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

from observatory.analysis import (
    accept_queue,
    causes,
    completions,
    datagrams,
    descriptors,
    endings,
    matching,
    streams,
)
from observatory.analysis.arrivals import Arrivals
from observatory.analysis.completions import Joined
from observatory.analysis.describe import connections, notes, sockets
from observatory.analysis.fates import fates
from observatory.analysis.lives import SocketLife
from observatory.analysis.rules import explain
from observatory.analysis.scene import Findings, Scene
from observatory.analysis.view import View
from observatory.analysis.wire import Conversation, Kind, Sighting, Wire, follow
from observatory.analysis.witness import find_listeners, placed, witness
from observatory.analysis.witness_hearing import hear
from observatory.analysis.witness_settle import last_holders, tell_ports
from observatory.model import (
    Analysis,
    AttributedSegment,
    Call,
    Cause,
    CauseKind,
    Confidence,
    Coverage,
    Endpoint,
    ExplainedCall,
    Segment,
    Trace,
    Verdict,
)
from observatory.model.quick import quick

quick_attributed = quick(AttributedSegment)


def analyze(trace: Trace) -> Analysis:
    """Explain every call and attribute every segment of a trace.

    Pure and deterministic. Never raises on what was observed: what cannot be explained is in
    the result as unexplained.
    """
    findings = Findings()
    exact = returns_exactly(trace)
    replayed = descriptors.replay(trace.calls, trace.processes)
    arrivals = Arrivals(trace)
    wire = follow(trace.segments, _listening_ports(trace.calls), arrivals)
    witnessed = witness(trace, wire)
    tell_ports(witnessed, replayed)
    find_listeners(witnessed, replayed.used)
    matched = matching.match(replayed, wire, lossy=trace.dropped > 0)
    endings.settle(replayed, wire, last_holders(witnessed))
    flows = {c.id: streams.build(c, matched, exact=exact) for c in wire.conversations}
    datagrams.attribute_raw(replayed, trace.segments, findings)
    calls = {call.id: call for call in trace.calls}
    for conversation in wire.conversations:
        causes.attribute(
            Scene(
                conversation,
                flows[conversation.id],
                matched,
                replayed,
                calls,
                bool(trace.calls),
                trace.dropped > 0,
                findings,
                trace.run.settings,
            )
        )
    mail = datagrams.attribute_udp(
        replayed, trace.segments, findings, arrivals, lossy=trace.dropped > 0
    )
    datagrams.attribute_icmp(trace.segments, wire, mail, findings)
    joined = Joined(
        replayed,
        wire,
        matched,
        flows,
        mail,
        {segment.id: segment for segment in trace.segments},
        _queued(wire),
        _holders(replayed.sockets),
        _at_port(wire),
        _signals(trace.calls),
        {process.pid: process for process in trace.processes},
        exact,
        arrivals,
        counters=trace.counters,
        settings=trace.run.settings,
    )
    joined = replace(joined, overflows=accept_queue.tally(joined, trace.counters))
    explained = tuple(_explain(trace, joined, findings, call) for call in trace.calls)
    told = fates(joined, witnessed, trace.counters)
    attributed = _attribute(trace, joined, findings, explained, told)
    opened = connections(joined, explained, findings, witnessed.never_came)
    heard = hear(witnessed, joined, calls, attributed, explained, opened)
    return Analysis(
        trace=trace,
        calls=heard.calls,
        segments=heard.segments,
        connections=heard.connections,
        sockets=sockets(replayed, witnessed),
        coverage=_coverage(trace, heard.calls, heard.segments),
        notes=notes(trace, joined, findings),
        kernel=placed(trace, wire, witnessed),
        differences=heard.differences,
    )


def returns_exactly(trace: Trace) -> bool:
    """Whether ``returned_ns`` is when a call returned. strace knows only that it had returned
    when its thread was stopped again, for its next call."""
    return trace.run.calls_source != "strace"


def _listening_ports(calls: tuple[Call, ...]) -> frozenset[int]:
    """Ports of listening sockets, as listen() or the kernel's tables told them."""
    return frozenset(
        call.local.port
        for call in calls
        if isinstance(call.local, Endpoint)
        and (call.name == "listen" or call.args.get("state") == "LISTEN")
    )


def _queued(wire: Wire) -> dict[int, list[Conversation]]:
    queued: dict[int, list[Conversation]] = defaultdict(list)
    for conversation in wire.conversations:
        if conversation.listener is not None and conversation.establishing is not None:
            queued[conversation.listener].append(conversation)
    for waiting in queued.values():
        waiting.sort(key=_establishment)
    return queued


def _establishment(conversation: Conversation) -> tuple[int, int]:
    done = conversation.establishing
    return (done.arrived_ns, done.id) if done else (0, 0)


def _holders(lives: Mapping[int, SocketLife]) -> dict[int, list[SocketLife]]:
    holders: dict[int, list[SocketLife]] = defaultdict(list)
    for life in lives.values():
        own = matching.local_endpoint(life, matching.FOREVER)
        if own is not None:
            holders[own.port].append(life)
    return holders


def _at_port(wire: Wire) -> dict[int, list[Conversation]]:
    at_port: dict[int, list[Conversation]] = defaultdict(list)
    for conversation in wire.conversations:
        for port in {conversation.client.sender.port, conversation.server.sender.port}:
            at_port[port].append(conversation)
    return at_port


def _signals(calls: tuple[Call, ...]) -> dict[int, list[Call]]:
    signals: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        pid = call.args.get("pid")
        if call.name == "kill" and isinstance(pid, int) and call.succeeded:
            signals[pid].append(call)
    return signals


def _explain(trace: Trace, joined: Joined, findings: Findings, call: Call) -> ExplainedCall:
    view = View(
        call=call,
        joined=joined,
        sent=tuple(findings.sent.get(call.id, ())),
        retransmitted=tuple(findings.retransmitted.get(call.id, ())),
        completed_by=completions.completed_by(joined, call),
        causes=findings.causes,
        lossy=trace.dropped > 0,
    )
    half = joined.half(call)
    if half is None and call.id in joined.descriptors.made:
        made = joined.descriptors.made[call.id][0]
        half = joined.matching.half_at.get((call.id, made))
    return ExplainedCall(
        call=call,
        socket=joined.descriptors.used.get(call.id)
        or next(iter(joined.descriptors.made.get(call.id, ())), None),
        connection=half.conversation if half is not None else None,
        sent=view.sent,
        retransmitted=view.retransmitted,
        completed_by=view.completed_by,
        explanation=explain(view),
    )


def _attribute(
    trace: Trace,
    joined: Joined,
    findings: Findings,
    explained: tuple[ExplainedCall, ...],
    told: Mapping[int, str],
) -> tuple[AttributedSegment, ...]:
    completes: dict[int, list[int]] = defaultdict(list)
    carries: dict[int, list[int]] = defaultdict(list)
    for one in explained:
        for number in one.completed_by:
            completes[number].append(one.call.id)
        for number in (*one.sent, *one.retransmitted):
            carries[number].append(one.call.id)
    calls = {call.id: call for call in trace.calls}
    lives = joined.descriptors.sockets
    attributed = []
    for segment in trace.segments:
        cause = findings.causes[segment.id]
        sighting = joined.wire.sightings.get(segment.id)
        finished = tuple(completes.get(segment.id, ()))
        src, dst = _sockets(segment, sighting, joined)
        attributed.append(
            quick_attributed(  # by position, which is faster again
                segment,
                sighting.conversation.id if sighting else None,
                cause,
                finished,
                sighting.seq if sighting else None,
                sighting.ack if sighting else None,
                _is_retransmission(sighting),
                _pid(cause, lives.get(src or 0), calls, segment),
                _receiver(finished, lives.get(dst or 0), calls, segment),
                joined.mail.quotes.get(segment.id),
                tuple(carries.get(segment.id, ())),
                lost_after=joined.lost_after(segment),
                fate=told.get(segment.id, ""),
            )
        )
    return tuple(attributed)


def _is_retransmission(sighting: Sighting | None) -> bool:
    if sighting is None or sighting.kind is Kind.COPY:
        return False
    return sighting.original is not None and not sighting.fresh


def _sockets(
    segment: Segment, sighting: Sighting | None, joined: Joined
) -> tuple[int | None, int | None]:
    """The sockets that sent and received a segment; for an unaccepted one, the listener."""
    if sighting is None:
        return joined.mail.sender.get(segment.id), joined.mail.receiver.get(segment.id)
    conversation = sighting.conversation
    sender, receiver = sighting.half.socket, sighting.other.socket
    if sender is None and sighting.half is conversation.server:
        sender = conversation.listener
    if receiver is None and sighting.other is conversation.server:
        receiver = conversation.listener
    if conversation.began_with_syn:
        return sender, receiver
    # A stray belongs to no connection, but a port where someone listens is that one's.
    at, time_ns = joined.matching.listeners.at, segment.time_ns
    sender = sender or next((one.socket for one in at(segment.src, time_ns)), None)
    receiver = receiver or next((one.socket for one in at(segment.dst, time_ns)), None)
    return sender, receiver


def _pid(
    cause: Cause, life: SocketLife | None, calls: Mapping[int, Call], segment: Segment
) -> int | None:
    """The sending process: the caller where a call of its own is the cause, else the holder."""
    if cause.kind is CauseKind.PATH:
        return None
    if cause.kind is CauseKind.CALL and cause.call is not None:
        caller = calls[cause.call]
        if caller.name != "kill" or life is None:
            return caller.pid
    return _holder(life, segment)


def _receiver(
    finished: tuple[int, ...], life: SocketLife | None, calls: Mapping[int, Call], segment: Segment
) -> int | None:
    for number in finished:
        if life is None or calls[number].pid in life.pids:
            return calls[number].pid
    return _holder(life, segment)


def _holder(life: SocketLife | None, segment: Segment) -> int | None:
    """Of several processes that hold a socket, the one that used it last before the segment."""
    if life is None or not life.pids:
        return None
    if len(life.pids) == 1:
        return life.pids[0]
    index = bisect_right(life.calls, segment.time_ns, key=lambda call: call.entered_ns)
    return life.calls[index - 1].pid if index else life.pids[0]


def _coverage(
    trace: Trace,
    explained: tuple[ExplainedCall, ...],
    attributed: tuple[AttributedSegment, ...],
) -> Coverage:
    unexplained = Confidence.UNEXPLAINED
    calls_explained = sum(e.explanation.confidence is not unexplained for e in explained)
    known = sum(s.cause.kind is not CauseKind.UNKNOWN for s in attributed)
    uncertain = sum(e.explanation.confidence is Confidence.LIKELY for e in explained)
    uncertain += sum(s.cause.confidence is Confidence.LIKELY for s in attributed)
    told = Counter(call.kernel.verdict for call in explained if call.kernel)
    told.update(segment.kernel.verdict for segment in attributed if segment.kernel)
    return Coverage(
        len(explained),
        calls_explained,
        len(attributed),
        known,
        uncertain,
        trace.dropped,
        agreed=told[Verdict.AGREED],
        contradicted=told[Verdict.CONTRADICTED],
        silent=told[Verdict.SILENT],
    )
