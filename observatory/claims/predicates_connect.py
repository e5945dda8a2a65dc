"""UNP 4.3: what connect() does, and what makes it return."""

from __future__ import annotations

from observatory.claims.looking import (
    ANY_OUTCOME,
    EARLIEST_RETRY_NS,
    CannotTell,
    Run,
    first,
    found,
    ids,
    local_of,
    named,
    outcome_of,
    returned_ns,
    socket_of,
    some,
    span,
    time_of,
    told_by,
)
from observatory.codec.tcp_info import STATES
from observatory.model import AttributedSegment, Endpoint, ExplainedCall, KernelEvent
from observatory.model.claims import Finding

EPHEMERAL_PORTS = "net.ipv4.ip_local_port_range"
SET_STATE = "sock:inet_sock_set_state"
OPENING = ("CLOSED", "SYN-SENT", "ESTABLISHED")


def kernel_chooses_address_and_port(run: Run) -> Finding:
    """A client's socket without bind() has no port before connect(), and after it the one that
    its SYN came from."""
    connect = _unbound_connect(run)
    syn = first(run.syns_of(connect), f"SYN of {named(connect)}")
    asked = run.calls("getsockname", socket=socket_of(connect))
    before = [one for one in asked if one.call.entered_ns < connect.call.entered_ns]
    after = [one for one in asked if one.call.entered_ns > connect.call.entered_ns]
    empty = first(before, "getsockname() before connect()")
    named_by = first(after, "getsockname() after connect()")
    chosen, none_yet = told_by(named_by), told_by(empty)
    if not isinstance(chosen, Endpoint) or not isinstance(none_yet, Endpoint):
        raise CannotTell(f"{ids([empty, named_by])} told no IP address")
    holds = (
        none_yet.is_wildcard
        and none_yet.port == 0
        and not chosen.is_wildcard
        and chosen == syn.segment.src
        and _ephemeral(run, chosen.port)
    )
    seen = f"no bind(); {named(empty)} told {none_yet}, {named(named_by)} {chosen}"
    seen += f"; {named(syn)} came from {syn.segment.src}"
    return found(holds, seen, connect, empty, named_by, syn)


def name_of_unbound_client(run: Run) -> Finding:
    """getsockname() after connect(): 0, and the endpoint that the kernel chose."""
    connect = _unbound_connect(run)
    syn = first(run.syns_of(connect), f"SYN of {named(connect)}")
    asked = run.calls("getsockname", socket=socket_of(connect), outcome=ANY_OUTCOME)
    named_by = first(
        (one for one in asked if one.call.entered_ns > connect.call.entered_ns),
        "getsockname() after connect()",
    )
    told = told_by(named_by)
    seen = f"{named(named_by)} returned {outcome_of(named_by)} and {told}; the SYN's source is "
    seen += f"{syn.segment.src} ({named(syn)})"
    return found(named_by.call.succeeded and told == syn.segment.src, seen, named_by, syn, connect)


def _unbound_connect(run: Run) -> ExplainedCall:
    connect = first(run.calls("connect", role="client"), "connect() of the client that succeeded")
    if run.calls("bind", socket=socket_of(connect)):
        raise CannotTell("the client's socket was bound")
    return connect


def _ephemeral(run: Run, port: int) -> bool:
    """Whether a port lies in ip_local_port_range; True for any where the range is not known."""
    low, high = run.analysis.trace.run.settings.get(EPHEMERAL_PORTS, "1 65535").split()
    return int(low) <= port <= int(high)


