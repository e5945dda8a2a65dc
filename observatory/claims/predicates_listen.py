"""UNP 4.5: what listen() makes of a socket, and the queues behind it."""

from __future__ import annotations

from observatory.claims.looking import (
    ANY_OUTCOME,
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
)
from observatory.model import AttributedSegment, Endpoint, ExplainedCall
from observatory.model.claims import Finding

SET_STATE = "sock:inet_sock_set_state"
PASSIVE = ("CLOSED", "LISTEN")
BOOKS_FUDGE = "the book's systems add 1 or 3, or take half as much again"


def listen_makes_a_socket_passive(run: Run) -> Finding:
    """A SYN for the bound socket was refused before listen() and answered after it; listen()
    sent nothing; SO_ACCEPTCONN, which is the state LISTEN, went from 0 to 1."""
    run.must_have_captured()
    listen = first(run.calls("listen"), "listen() that succeeded")
    here, at = local_of(listen), listen.call.entered_ns
    syns = run.segments("SYN", dst=here)
    before = first((s for s in syns if s.segment.time_ns < at), "SYN before listen()")
    after = first((s for s in syns if s.segment.time_ns > at), "SYN after listen()")
    refused, answered = run.answers(before, "RST"), run.answers(after, "SYN-ACK")
    loud = run.during(listen)
    states = [
        one
        for one in run.calls("getsockopt", socket=socket_of(listen))
        if one.call.args.get("option") == "SO_ACCEPTCONN"
    ]
    told = [(one.call.args.get("value"), one.call.entered_ns > at) for one in states]
    if {later for _, later in told} != {False, True}:
        raise CannotTell("SO_ACCEPTCONN was not asked both before and after listen()")
    became = all(bool(value) is later for value, later in told)
    events = [
        e
        for e in run.analysis.trace.kernel
        if e.event == SET_STATE and e.src == here and at <= e.time_ns <= returned_ns(listen)
    ]
    path_is_right = all((e.detail.get("old"), e.detail.get("new")) == PASSIVE for e in events)
    holds = bool(refused and answered) and not loud and became and path_is_right
    seen = f"{named(before)} before {named(listen)} drew {_first(refused)}, {named(after)} after "
    seen += f"it {_first(answered)}; SO_ACCEPTCONN {', '.join(str(value) for value, _ in told)}"
    seen += f"; segments in listen(): {ids(loud)}"
    if events:
        seen += f"; the kernel's event k{events[0].id}: {events[0].detail.get('old')} → "
        seen += str(events[0].detail.get("new"))
    return found(
        holds, seen, listen, states, before, after, refused[:1], answered[:1], loud, events
    )


def _first(segments: list[AttributedSegment]) -> str:
    return named(segments[0]) if segments else "nothing"


def incomplete_connections_wait_apart(run: Run) -> Finding:
    """A connection whose last ACK did not arrive: its SYN-ACK is sent again, so the kernel keeps
    it, yet accept() did not return it before an ACK came through."""
    for syn in run.segments("SYN"):
        synacks = run.answers(syn, "SYN-ACK")
        again = [one for one in synacks if one.retransmission]
        if not again:
            continue
        accepts = [
            one
            for one in run.calls("accept4", "accept", outcome=ANY_OUTCOME)
            if one.call.succeeded and one.call.peer == syn.segment.src
        ]
        seen = f"{named(synacks[0])} to {syn.segment.src} was sent again ({ids(again)}): "
        seen += "SYN-RECEIVED is kept; "
        if not accepts:
            waiting = run.calls("accept4", "accept", "poll", outcome=ANY_OUTCOME)
            looked = [one for one in waiting if _saw(one, synacks[0], again[-1])]
            some(looked, "accept() or poll() while the handshake was incomplete")
            seen += f"{ids(looked)} did not return it"
            return found(True, seen, syn, synacks, looked)
        accept = accepts[0]
        if time_of(accept) > time_of(again[0]):
            raise CannotTell(f"{named(accept)} was not called while the handshake was incomplete")
        wait = returned_ns(accept) - time_of(again[0])
        acks = [
            one
            for one in run.answers(again[0], "ACK", "data")
            if time_of(one) < returned_ns(accept)
        ]
        order = "after" if wait >= 0 else "before"
        seen += (
            f"{named(accept)} slept, and returned it {span(abs(wait))} {order} {named(again[0])}"
        )
        seen += f", which {named(acks[0])} answered" if acks else ""
        return found(wait >= 0, seen, syn, synacks, accept, acks[:1])
    raise CannotTell("the run shows no SYN-ACK that had to be sent again")


def _saw(call: ExplainedCall, synack: AttributedSegment, until: AttributedSegment) -> bool:
    """Whether a call was there to see the connection while its handshake was incomplete."""
    entered, back = call.call.entered_ns, call.call.returned_ns
    return entered <= until.segment.time_ns and (back is None or back >= synack.segment.time_ns)


