"""UNP 4.3, 4.5: SYNs that nobody answers, or that a router or a full queue turns away."""

from __future__ import annotations

from collections.abc import Sequence

from observatory.claims.looking import (
    ANY_OUTCOME,
    EARLIEST_RETRY_NS,
    CannotTell,
    Run,
    first,
    found,
    ids,
    named,
    outcome_of,
    returned_ns,
    span,
)
from observatory.model import AttributedSegment, ExplainedCall
from observatory.model.claims import Finding

SECOND_NS = 1_000_000_000
BOOK_SYNS_NS = (0, 6 * SECOND_NS, 30 * SECOND_NS)
"""When 4.4BSD sends SYNs: at once, "another 6 seconds later, and another 24 seconds later"."""
BOOK_END_NS = 75 * SECOND_NS
TOLERANCE = 0.1
RETRIES = "net.ipv4.tcp_syn_retries"
KERNEL_DEFAULT = "6"
UNREACHABLE = 3  # ICMP type
SOFT_CODES = {0: "network", 1: "host"}
SOFT_ERRNOS = ("EHOSTUNREACH", "ENETUNREACH")


def syns_follow_the_books_schedule(run: Run) -> Finding:
    """A connect() without any answer: SYNs at 0, 6 and 30 s, ETIMEDOUT at 75 s.

    Where the number of tries was limited, the times of those there are can differ from the
    book's, but agree with them only as far as they go.
    """
    connect = first(_unanswered(run), "connect() whose SYNs nobody answered")
    syns = run.syns_of(connect)
    offsets = [one.segment.time_ns - connect.call.entered_ns for one in syns]
    ended = returned_ns(connect) - connect.call.entered_ns
    times = ", ".join(span(offset) for offset in offsets[1:])
    seen = f"the SYN of {named(connect)} was sent again after {times or 'no time at all'}; "
    seen += f"{outcome_of(connect)} after {span(ended)}"
    limited = _tries_limited(run, connect)
    expected = BOOK_SYNS_NS[: len(syns)] if limited else BOOK_SYNS_NS
    times_agree = len(offsets) == len(expected) and all(map(_close, offsets, expected))
    if not times_agree or connect.call.errno != "ETIMEDOUT":
        note = f" ({limited})" if limited else ""
        return found(False, seen + note, connect, syns)
    if limited:
        raise CannotTell(f"{seen}; {limited}, so when it would end is open: --slow shows it")
    return found(_close(ended, BOOK_END_NS), seen, connect, syns)


def _unanswered(run: Run) -> list[ExplainedCall]:
    """Calls of connect() that sent SYNs and got nothing back while they lasted, ICMP included."""
    return [
        one
        for one in run.calls("connect", outcome="failed")
        if one.call.errno != "EINPROGRESS"
        and (syns := run.syns_of(one))
        and not _back_in_time(run, one, syns)
        and not _icmp_about(run, one)
    ]


def _back_in_time(
    run: Run, connect: ExplainedCall, syns: Sequence[AttributedSegment]
) -> list[AttributedSegment]:
    return [
        answer
        for answer in run.answers(syns[0], "SYN-ACK", "RST", "ACK")
        if answer.segment.time_ns <= returned_ns(connect)
    ]


def _icmp_about(run: Run, connect: ExplainedCall) -> list[AttributedSegment]:
    """ICMP messages that quote a SYN of this connect()."""
    own = {one.segment.src for one in run.syns_of(connect)}
    return [
        one
        for one in run.between(connect.call.entered_ns, returned_ns(connect))
        if one.segment.icmp is not None
        and one.segment.icmp.quoted_src in own
        and one.segment.icmp.quoted_dst == run.target(connect)
    ]


def _tries_limited(run: Run, connect: ExplainedCall) -> str:
    """How the number of tries was limited below the kernel's default; empty if it was not."""
    options = run.calls("setsockopt", socket=connect.socket or -1)
    for one in options:
        if one.call.args.get("option") == "TCP_SYNCNT":
            return f"tries limited by TCP_SYNCNT {one.call.args.get('value')}"
    retries = run.analysis.trace.run.settings.get(RETRIES, KERNEL_DEFAULT)
    return "" if retries == KERNEL_DEFAULT else f"tries limited by tcp_syn_retries {retries}"


