"""A report as Markdown, to paste into a ticket."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from observatory import messages
from observatory.codec.calltext import call_text
from observatory.codec.printable import printable
from observatory.messages.phrasebook import speech
from observatory.model import Analysis, Confidence, Trace
from observatory.reports.counters import telling
from observatory.reports.drawing import draw
from observatory.reports.kernel import kernel_section, testimony_text
from observatory.reports.labels import (
    addresses,
    calls_text,
    cause_sentence,
    datagram_calls,
    numbers,
    process_names,
    segments_text,
)
from observatory.reports.ladder import ladder
from observatory.reports.path import told
from observatory.reports.style import Look
from observatory.reports.text import coverage_text
from observatory.reports.why import UNEXPLAINED_WORDS, evidence_text, reasons

LADDER_WIDTH = 100
Say = Callable[[str], str]
# What Markdown or HTML would take for markup in text that is none.
ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|~"} | {"&": "&amp;"})


def render(analysis: Analysis, full: bool = False) -> str:
    """The whole report as GitHub-flavoured Markdown: nothing is left out but the ladder's
    middle, where that is long and not asked for with ``full``. Ends with a newline."""
    return "\n".join(_lines(analysis, full)).rstrip("\n") + "\n"


def _lines(analysis: Analysis, full: bool) -> Iterator[str]:
    run, say = analysis.trace.run, speech(messages.load(analysis.language))
    yield f"# {plain(run.scenario or run.command or 'Capture')}"
    yield ""
    if run.kernel:
        yield from (plain(run.kernel), "")
    yield f"**{coverage_text(analysis.coverage, say)}**"
    yield ""
    if sentences := list(told(analysis.trace)):
        yield from (say("## Path"), "", *(f"- {plain(sentence)}" for sentence in sentences), "")
    drawn = draw(ladder(analysis), Look(LADDER_WIDTH, say=say), full)
    if drawn:
        yield from ("```text", *(line.replace("```", "'''") for line in drawn), "```", "")
    yield from _why(analysis, say)
    yield from _calls(analysis, say)
    yield from _segments(analysis, say)
    yield from _connections(analysis, say)
    yield from _kernel(analysis, say)
    yield from _counters(analysis.trace, say)
    yield from _notes(analysis, say)


def _why(analysis: Analysis, say: Say) -> Iterator[str]:
    found = reasons(analysis, say)
    if not found:
        return
    yield from (say("## Why"), "")
    for reason in found:
        for heading in reason.headings:
            yield f"- {code(heading)}  "
        explanation = reason.calls[0].explanation
        words = plain(explanation.text)
        if reason.unexplained:
            words = f"**{say(UNEXPLAINED_WORDS)}.** {words}"
        elif explanation.confidence is Confidence.LIKELY:
            words = f"*{say('Likely:')}* {words}"
        yield f"  {words}  "
        if heard := testimony_text(call.kernel for call in reason.calls):
            yield f"  {plain(heard)}  "
        about = evidence_text(reason, say)
        yield f"  *{plain(about)}*" if about else ""
    yield ""


def _kernel(analysis: Analysis, say: Say) -> Iterator[str]:
    told = kernel_section(analysis, Look(LADDER_WIDTH, say=say), full=True)
    if told:
        yield from (f"## {told[0]}", "", "```text", *told[1:], "```", "")


def _calls(analysis: Analysis, say: Say) -> Iterator[str]:
    if not analysis.calls:
        return
    names, datagrams = process_names(analysis), datagram_calls(analysis)
    start = _start(analysis)
    yield from (say("## Calls"), "")
    yield from table(
        map(say, ("id", "µs", "process", "call", "sent", "sent again", "completed by")),
        (
            (
                f"c{entry.call.id}",
                f"{(entry.call.entered_ns - start) // 1000:,}",
                plain(names.get(entry.call.pid, str(entry.call.pid))),
                code(call_text(entry.call, entry.call.id not in datagrams)),
                _ids(segments_text(entry.sent)),
                _ids(segments_text(entry.retransmitted)),
                _ids(segments_text(entry.completed_by)),
            )
            for entry in analysis.calls
        ),
    )


def _segments(analysis: Analysis, say: Say) -> Iterator[str]:
    if not analysis.segments:
        return
    start = _start(analysis)
    yield from (say("## Segments"), "")
    yield from table(
        map(say, ("id", "µs", "from", "to", "flags", "numbers", "cause", "completes")),
        (
            (
                _ids(f"#{entry.segment.id}"),
                f"{(entry.segment.time_ns - start) // 1000:,}",
                *addresses(entry.segment),
                entry.segment.flags or entry.segment.protocol.value,
                numbers(entry) if entry.segment.flags else f"len={entry.segment.length}",
                plain(cause_sentence(entry.cause, say)),
                calls_text(entry.completes),
            )
            for entry in analysis.segments
        ),
    )


def _connections(analysis: Analysis, say: Say) -> Iterator[str]:
    if not analysis.connections:
        return
    yield from (say("## Connections"), "")
    yield from table(
        map(say, ("id", "client", "its states", "server", "its states", "opened", "closed")),
        (
            (
                str(one.id),
                str(one.client),
                " → ".join(one.client_states),
                str(one.server),
                " → ".join(one.server_states),
                plain(one.opened),
                plain(one.closed),
            )
            for one in analysis.connections
        ),
    )


def _counters(trace: Trace, say: Say) -> Iterator[str]:
    told = list(telling(trace))
    if not told:
        return
    yield from (say("## Counters"), "")
    if not all(counter.exact for counter, _ in told):
        yield from (say("Others on this machine were counted too."), "")
    elif trace.run.topology is None:
        yield from (say("All ends of the connections together."), "")
    yield from table(
        map(say, ("counter", "change", "what it counts")),
        (
            (
                f"{plain(one.host)} {code(one.name)}".lstrip(),
                f"{one.change:+,}",
                plain(say(meaning)),
            )
            for one, meaning in told
        ),
    )


def _notes(analysis: Analysis, say: Say) -> Iterator[str]:
    notes = [*analysis.notes, *analysis.trace.defects]
    if notes:
        yield from (say("## Notes"), "", *(f"- {plain(note)}" for note in notes))


def table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    names = tuple(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def plain(text: str) -> str:
    """Text that is no markup. Segment ids stand in code spans: a ticket system would take a bare
    ``#12`` for one of its tickets."""
    return _ids(printable(text).translate(ESCAPED))


def _ids(text: str) -> str:
    return re.sub(r"#\d+", r"`\g<0>`", text)


def code(text: str) -> str:
    """Text in a code span, also where it holds back-ticks or a table's bars."""
    safe = printable(text).replace("|", "\\|")
    return f"`` {safe} ``" if "`" in safe else f"`{safe}`"


def _start(analysis: Analysis) -> int:
    return min(
        (
            *(entry.call.entered_ns for entry in analysis.calls),
            *(entry.segment.time_ns for entry in analysis.segments),
        ),
        default=0,
    )