def complete_connections_are_queued(run: Run) -> Finding:
    """Handshakes were complete, and connect() had returned, before accept() was called; accept()
    then returned these connections."""
    accepts = some(run.calls("accept4", "accept"), "accept() that succeeded")
    start = min(one.call.entered_ns for one in accepts)
    early = [one for one in run.calls("connect") if returned_ns(one) < start]
    some(early, "connect() that had returned before the first accept()")
    peers = {one.call.peer for one in accepts}
    lost = [one for one in early if one.call.local not in peers]
    seen = f"{ids(early)} had returned before {named(accepts[0])} was called; {ids(accepts)} "
    seen += "returned them" if not lost else f"did not return {ids(lost)}"
    return found(not lost, seen, early, accepts)


def backlog_has_a_fudge_factor(run: Run) -> Finding:
    """For each backlog, how many connections completed with nobody accepting: bounded, and not
    simply the backlog."""
    held = _held(run)
    some(list(held), "backlogs that were filled", least=2)
    added = {backlog: count - backlog for backlog, (count, _, _) in held.items()}
    bounded = all(refused for _, refused, _ in held.values())
    table = ", ".join(f"{backlog}: {count}" for backlog, (count, _, _) in sorted(held.items()))
    rule = f"always {added[0]} more" if len(set(added.values())) == 1 and 0 in added else "no rule"
    seen = f"connections that a backlog held: {table} ({rule}; {BOOKS_FUDGE})"
    if not bounded:
        seen += "; not every backlog was a bound"
    listens = [listen for _, _, listen in held.values()]
    holds = bounded and all(extra >= 0 for extra in added.values()) and any(added.values())
    return found(holds, seen, listens)


def backlog_0_admits_nobody(run: Run) -> Finding:
    """With a backlog of 0 and nobody accepting, no connection completed."""
    held = _held(run)
    if 0 not in held:
        raise CannotTell("the run shows no listen() with a backlog of 0")
    count, _, listen = held[0]
    complete = [
        answers[0]
        for syn in run.segments("SYN", dst=local_of(listen))
        if (answers := run.answers(syn, "SYN-ACK"))
    ]
    seen = f"{named(listen)} with a backlog of 0 held {count}"
    seen += f" ({ids(complete)} answered a SYN)" if complete else ""
    return found(count == 0, seen, listen, complete)


def _held(run: Run) -> dict[int, tuple[int, bool, ExplainedCall]]:
    """By backlog: how many SYNs of connections were answered while nobody accepted, whether one
    went unanswered at last, and the listen() it is about."""
    held: dict[int, tuple[int, bool, ExplainedCall]] = {}
    if run.calls("accept4", "accept"):
        raise CannotTell("connections were accepted meanwhile, so the queue was not left to fill")
    for listen in run.calls("listen"):
        backlog = listen.call.args.get("backlog")
        attempts: dict[Endpoint, AttributedSegment] = {}
        for syn in run.segments("SYN", dst=local_of(listen)):
            attempts.setdefault(syn.segment.src, syn)
        answered = [s for s in attempts.values() if run.answers(s, "SYN-ACK")]
        if isinstance(backlog, int) and attempts:
            held[backlog] = (len(answered), len(answered) < len(attempts), listen)
    return held


def early_data_are_queued(run: Run) -> Finding:
    """Data were acknowledged before accept() was called, and recv() returned them after it."""
    accept = first(run.calls("accept4", "accept"), "accept() that succeeded")
    connection = {"src": accept.call.peer, "dst": accept.call.local}
    early = [
        one
        for one in run.segments("data", **connection)
        if one.segment.time_ns < accept.call.entered_ns
    ]
    some(early, "data that arrived before accept()")
    acknowledged = run.answers(early[-1], "ACK", "data")
    read = [
        one
        for one in run.calls("recv", "recvfrom", "read", outcome=ANY_OUTCOME)
        if one.call.local == accept.call.local or one.socket == accepted_socket(run, accept)
    ]
    got = sum(one.call.result or 0 for one in read if one.call.succeeded)
    sent = sum(one.segment.length for one in early if not one.retransmission)
    seen = f"{ids(early)} brought {sent} bytes before {named(accept)}"
    seen += f", acknowledged by {ids(acknowledged[:1])}; "
    seen += f"{ids(read)} returned {got} bytes, {outcome_of(read[0]) if read else 'nothing'} first"
    return found(got >= sent, seen, early, acknowledged[:1], accept, read)


def accepted_socket(run: Run, accept: ExplainedCall) -> int | None:
    """The socket that an accept() made."""
    made = [one.id for one in run.analysis.sockets if one.created_by == accept.call.id]
    return made[0] if made else None
