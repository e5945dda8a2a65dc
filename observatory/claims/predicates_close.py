"""UNP 4.9, 4.10: what close() does and leaves, and the two calls that ask for names."""

from __future__ import annotations

from observatory.claims.looking import (
    ANY_OUTCOME,
    CannotTell,
    Run,
    found,
    ids,
    named,
    outcome_of,
    returned_ns,
    some,
    span,
)
from observatory.model import ExplainedCall
from observatory.model.claims import Finding

USING = ("send", "recv", "read", "write")


def close_leaves_the_rest_to_the_kernel(run: Run) -> Finding:
    """Data that were handed over but not sent when close() returned were sent afterwards, then
    the FIN, and the peer read every byte."""
    for connect in run.calls("connect"):
        closes = run.calls("close", socket=connect.socket or -1)
        sends = run.calls("send", "sendto", "write", socket=connect.socket or -1)
        if not closes or not sends:
            continue
        close, given = closes[0], sum(one.call.result or 0 for one in sends)
        ends = {"src": connect.call.local, "dst": connect.call.peer}
        back = returned_ns(close)
        data = [one for one in run.segments("data", **ends) if not one.retransmission]
        later = [one for one in data if one.segment.time_ns > back]
        if sum(one.segment.length for one in data) >= given and not later:
            continue  # everything was out already: this close() had nothing to leave
        waited = back - close.call.entered_ns
        fins = [one for one in run.segments("FIN", **ends) if one.segment.time_ns > back]
        read = [r for r in run.calls("recv", "recvfrom", "read") if r.call.pid != connect.call.pid]
        got = sum(one.call.result or 0 for one in read)
        behind = bool(fins) and all(one.segment.time_ns <= fins[0].segment.time_ns for one in later)
        seen = f"{named(close)} returned after {span(waited)}; of {given} bytes "
        seen += f"{sum(one.segment.length for one in later)} were sent after it ({ids(later)}), "
        seen += f"then {named(fins[0])}" if behind else "and no FIN behind them"
        seen += f"; the peer read {got}"
        return found(behind and bool(later) and got == given, seen, sends, close, later, fins[:1])
    raise CannotTell("the run shows no close() that left data to be sent")


def closed_descriptor_is_of_no_use(run: Run) -> Finding:
    """send() and recv() on the number that close() gave up fail with EBADF."""
    for close in run.calls("close"):
        later = [
            one
            for one in run.calls(*USING, outcome=ANY_OUTCOME)
            if one.call.pid == close.call.pid
            and one.call.fd == close.call.fd
            and one.call.entered_ns > close.call.entered_ns
            and not _given_anew(run, close, one)
        ]
        if {one.call.name for one in later} & {"send", "write"} and len(later) > 1:
            seen = f"after {named(close)} of descriptor {close.call.fd}: " + ", ".join(
                f"{named(one)} returned {outcome_of(one)}" for one in later
            )
            return found(all(one.call.failed for one in later), seen, close, later)
    raise CannotTell("the run shows no read and write on a descriptor that was closed")


def _given_anew(run: Run, close: ExplainedCall, use: ExplainedCall) -> bool:
    """Whether a later call returned the number again before it was used."""
    makers = run.calls("socket", "accept4", "accept", "dup", "dup2", "dup3")
    return any(
        one.call.result == close.call.fd
        and one.call.pid == close.call.pid
        and close.call.entered_ns < one.call.entered_ns < use.call.entered_ns
        for one in makers
    )


def local_names_are_0_or_minus_1(run: Run) -> Finding:
    """getsockname() returned 0 with an address, or -1 with an errno; it came out both ways."""
    return _names_are_0_or_minus_1(run, "getsockname")


def peer_names_are_0_or_minus_1(run: Run) -> Finding:
    """getpeername() returned 0 with an address, or -1 with an errno; it came out both ways."""
    return _names_are_0_or_minus_1(run, "getpeername")


def _names_are_0_or_minus_1(run: Run, name: str) -> Finding:
    some(run.calls(name), f"{name}() that succeeded")
    some(run.calls(name, outcome="failed"), f"{name}() that failed")
    asked = run.calls(name, outcome=ANY_OUTCOME)
    wrong = [one for one in asked if not _is_0_or_minus_1(one)]
    seen = ", ".join(f"{named(one)} {outcome_of(one)}" for one in asked)
    return found(not wrong, seen, asked)


def _is_0_or_minus_1(one: ExplainedCall) -> bool:
    if one.call.failed:
        return one.call.result in (-1, None)
    return one.call.result == 0 and one.call.args.get("address") is not None
