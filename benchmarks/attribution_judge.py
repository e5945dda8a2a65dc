"""Whether what the analyzer says of a segment is what the kernel shows of it. Pure.

The rules. *In a call*, *a timer* … is what the kernel was in when it queued the segment
(:class:`benchmarks.attribution_truth.Origin`); *T's call* is the one that this thread was in, or
the kill() that ended it.

=============== ============================== ================================================
segment         queued                         right is
=============== ============================== ================================================
first SYN       in a call                      ``call``: T's call
first SYN-ACK   delivering a SYN               ``reply`` to that SYN
RST             in a call                      ``call``: T's call
RST             delivering a packet            ``reply`` to that packet, no call
RST             in a timer                     ``timer``
new bytes       anywhere                       ``call``: the one that put the first of the new
                                               bytes into the socket, by the count of all that
                                               was put there. An ACK or a timer only releases
                                               them: a segment named as such must be the one
                                               that was being delivered.
new FIN alone   anywhere                       ``call``: the one in which the socket changed to
                                               FIN-WAIT-1 or LAST-ACK (tcp_close_state)
sent again      in a timer                     ``timer``; a call named is whose first byte, FIN
                                               or SYN it is
sent again      delivering a packet            ``reply`` (a fast retransmission, recovery); a
                                               call named as above
sent again      in a call, or releasing        any of the two (a call that found it due)
empty ACK       delivering a packet            ``reply`` to that packet, no call
empty ACK       in a timer                     ``timer`` (delayed ACK, probe, keepalive)
empty ACK that  in a call (recv took bytes)    ``call``: T's call; or ``reply`` to what it
acknowledges                                   acknowledges, with no call or T's: an ACK is an
more                                           answer whoever hastened it
empty ACK that  in a call (recv made room)     ``call``: T's call
does not
datagram        in a call                      ``call``: T's call
ICMP message    delivering a packet            ``reply`` to that packet
=============== ============================== ================================================

A call is right where it is the very call of the journal, and with it process and thread.
``unknown`` is never right. Where the kernel does not show what a rule asks for (the event was not
found, or the packet that was being delivered, which a backlog does not always tell) the segment,
or that part of it, is not judged, and counted as that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.attribution_truth import Origin, Truth
from observatory.model import AttributedSegment, CauseKind, Protocol

CALL, REPLY, TIMER = CauseKind.CALL, CauseKind.REPLY, CauseKind.TIMER
Calls = frozenset[int | None]
NO_CALL: Calls = frozenset({None})


@dataclass(frozen=True, slots=True)
class Answer:
    """One cause that is right. ``calls`` None: any; ``segment`` None: any."""

    kind: CauseKind
    calls: Calls | None = NO_CALL
    segment: int | None = None
    optional: bool = False  # no segment need be named


@dataclass(frozen=True, slots=True)
class Judgement:
    """``rule`` is which row of the table it was judged by, empty where it was not; ``wrong`` what
    is wrong in a sentence, empty where it is right."""

    rule: str = ""
    wrong: str = ""

    @property
    def judged(self) -> bool:
        return bool(self.rule)


def judge(one: AttributedSegment, truth: Truth | None) -> Judgement:
    """Hold the analyzer's cause of a segment against the kernel's account of it."""
    if truth is None:
        return Judgement()
    rule = rule_of(one, truth)
    answers = RULES[rule](truth) if rule in RULES else ()
    if not answers:
        return Judgement()
    reasons = [_why_not(one, answer) for answer in answers]
    if "" in reasons:
        return Judgement(rule)
    return Judgement(rule, min(reasons, key=_severity))


def rule_of(one: AttributedSegment, truth: Truth) -> str:
    """Which row speaks of a segment."""
    nature, origin = _nature(one, truth), truth.moment.origin
    if nature in ("new bytes", "new FIN"):
        return nature
    return f"{nature}, {origin}"


def _nature(one: AttributedSegment, truth: Truth) -> str:
    segment = one.segment
    if segment.protocol is Protocol.UDP:
        return "datagram"
    if segment.protocol is not Protocol.TCP:
        return "ICMP"
    if "R" in segment.flags:
        return "RST"
    if truth.fresh:
        return "new bytes"
    if truth.again:
        return "sent again"
    if "S" in segment.flags:
        return "SYN-ACK" if "A" in segment.flags else "SYN"
    if truth.fin:
        return "new FIN"
    return "ACK of more" if truth.advances else "ACK of no more"


def _by(calls: frozenset[int]) -> Calls:
    """T's call; where it was in none that was recorded, none can be named."""
    return frozenset(calls) if calls else NO_CALL