def connect_waits_for_the_handshake(run: Run) -> Finding:
    """A blocking connect() that succeeded: SYN, SYN-ACK, ACK in this order, and the return after
    the SYN-ACK."""
    connect = first(run.calls("connect", role="client"), "connect() of the client that succeeded")
    syn = first(run.syns_of(connect), f"SYN of {named(connect)}")
    synacks = run.answers(syn, "SYN-ACK")
    if not synacks:
        return found(False, f"{named(connect)} returned with no SYN-ACK on the wire", connect, syn)
    synack = synacks[0]
    acks = [one for one in run.answers(synack, "ACK", "data") if one.segment.src == syn.segment.src]
    back = returned_ns(connect)
    if not acks:
        seen = f"{named(synack)} was not acknowledged, and {named(connect)} returned 0"
        return found(False, seen, connect, syn, synack)
    ack = acks[0]
    waited = back - synack.segment.time_ns
    holds = waited >= 0
    order = "after" if holds else "before"
    seen = f"{named(syn)}, {named(synack)}, {named(ack)}; {named(connect)} returned 0 "
    seen += f"{span(abs(waited))} {order} the SYN-ACK"
    return found(holds, seen, connect, syn, synack, ack)


def connect_waits_for_the_failure(run: Run) -> Finding:
    """A blocking connect() that failed returned after the segment that refused it."""
    connect = first(run.calls("connect", outcome="failed"), "connect() that failed")
    syn = first(run.syns_of(connect), f"SYN of {named(connect)}")
    refusal = first(run.answers(syn, "RST"), f"RST for {named(syn)}")
    waited = returned_ns(connect) - refusal.segment.time_ns
    order = "after" if waited >= 0 else "before"
    seen = f"{named(connect)} returned {outcome_of(connect)} {span(abs(waited))} {order} "
    seen += named(refusal)
    return found(waited >= 0, seen, connect, syn, refusal)


def reset_means_refused_at_once(run: Run) -> Finding:
    """RST to a SYN: ECONNREFUSED, without a second SYN, before one would have been due."""
    connects = run.calls("connect", outcome=ANY_OUTCOME)
    for connect in connects:
        syns = run.syns_of(connect)
        resets = run.answers(syns[0], "RST") if syns else []
        if not resets:
            continue
        waited = returned_ns(connect) - resets[0].segment.time_ns
        seen = f"{named(syns[0])} was answered by {named(resets[0])}; {named(connect)} returned "
        seen += f"{outcome_of(connect)} {span(waited)} later, after {len(syns)} SYN"
        at_once = len(syns) == 1 and waited < EARLIEST_RETRY_NS
        refused = connect.call.errno == "ECONNREFUSED"
        return found(refused and at_once, seen, connect, syns, resets[:1])
    raise CannotTell("the run shows no SYN that was answered by RST")


def reset_has_three_causes(run: Run) -> Finding:
    """A SYN for a port without a listener, an abort, and a segment of no connection: each drew
    a RST. Each has to have happened."""
    stray = first(_strays(run), "segment that belongs to no connection")
    unheard = first(
        (s for s in run.segments("SYN") if not run.answers(s, "SYN-ACK")),
        "SYN that found no listener",
    )
    abort = first(_aborts(run), "close() with SO_LINGER on and 0 seconds")
    drawn = {
        f"{named(unheard)} for a port without a listener": run.answers(unheard, "RST"),
        f"{named(abort)}, an abort": [
            one
            for one in run.segments("RST", src=local_of_socket(run, abort))
            if one.segment.time_ns >= abort.call.entered_ns
        ],
        f"{named(stray)} of no connection": run.answers(stray, "RST"),
    }
    seen = "; ".join(
        f"{what}: {named(resets[0]) if resets else 'no RST'}" for what, resets in drawn.items()
    )
    resets = [found_ones[0] for found_ones in drawn.values() if found_ones]
    return found(all(drawn.values()), seen, unheard, abort, stray, resets)


def _strays(run: Run) -> list[AttributedSegment]:
    """TCP segments between two endpoints that no SYN had gone between, in either direction."""
    opened = {frozenset((s.segment.src, s.segment.dst)) for s in run.segments("SYN")}
    return [
        one
        for one in run.segments("ACK", "data", "FIN")
        if frozenset((one.segment.src, one.segment.dst)) not in opened
    ]