def _close(measured: int, expected: int) -> bool:
    return abs(measured - expected) <= max(TOLERANCE * expected, SECOND_NS // 2)


def unreachable_is_a_soft_error(run: Run) -> Finding:
    """After ICMP "host (or network) unreachable" the SYN is tried again all the same, and the
    error is returned only when the tries are used up: by the timer, not by the message."""
    for connect in run.calls("connect", outcome=ANY_OUTCOME):
        messages = [one for one in _icmp_about(run, connect) if _is_soft(one)]
        if not messages:
            continue
        syns = run.syns_of(connect)
        told, back = messages[-1], returned_ns(connect)
        again = [s for s in syns if s.segment.time_ns > messages[0].segment.time_ns]
        by_timer = back - syns[-1].segment.time_ns >= EARLIEST_RETRY_NS
        holds = bool(again) and by_timer and connect.call.errno in SOFT_ERRNOS
        seen = f"{named(messages[0])} said that the {_unreachable(messages[0])} cannot be reached; "
        seen += f"SYNs after it: {ids(again)}; {named(connect)} returned {outcome_of(connect)} "
        seen += f"{span(back - told.segment.time_ns)} after {'the last ' * (len(messages) > 1)}"
        seen += named(told)
        return found(holds, seen, connect, syns, messages)
    raise CannotTell("the run shows no SYN that drew ICMP host or network unreachable")


def _is_soft(one: AttributedSegment) -> bool:
    icmp = one.segment.icmp
    return icmp is not None and icmp.type == UNREACHABLE and icmp.code in SOFT_CODES


def _unreachable(one: AttributedSegment) -> str:
    return SOFT_CODES[one.segment.icmp.code] if one.segment.icmp else ""


def full_queue_ignores_the_syn(run: Run) -> Finding:
    """The first SYN of a connect() drew nothing, no RST either; one sent again was answered, and
    connect() succeeded."""
    for connect in run.calls("connect", outcome=ANY_OUTCOME):
        syns = run.syns_of(connect)
        if not syns:
            continue
        resets = run.answers(syns[0], "RST")
        if resets and _queue_was_full(run, connect):
            seen = f"{named(syns[0])} found a full queue and drew {named(resets[0])}; "
            seen += f"{named(connect)} returned {outcome_of(connect)}"
            return found(False, seen, connect, syns, resets[:1])
        answers = run.answers(syns[0], "SYN-ACK")
        if len(syns) < 2 or (answers and answers[0].segment.time_ns < syns[1].segment.time_ns):
            continue
        if not answers or connect.call.failed:
            seen = f"{ids(syns)} drew nothing at all; {named(connect)} returned "
            return found(False, seen + outcome_of(connect), connect, syns)
        waited = syns[1].segment.time_ns - syns[0].segment.time_ns
        seen = f"{named(syns[0])} drew no answer, no RST either; sent again as {ids(syns[1:])} "
        seen += f"(after {span(waited)}) it was answered by {named(answers[0])}, and "
        seen += f"{named(connect)} returned {outcome_of(connect)}"
        return found(True, seen, connect, syns, answers[:1])
    raise CannotTell("the run shows no SYN that found a full queue")


def _queue_was_full(run: Run, connect: ExplainedCall) -> bool:
    """More connections than the backlog asked for were complete and not accepted by then."""
    backlogs = [one.call.args.get("backlog") for one in run.calls("listen")]
    at = connect.call.entered_ns
    complete = [c for c in run.calls("connect") if returned_ns(c) < at]
    taken = [a for a in run.calls("accept4", "accept") if returned_ns(a) < at]
    waiting = len(complete) - len(taken)
    return any(isinstance(backlog, int) and waiting >= max(1, backlog) for backlog in backlogs)
