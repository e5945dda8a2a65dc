"""Why: a paragraph for each call that is not plain success, and what could not be explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from observatory.codec.calltext import call_text
from observatory.model import (
    Analysis,
    AttributedSegment,
    CauseKind,
    Confidence,
    Evidence,
    ExplainedCall,
)
from observatory.reports.kernel import testimony_text
from observatory.reports.labels import (
    addresses,
    calls_text,
    cause_sentence,
    datagram_calls,
    numbers,
    process_names,
    segments_text,
)
from observatory.reports.style import Look

MOST_PARAGRAPHS = 60
MOST_UNCERTAIN = 40
UNEXPLAINED_WORDS = "NOT EXPLAINED"
# Ids (#4, c7), numbers and addresses, with the words that count and list them.
NUMBERS = re.compile(r"\[?[#\w.:]*\d[\w.,:\]]*|\b(once|twice|and|times?|bytes?)\b|[,…\s]+")


@dataclass(frozen=True, slots=True)
class Reason:
    """Calls that share one explanation, each with its text."""

    calls: tuple[ExplainedCall, ...]
    headings: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """Reasons of one kind differ in ids and numbers alone: one of them is told in full."""
        explanation = self.calls[0].explanation
        words = NUMBERS.sub("", explanation.text)
        errno = self.calls[0].call.errno or ""
        return explanation.rule, errno, explanation.confidence.value, words

    @property
    def unexplained(self) -> bool:
        return self.calls[0].explanation.confidence is Confidence.UNEXPLAINED


def reasons(analysis: Analysis, say: Callable[[str], str] = str) -> list[Reason]:
    """The calls worth a paragraph, in order; the same explanation word for word is given once."""
    names, datagrams = process_names(analysis), datagram_calls(analysis)
    together: dict[tuple[str, str, str], list[ExplainedCall]] = {}
    for entry in analysis.calls:
        explanation = entry.explanation
        if explanation.plain and explanation.confidence is Confidence.CERTAIN:
            continue
        key = explanation.rule, explanation.text, explanation.confidence.value
        together.setdefault(key, []).append(entry)
    return [
        Reason(
            tuple(calls),
            tuple(say(_heading(call, names, call.call.id not in datagrams)) for call in calls),
        )
        for calls in together.values()
    ]


def _heading(entry: ExplainedCall, names: dict[int, str], stream: bool) -> str:
    """``c4 connect(4, 127.0.0.1:9) = -1 ECONNREFUSED … by client[4711] at client.py:12``."""
    call = entry.call
    where = f" at {call.site}" if call.site is not None else ""
    who = names.get(call.pid, f"pid[{call.pid}]")
    return f"c{call.id} {call_text(call, stream)} by {who}{where}"


def evidence_text(reason: Reason, say: Callable[[str], str] = str) -> str:
    """``#1 #2 c3 · RFC 9293 3.5.2``: what the explanation rests on, and where it is written."""
    evidence = [entry.explanation.evidence for entry in reason.calls]
    merged = Evidence(
        segments=tuple(dict.fromkeys(n for e in evidence for n in e.segments)),
        calls=tuple(dict.fromkeys(n for e in evidence for n in e.calls)),
        kernel=tuple(dict.fromkeys(n for e in evidence for n in e.kernel)),
    )
    ids = " ".join(
        part
        for part in (
            segments_text(merged.segments),
            calls_text(merged.calls),
            " ".join(f"k{number}" for number in merged.kernel),
        )
        if part
    )
    reference = reason.calls[0].explanation.reference
    return " · ".join(part for part in (ids and say(f"evidence {ids}"), reference) if part)


def why(analysis: Analysis, look: Look, full: bool = False) -> list[str]:
    """The Why section's lines; empty if the trace has no calls."""
    if not analysis.calls:
        return []
    found = reasons(analysis, look.say)
    lines = [look.title("Why")]
    if not found:
        return [*lines, *look.paragraph("Every call is plain success.", "  ")]
    shown = found if full else found[:MOST_PARAGRAPHS]
    told: dict[tuple[str, str, str, str], int] = {}
    for reason in shown:
        first = told.setdefault(reason.kind, reason.calls[0].call.id)
        repeats = first != reason.calls[0].call.id and not full and not reason.unexplained
        lines += [*_paragraph(reason, look, first if repeats else None), ""]
    if len(shown) < len(found):
        more = f"… {len(found) - len(shown):,} more calls are explained · --full shows them …"
        return [*lines, *look.paragraph(more, "  ")]
    return lines[:-1]