def _aborts(run: Run) -> list[ExplainedCall]:
    lingering = {
        one.socket
        for one in run.calls("setsockopt")
        if one.call.args.get("option") == "SO_LINGER" and one.call.args.get("value") == (1, 0)
    }
    return [one for one in run.calls("close") if one.socket in lingering]


def local_of_socket(run: Run, one: ExplainedCall) -> Endpoint:
    """The local endpoint of a call's socket, from its connect() or the accept() that made it."""
    connects = [c for c in run.calls("connect") if c.socket == one.socket]
    return local_of(first(connects, f"connect() of the socket of {named(one)}"))


def connect_moves_through_the_states(run: Run) -> Finding:
    """CLOSED, SYN-SENT, ESTABLISHED: as TCP_INFO told the program before connect(), while its
    SYN was unanswered, and afterwards; and as the kernel's own events tell, where they are."""
    asked = [one for one in run.calls("getsockopt") if one.call.args.get("option") == "TCP_INFO"]
    some(asked, "getsockopt() of TCP_INFO")
    connect = first(
        run.calls("connect", socket=socket_of(asked[0]), outcome=ANY_OUTCOME),
        f"connect() on the socket of {named(asked[0])}",
    )
    syn = first(run.syns_of(connect), f"SYN of {named(connect)}")
    between = [one for one in asked if time_of(one) > time_of(syn)]
    if asked[0] in between or len(between) < len(OPENING) - 1:
        raise CannotTell("TCP_INFO was not asked before, during and after the handshake")
    told = tuple(_state(one) for one in asked)
    events = _state_changes(run, connect)
    path = [str(events[0].detail.get("old"))] if events else []
    path += [str(event.detail.get("new")) for event in events]
    seen = f"TCP_INFO: {', '.join(told)} ({ids(asked)}; {named(syn)} after the first)"
    if path:
        seen += f"; {SET_STATE}: {' → '.join(path)} (k{events[0].id} …)"
    holds = told == OPENING and tuple(path) == OPENING[: len(path)]
    return found(holds, seen, asked, connect, syn, events)


def _state(asked: ExplainedCall) -> str:
    """The state in the first byte of struct tcp_info, journaled as ``0x07…``."""
    value = str(asked.call.args.get("value"))
    number = int(value[2:4], 16) if value.startswith("0x") else 0
    return STATES[number - 1] if 0 < number <= len(STATES) else value


def _state_changes(run: Run, connect: ExplainedCall) -> list[KernelEvent]:
    """The kernel's account of a connecting socket, from connect() to its end as a client."""
    local, peer = connect.call.local, run.target(connect)
    if not isinstance(local, Endpoint):
        return []
    changes = [e for e in run.analysis.trace.kernel if e.event == SET_STATE]
    own = [e for e in changes if e.dst == peer and e.src is not None and e.src.port == local.port]
    sockets = {e.detail.get("socket") for e in own}
    return [
        e
        for e in changes
        if e.detail.get("socket") in sockets and e.time_ns >= connect.call.entered_ns
    ][: len(OPENING) - 1]


def socket_is_of_no_use_after_failure(run: Run) -> Finding:
    """A second connect() on the socket whose first one failed must not succeed."""
    for failed in run.calls("connect", outcome="failed"):
        again = [
            one
            for one in run.calls("connect", socket=socket_of(failed), outcome=ANY_OUTCOME)
            if one.call.entered_ns > failed.call.entered_ns
        ]
        if not again:
            continue
        second = again[0]
        synacks = [a for syn in run.syns_of(second) for a in run.answers(syn, "SYN-ACK")]
        if second.call.failed and run.syns_of(second) and not synacks:
            raise CannotTell(f"{named(second)} failed for want of a server, as {named(failed)} did")
        seen = f"{named(failed)} on descriptor {failed.call.fd} returned {outcome_of(failed)}; "
        seen += f"{named(second)} on the same descriptor returned {outcome_of(second)}"
        return found(not second.call.succeeded, seen, failed, second, run.syns_of(second), synacks)
    raise CannotTell("the run shows no second connect() on a socket whose first one failed")
