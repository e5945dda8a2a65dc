"""UNP 4.6: what accept() returns, when, and with which address."""

from __future__ import annotations

from observatory.claims.looking import (
    ANY_OUTCOME,
    CannotTell,
    Run,
    first,
    found,
    ids,
    named,
    outcome_of,
    returned_ns,
    some,
    span,
    time_of,
)
from observatory.model import AttributedSegment, Endpoint, ExplainedCall
from observatory.model.claims import Finding

SIZES = {False: 16, True: 28}  # of struct sockaddr_in, and of sockaddr_in6 where that is True


def first_in_first_out(run: Run) -> Finding:
    """accept() returned connections in the order in which their handshakes were completed, all
    of which were before the first accept()."""
    accepts = list(some(run.calls("accept4", "accept"), "accept() that succeeded", least=2))
    completed = [_last_ack(run, one) for one in accepts]
    late = [one for one in completed if one.segment.time_ns > accepts[0].call.entered_ns]
    if late:
        raise CannotTell(f"{ids(late)} came when accept() was called already: no queue to order")
    times = [one.segment.time_ns for one in completed]
    seen = f"handshakes were completed by {ids(sorted(completed, key=time_of))}; {ids(accepts)} "
    seen += f"returned those of {ids(completed)}"
    return found(times == sorted(times), seen, accepts, completed)


def _last_ack(run: Run, accept: ExplainedCall) -> AttributedSegment:
    """The client's segment that completed the handshake of an accepted connection."""
    syn = first(
        (s for s in run.segments("SYN") if s.segment.src == accept.call.peer),
        f"SYN of the connection of {named(accept)}",
    )
    synack = first(run.answers(syn, "SYN-ACK"), f"SYN-ACK to {named(syn)}")
    return first(run.answers(synack, "ACK", "data"), f"ACK of {named(synack)}")


def accept_sleeps_until_there_is_one(run: Run) -> Finding:
    """accept() was called before any SYN came, and returned after the handshake was complete."""
    accept = first(run.calls("accept4", "accept"), "accept() that succeeded")
    ack = _last_ack(run, accept)
    if ack.segment.time_ns < accept.call.entered_ns:
        raise CannotTell(f"the queue was not empty when {named(accept)} was called")
    waited = returned_ns(accept) - accept.call.entered_ns
    later = returned_ns(accept) - ack.segment.time_ns
    seen = f"{named(accept)} was called on an empty queue and returned {outcome_of(accept)} after "
    seen += f"{span(waited)}, {span(abs(later))} {'after' if later >= 0 else 'before'} {named(ack)}"
    return found(later >= 0, seen, accept, ack)


def listener_lives_on(run: Run) -> Finding:
    """accept() on one descriptor, again and again, gave a new descriptor for each connection
    while the others were open."""
    accepts = some(run.calls("accept4", "accept"), "accept() that succeeded", least=2)
    listeners = {one.call.fd for one in accepts}
    first_close = min(
        (
            c.call.entered_ns
            for c in run.calls("close")
            if c.call.fd in {a.call.result for a in accepts}
        ),
        default=None,
    )
    together = [one for one in accepts if first_close is None or returned_ns(one) < first_close]
    some(together, "connections that were open at the same time", least=2)
    numbers = [one.call.result for one in together]
    own = len(set(numbers)) == len(numbers) and not listeners & set(numbers)
    kept = len(listeners) == 1
    seen = f"{ids(accepts)} on descriptor {', '.join(map(str, sorted(listeners, key=str)))} "
    seen += f"returned {', '.join(map(str, numbers))}"
    return found(own and kept, seen, accepts)


def address_is_value_result(run: Run) -> Finding:
    """Whatever room for the address went in, its true length came out; null pointers served as
    well."""
    accepts = run.calls("accept4", "accept", outcome=ANY_OUTCOME)
    sized = some([a for a in accepts if "room" in a.call.args], "accept() with a given room")
    unnamed = some([a for a in accepts if "sockaddr" in a.call.args], "accept() with null pointers")
    lengths = [(one.call.args["room"], one.call.args.get("address_length")) for one in sized]
    if len({room for room, _ in lengths}) < 2:
        raise CannotTell("only one length was tried")
    rights = [length == _size(one) for one, (_, length) in zip(sized, lengths, strict=True)]
    seen = "; ".join(
        f"{named(one)} with room for {room} bytes: {length} came out"
        for one, (room, length) in zip(sized, lengths, strict=True)
    )
    seen += "; with null pointers " + ", ".join(
        f"{named(one)} returned {outcome_of(one)}" for one in unnamed
    )
    return found(all(rights) and all(u.call.succeeded for u in unnamed), seen, sized, unnamed)


def _size(accept: ExplainedCall) -> int | None:
    peer = accept.call.peer
    return SIZES[":" in peer.address] if isinstance(peer, Endpoint) else None
