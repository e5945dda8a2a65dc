"""An analysis that says the same in another language: what it concluded is untouched."""

from __future__ import annotations

from dataclasses import replace

from observatory.messages import ENGLISH, Messages
from observatory.messages.phrasebook import Phrasebook
from observatory.model import (
    Analysis,
    AttributedSegment,
    Connection,
    Difference,
    ExplainedCall,
    PlacedEvent,
    Testimony,
    Trace,
)


def in_language(analysis: Analysis, words: Messages) -> Analysis:
    """The analysis with every sentence and phrase in the language of ``words``; what that has no
    text for stays English and is among its ``missing``. For reading: a run file keeps the words
    that it was recorded with."""
    if words.lang == ENGLISH:
        return analysis
    book = Phrasebook(words)
    return replace(
        analysis,
        trace=_trace(analysis.trace, book),
        calls=tuple(_call(one, book) for one in analysis.calls),
        segments=tuple(_segment(one, book) for one in analysis.segments),
        connections=tuple(_connection(one, book) for one in analysis.connections),
        notes=tuple(book.say(note) for note in analysis.notes),
        kernel=tuple(_event(one, book) for one in analysis.kernel),
        differences=tuple(_difference(one, book) for one in analysis.differences),
        language=words.lang,
    )


def _call(one: ExplainedCall, book: Phrasebook) -> ExplainedCall:
    told = one.explanation
    text = book.explain(told.rule, told.facts, told.text)
    return replace(one, explanation=replace(told, text=text), kernel=_testimony(one.kernel, book))


def _segment(one: AttributedSegment, book: Phrasebook) -> AttributedSegment:
    return replace(
        one,
        cause=replace(one.cause, reason=book.say(one.cause.reason)),
        kernel=_testimony(one.kernel, book),
        fate=book.say(one.fate),
    )


def _testimony(told: Testimony | None, book: Phrasebook) -> Testimony | None:
    return replace(told, said=book.say(told.said)) if told is not None else None


def _connection(one: Connection, book: Phrasebook) -> Connection:
    return replace(
        one,
        opened=book.say(one.opened),
        closed=book.say(one.closed),
        peculiarities=tuple(book.say(each) for each in one.peculiarities),
    )


def _event(one: PlacedEvent, book: Phrasebook) -> PlacedEvent:
    return replace(one, said=book.say(one.said))


def _difference(one: Difference, book: Phrasebook) -> Difference:
    return replace(
        one,
        subject=book.say(one.subject),
        ours=book.say(one.ours),
        kernels=book.say(one.kernels),
    )


def _trace(trace: Trace, book: Phrasebook) -> Trace:
    """The sentences about what is missing, and about what was done to the path."""
    topology = trace.run.topology
    if topology is not None:
        topology = replace(topology, faults=tuple(book.say(one) for one in topology.faults))
    return replace(
        trace,
        run=replace(trace.run, topology=topology),
        defects=tuple(book.say(one) for one in trace.defects),
        unwatched=book.say(trace.unwatched),
    )