def _paragraph(reason: Reason, look: Look, like: int | None = None) -> Iterator[str]:
    """Headings, explanation, evidence; ``like`` is the call whose reason says the same in full."""
    explanation = reason.calls[0].explanation
    headings = reason.headings if len(reason.headings) <= 4 else (*reason.headings[:3],)
    failed = reason.calls[0].call.failed
    for heading in headings:
        for line in look.paragraph(heading, "  ", "     "):
            yield look.paint(line, "error" if failed else "strong")
    if len(headings) < len(reason.calls):
        rest = tuple(entry.call.id for entry in reason.calls[len(headings) :])
        yield from look.paragraph(f"and {calls_text(rest)}", "  ", "      ")
    words = explanation.text
    about = evidence_text(reason, look.say)
    if like is not None:
        evidence = about.removesuffix(explanation.reference)
        for line in look.paragraph(f"as c{like} above · {evidence}".rstrip(" ·"), "     "):
            yield look.paint(line, "dim")
        return
    if reason.unexplained:
        for line in look.paragraph(f"!! {UNEXPLAINED_WORDS}. {words}", "     "):
            yield look.paint(line, "alarm")
    else:
        likely = explanation.confidence is Confidence.LIKELY
        yield from look.paragraph(f"Likely: {words}" if likely else words, "     ")
    heard = testimony_text(call.kernel for call in reason.calls)
    for line in look.paragraph(heard, "     ") if heard else ():
        yield look.paint(line, "alarm" if heard.startswith("!!") else "")
    for line in look.paragraph(about, "     "):
        yield look.paint(line, "dim")


def uncertain(analysis: Analysis) -> list[AttributedSegment]:
    """The segments whose cause is unknown or only likely, the unknown ones first."""
    doubtful = [
        entry
        for entry in analysis.segments
        if entry.cause.kind is CauseKind.UNKNOWN or entry.cause.confidence is not Confidence.CERTAIN
    ]
    return sorted(doubtful, key=lambda entry: entry.cause.kind is not CauseKind.UNKNOWN)


def uncertain_segments(analysis: Analysis, look: Look, full: bool = False) -> list[str]:
    """The lines about segments of doubtful cause; empty where there are none.

    A capture without calls cannot name a cause for most segments: then only their number is
    given, unless ``full``.
    """
    doubtful = uncertain(analysis)
    if not doubtful:
        return []
    lines = [look.title("Segments whose cause is not certain")]
    if not analysis.calls and not full:
        words = (
            f"{len(doubtful):,} of {len(analysis.segments):,}: the capture has no calls, so the "
            "wire alone cannot show what the programs did · --full lists them"
        )
        return lines + look.paragraph(words, "  ")
    shown = doubtful if full else doubtful[:MOST_UNCERTAIN]
    for entry in shown:
        lines += [
            look.paint(line, "alarm" if entry.cause.kind is CauseKind.UNKNOWN else "doubt")
            for line in look.paragraph(_doubt(entry, look), "  ", "     ")
        ]
    if len(shown) < len(doubtful):
        more = f"… and {len(doubtful) - len(shown):,} more · --full shows them …"
        lines += look.paragraph(more, "  ")
    return lines


def _doubt(entry: AttributedSegment, look: Look) -> str:
    segment, cause = entry.segment, cause_sentence(entry.cause, look.say)
    source, target = addresses(segment)
    what = segment.flags or segment.protocol.value
    where = f" {numbers(entry)}" if segment.flags else ""
    mark = "!! " if entry.cause.kind is CauseKind.UNKNOWN else ""
    return f"{mark}#{segment.id} {what}{where} {source} → {target}: {cause}"
