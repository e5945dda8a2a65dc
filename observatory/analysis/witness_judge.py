"""What the kernel says of each conclusion: agreed, contradicted, or silent.

The rows of ``evidence`` say what to look for. Silence is never taken for an answer, unless the row
says so, the kernel was asked for such events and none was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from observatory.analysis.callsets import TAKING_APART
from observatory.analysis.completions import Joined
from observatory.analysis.evidence import (
    ASKED_BY_RULE,
    COMPLETED,
    REFINED,
    ROW,
    Absence,
    Asked,
    Row,
)
from observatory.analysis.evidence_words import Says
from observatory.analysis.machine import CLOSED, LISTEN
from observatory.analysis.wire import Half, Kind, Sighting
from observatory.analysis.witness import Witnessed
from observatory.analysis.witness_events import RETRANSMIT, in_words
from observatory.analysis.witness_lives import SLACK_NS, KernelLife, state_before
from observatory.analysis.witness_segments import is_later_answer
from observatory.model import (
    AttributedSegment,
    Call,
    Cause,
    CauseKind,
    Confidence,
    Evidence,
    ExplainedCall,
    KernelEvent,
    Testimony,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What we say of the one who did it: the call, and of a reply the segment that it answers;
    ``answered`` is the one that the kernel names."""

    call: Call | None
    answered: int | None = None
    segment: int | None = None

    @property
    def elsewhere(self) -> bool:
        return self.answered is not None and self.answered != self.segment


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks the witness about conclusions, one after the other."""

    witnessed: Witnessed
    joined: Joined
    calls: Mapping[int, Call]

    # --- Segments ------------------------------------------------------------------------------

    def segments(self, attributed: Iterable[AttributedSegment]) -> tuple[AttributedSegment, ...]:
        """The segments with what the kernel said of their causes, and the confidence that it
        leaves them."""
        return tuple(self._segment(one) for one in attributed)

    def _segment(self, one: AttributedSegment) -> AttributedSegment:
        number = one.segment.id
        sighting = self.joined.wire.sightings.get(number)
        if sighting is None:
            return one
        reset = self.witnessed.resets.get(number)
        drop = self.witnessed.drops.get(number)
        reason = _reason(reset) or _reason(drop)
        asked = self._asked_of(one, sighting)
        if asked is None:
            return replace(one, kernel_reason=reason) if reason else one
        row, events = asked
        call = self.calls.get(one.cause.call) if one.cause.call is not None else None
        life = self.witnessed.life_of.get(sighting.half)
        answered = self.witnessed.answered.get(number)
        replies = one.cause.kind is CauseKind.REPLY and None not in (answered, one.cause.segment)
        claim = Claim(call, answered if replies else None, one.cause.segment)
        testimony = self._weigh(row, events, claim, life)
        cause = self._after(one.cause, row, testimony, events, claim)
        return replace(one, cause=cause, kernel=testimony, kernel_reason=reason)

    def _asked_of(
        self, one: AttributedSegment, sighting: Sighting
    ) -> tuple[Row, Sequence[KernelEvent]] | None:
        """The row that speaks of a segment, and the events that it is compared with."""
        cause, kind = one.cause, sighting.kind
        by_call = cause.kind is CauseKind.CALL and cause.call is not None
        if kind is Kind.RESET:
            row = ROW.get(cause.mechanism)
            told = self.witnessed.resets.get(one.segment.id)
            return (row, [told] if told else []) if row is not None else None
        again = self.witnessed.again.get(one.segment.id)
        if is_later_answer(sighting):
            return ROW["syn-ack-again"], [again] if again else []
        if one.retransmission and kind is Kind.REPEATED:
            return ROW["retransmission"], [again] if again else []
        if again is not None and again.event == RETRANSMIT and kind is Kind.SYN:
            return ROW["first-transmission"], [again]
        if by_call and kind is Kind.SYN:
            return ROW["syn"], self._moves(sighting.half)
        bare_fin = "F" in one.segment.flags and not one.segment.length
        if by_call and kind is Kind.FRESH and bare_fin and not one.retransmission:
            return ROW["fin"], self._moves(sighting.half)
        return None

    def _moves(self, half: Half) -> list[KernelEvent]:
        life = self.witnessed.life_of.get(half)
        return life.events if life is not None else []

    def _after(
        self,
        cause: Cause,
        row: Row,
        testimony: Testimony,
        events: Sequence[KernelEvent],
        claim: Claim,
    ) -> Cause:
        """The cause after the kernel was heard."""
        if testimony.verdict is Verdict.CONTRADICTED and cause.confidence is Confidence.CERTAIN:
            return replace(cause, confidence=Confidence.LIKELY)
        if testimony.verdict is not Verdict.AGREED:
            return cause
        told = [event for event in events if event.id in testimony.events]
        refined = next((REFINED.get((row.id, _reason(event))) for event in told), None)
        if refined is not None:
            cause = replace(cause, reason=f"{cause.reason}: {refined[1]}", mechanism=refined[0])
        call = claim.call
        by_caller = call is not None and any(self._in_thread(event, call) for event in told)
        if claim.answered is not None or (row.decides and by_caller):
            return replace(cause, confidence=Confidence.CERTAIN)
        return cause

    # --- Calls ---------------------------------------------------------------------------------

    def explanations(
        self, explained: Iterable[ExplainedCall], segments: Sequence[AttributedSegment]
    ) -> tuple[ExplainedCall, ...]:
        """The calls with what the kernel said of their explanations; ``segments`` have been
        judged."""
        resets = {
            one.segment.id: one for one in segments if one.kernel and "R" in one.segment.flags
        }
        return tuple(self._call(one, resets) for one in explained)

    def _call(self, one: ExplainedCall, resets: Mapping[int, AttributedSegment]) -> ExplainedCall:
        told = list(self._testimonies(one, resets))
        if not told:
            return one
        testimony = _together(told)
        explanation = one.explanation
        if testimony.events:
            evidence = explanation.evidence
            explanation = replace(
                explanation,
                evidence=Evidence(evidence.segments, evidence.calls, testimony.events),
            )
        certain = explanation.confidence is Confidence.CERTAIN
        if testimony.verdict is Verdict.CONTRADICTED and certain:
            explanation = replace(explanation, confidence=Confidence.LIKELY)
        return replace(one, explanation=explanation, kernel=testimony)

    def _testimonies(
        self, one: ExplainedCall, resets: Mapping[int, AttributedSegment]
    ) -> Iterator[Testimony]:
        """Of the call itself, and of the RSTs that its explanation rests on."""
        asked = ASKED_BY_RULE.get(one.explanation.rule)
        ours = self.joined.life(one.call)
        if asked is not None and (ours is None or ours.is_tcp):
            life, events = self._events_of(one, asked)
            yield self._weigh(ROW[asked.row], events, Claim(one.call), life)
        yield from self._dropped(one)
        for number in one.explanation.evidence.segments:
            reset = resets.get(number)
            if reset is not None and reset.kernel is not None:
                said = f"#{number}: {reset.kernel.said}" if reset.kernel.said else ""
                yield replace(reset.kernel, said=said)

    def _dropped(self, one: ExplainedCall) -> Iterator[Testimony]:
        """Of the segments that we say completed the call, those that this end's kernel dropped
        before TCP saw them."""
        half = self.joined.half(one.call)
        life = self.witnessed.life_of.get(half) if half is not None else None
        for number in one.completed_by:
            drop = self.witnessed.drops.get(number)
            if drop is None or drop.time_ns < self.joined.came_ns(self.joined.segments[number]):
                continue  # on the way, where another copy of it went on
            said = self._weigh(COMPLETED, [drop], Claim(one.call), life)
            if said.verdict is Verdict.CONTRADICTED:
                yield replace(said, said=f"#{number}: {said.said}")

    def _events_of(
        self, one: ExplainedCall, asked: Asked
    ) -> tuple[KernelLife | None, list[KernelEvent]]:
        """What the kernel had said of the call's end until it returned."""
        call, joined = one.call, self.joined
        half = joined.half(call)
        if asked.of == "accepted":
            made = joined.descriptors.made.get(call.id, ())
            halves = (joined.matching.half_at.get((call.id, number)) for number in made)
            half = next((found for found in halves if found is not None), None)
        if asked.of == "listener" or half is None:
            lives = self.witnessed.listeners.get(joined.descriptors.used.get(call.id, 0), [])
            life = lives[-1] if lives else None
            events = [event for each in lives for event in each.events]
        else:
            life = self.witnessed.life_of.get(half)
            events = self.witnessed.of_half.get(half, [])
        if call.returned_ns is None:
            return life, events
        until = call.returned_ns + SLACK_NS
        return life, [event for event in events if event.time_ns <= until]

    # --- Weighing ------------------------------------------------------------------------------

    def _weigh(
        self, row: Row, events: Sequence[KernelEvent], claim: Claim, life: KernelLife | None
    ) -> Testimony:
        for verdict, patterns in (
            (Verdict.AGREED, () if claim.elsewhere else row.kernel),
            (Verdict.CONTRADICTED, row.contradicts),
        ):
            found = [e for e in events if any(self._fits(says, e, claim) for says in patterns)]
            if found:
                words = dict.fromkeys(in_words(event) for event in found)
                ids = tuple(event.id for event in found)
                about = f" to #{claim.answered}" if claim.answered is not None else ""
                return Testimony(verdict, row.id, ", ".join(words) + about, ids)
        if row.absence is Absence.NOTHING or not self._can_tell(row, life):
            return Testimony(Verdict.SILENT, row.id)
        if row.absence is Absence.AGREES:
            return Testimony(Verdict.AGREED, row.id, "its state did not change")
        return Testimony(Verdict.CONTRADICTED, row.id, "nothing of the kind")

    def _can_tell(self, row: Row, life: KernelLife | None) -> bool:
        """Whether silence means something: the kernel was asked for such events, none was lost,
        and it has told of this socket from its beginning."""
        if life is None or state_before(life.events[0]) not in (CLOSED, LISTEN):
            return False
        names = {says.event for says in (*row.kernel, *row.contradicts)}
        return all(self.witnessed.would_have_seen(name) for name in names)

    def _fits(self, says: Says, event: KernelEvent, claim: Claim) -> bool:
        call = claim.call
        if not says.fits(event) or (says.elsewhere and not claim.elsewhere):
            return False
        if says.errno is not None:
            error = event.detail.get("error")
            same = call is not None and error == call.errno
            return same if says.errno else not same and str(error) not in ("", "0")
        if says.thread:
            return call is not None and self._in_thread(event, call)
        if says.stranger:
            return call is not None and self._in_another(event, call)
        return True

    def _in_thread(self, event: KernelEvent, call: Call) -> bool:
        """It happened in the thread that made the call, while that ran; as a process ends, in any
        of its threads."""
        if call.name in TAKING_APART:
            return self.witnessed.process(event) == _ending(call)
        running = self.witnessed.during.get(event.id)
        if running is not None:
            return running.id == call.id
        return event.pid == call.tid and _covers(call, event.time_ns)

    def _in_another(self, event: KernelEvent, call: Call) -> bool:
        """It happened in another process of the run, or in another call of the same one."""
        process = self.witnessed.process(event)
        if process is None or self._in_thread(event, call):
            return False
        running = self.witnessed.during.get(event.id)
        other_call = running is not None and running.id != call.id
        return process != _ending(call) or (other_call and not _covers(call, event.time_ns))


def _ending(call: Call) -> int:
    """The process in which the call does its work: kill() lets another one end."""
    victim = call.args.get("pid")
    return victim if call.name == "kill" and isinstance(victim, int) else call.pid


def _covers(call: Call, time_ns: int) -> bool:
    until = call.returned_ns
    return call.entered_ns - SLACK_NS <= time_ns and (until is None or time_ns <= until + SLACK_NS)


def _reason(event: KernelEvent | None) -> str:
    return str(event.detail.get("reason", "")) if event is not None else ""


def _together(told: Sequence[Testimony]) -> Testimony:
    """One testimony of several: the worst verdict, and of those who said something, all."""
    worst = min((one.verdict for one in told), key=_WORST.index)
    said = [one.said for one in told if one.said]
    events = tuple(dict.fromkeys(number for one in told for number in one.events))
    row = next(one.row for one in told if one.verdict is worst)
    return Testimony(worst, row, "; ".join(said), events)


# An agreement is worth more than that somebody else was silent.
_WORST = (Verdict.CONTRADICTED, Verdict.AGREED, Verdict.SILENT)