def _its_call(truth: Truth) -> tuple[Answer, ...]:
    return (Answer(CALL, _by(truth.moment.calls)),)


def _a_reply(truth: Truth) -> tuple[Answer, ...]:
    return (Answer(REPLY, NO_CALL, truth.delivered),)


def _a_timer(truth: Truth) -> tuple[Answer, ...]:
    return (Answer(TIMER, None),)


def _carries(truth: Truth) -> tuple[Answer, ...]:
    """New bytes or a new FIN: theirs whose they are, whatever released them."""
    if truth.whose is None:
        return ()
    return (Answer(CALL, _by(truth.whose), truth.delivered, optional=True),)


def _again(*kinds: CauseKind) -> Callable[[Truth], tuple[Answer, ...]]:
    def answers(truth: Truth) -> tuple[Answer, ...]:
        calls = None if truth.whose is None else frozenset({*truth.whose, None})
        return tuple(Answer(kind, calls) for kind in kinds)

    return answers


def _in_recv(truth: Truth) -> tuple[Answer, ...]:
    calls = truth.moment.calls
    return (Answer(REPLY, frozenset({*calls, None})), Answer(CALL, _by(calls)))


RULES: Mapping[str, Callable[[Truth], tuple[Answer, ...]]] = {
    f"SYN, {Origin.CALL}": _its_call,
    f"SYN-ACK, {Origin.ARRIVAL}": _a_reply,
    f"RST, {Origin.CALL}": _its_call,
    f"RST, {Origin.ARRIVAL}": _a_reply,
    f"RST, {Origin.TIMER}": _a_timer,
    "new bytes": _carries,
    "new FIN": _carries,
    f"sent again, {Origin.TIMER}": _again(TIMER),
    f"sent again, {Origin.ARRIVAL}": _again(REPLY),
    f"sent again, {Origin.CALL}": _again(TIMER, REPLY),
    f"sent again, {Origin.RELEASE}": _again(TIMER, REPLY),
    f"ACK of more, {Origin.ARRIVAL}": _a_reply,
    f"ACK of no more, {Origin.ARRIVAL}": _a_reply,
    f"ACK of more, {Origin.TIMER}": _a_timer,
    f"ACK of no more, {Origin.TIMER}": _a_timer,
    f"ACK of more, {Origin.CALL}": _in_recv,
    f"ACK of no more, {Origin.CALL}": _its_call,
    f"datagram, {Origin.CALL}": _its_call,
    f"ICMP, {Origin.ARRIVAL}": _a_reply,
}


def _why_not(one: AttributedSegment, answer: Answer) -> str:
    cause = one.cause
    if cause.kind is not answer.kind:
        return f"kind: {cause.kind}, not {answer.kind}"
    if answer.calls is not None and cause.call not in answer.calls:
        right = " or ".join("none" if c is None else f"c{c}" for c in answer.calls)
        return f"call: {'none' if cause.call is None else f'c{cause.call}'}, not {right}"
    if answer.segment is None or cause.segment == answer.segment:
        return ""
    if answer.optional and cause.segment is None:
        return ""
    named = "none" if cause.segment is None else f"#{cause.segment}"
    return f"segment: {named}, not #{answer.segment}"


ORDER = ("segment", "call", "kind")


def _severity(why: str) -> int:
    """Of several right answers the nearest one is told of."""
    return ORDER.index(why.partition(":")[0])
