"""The atlas: a page for every behaviour, and indexes by section, errno, flag and socket option.

Pure: takes what was observed of each behaviour and gives the files' texts, Markdown that reads
well on a code host and in a built site, and a ladder each as SVG.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from observatory.codec.calltext import call_text
from observatory.codec.errnos import message
from observatory.messages import Messages
from observatory.messages.phrasebook import speech
from observatory.model import Analysis, Confidence
from observatory.reports import svg
from observatory.reports.labels import (
    addresses,
    calls_text,
    cause_sentence,
    datagram_calls,
    icmp_name,
    numbers,
    process_names,
    segments_text,
)
from observatory.reports.markdown import code, plain, table
from observatory.reports.why import evidence_text, reasons

RELATED = 5
RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Subject:
    """A behaviour with what was observed of it. ``story`` and ``code`` are its function's text;
    ``claims`` the statements of the book that it tests, as (number, statement)."""

    name: str
    section: str
    title: str
    summary: str
    story: str
    code: str
    analysis: Analysis
    claims: tuple[tuple[int, str], ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a behaviour shows, for the indexes and to find its relatives."""

    errnos: frozenset[str]
    flags: frozenset[str]
    options: frozenset[str]
    rules: frozenset[str]


def traits(analysis: Analysis) -> Traits:
    """The errnos of its calls, the kinds of its segments, the options it set, the rules."""
    calls = [one.call for one in analysis.calls]
    return Traits(
        errnos=frozenset(call.errno for call in calls if call.errno is not None),
        flags=frozenset(_kind(one.segment) for one in analysis.segments),
        options=frozenset(
            str(call.args["option"])
            for call in calls
            if call.name in ("setsockopt", "getsockopt") and "option" in call.args
        ),
        rules=frozenset(
            one.explanation.rule for one in analysis.calls if not one.explanation.plain
        ),
    )


def _kind(segment) -> str:  # type: ignore[no-untyped-def]
    if segment.icmp is not None:
        return f"{segment.protocol} {icmp_name(segment.protocol, segment.icmp)}"
    return segment.flags or str(segment.protocol)


def related(name: str, found: Mapping[str, Traits]) -> list[str]:
    """The behaviours that share most with ``name``; what few show weighs more."""
    shown = {
        one: {
            *(("e", e) for e in t.errnos),
            *(("o", o) for o in t.options),
            *(("r", r) for r in t.rules),
        }
        for one, t in found.items()
    }
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for marks in shown.values():
        for mark in marks:
            counts[mark] += 1
    scores = {
        other: sum(1 / counts[mark] for mark in shown[name] & marks)
        for other, marks in shown.items()
        if other != name
    }
    best = sorted((one for one in scores if scores[one]), key=lambda one: (-scores[one], one))
    return best[:RELATED]


def pages(
    subjects: Sequence[Subject], headings: Mapping[str, str], words: Messages
) -> Iterator[tuple[str, str]]:
    """(file name, text) of every page and picture. ``headings`` are the sections' subjects."""
    found = {one.name: traits(one.analysis) for one in subjects}
    titles = {one.name: words.say(f"title/{one.name}", one.title) for one in subjects}
    for one in subjects:
        yield f"{one.name}.svg", svg.render(one.analysis, title=titles[one.name])
        near = [(name, titles[name]) for name in related(one.name, found)]
        yield f"{one.name}.md", "\n".join(_page(one, near, words)) + "\n"
    indexes = {
        "by-errno": {name: found[name].errnos for name in found},
        "by-flag": {name: found[name].flags for name in found},
        "by-option": {name: found[name].options for name in found},
    }
    for index, marks in indexes.items():
        yield f"{index}.md", "\n".join(_index(index, marks, titles, words)) + "\n"
    # Last, when every text was asked for, so that it can tell how many were missing.
    yield "index.md", "\n".join(_contents(subjects, titles, headings, words)) + "\n"


def _contents(
    subjects: Sequence[Subject],
    titles: Mapping[str, str],
    headings: Mapping[str, str],
    words: Messages,
) -> Iterator[str]:
    yield f"# {words.say('atlas/atlas', 'Atlas of socket behaviours')}"
    yield ""
    yield words.say(
        "atlas/intro",
        "Every behaviour of the catalogue, run once on a real kernel: which calls were made, what "
        "went over the wire, and why each call returned what it returned. Sections are those of "
        "UNIX Network Programming, volume 1 (UNP).",
    )
    yield ""
    kernels = sorted({one.analysis.trace.run.kernel or "" for one in subjects} - {""})
    yield words.say("atlas/ran-on", "Ran on {kernel}").format(kernel=", ".join(kernels))
    yield ""
    for index, english in INDEXES.items():
        yield f"- [{words.say(f'atlas/{index}', english)}]({index}.md)"
    sections: dict[str, list[Subject]] = defaultdict(list)
    for one in subjects:
        sections[one.section].append(one)
    for section, members in sections.items():
        heading = words.say(f"section/{section}", headings.get(section, ""))
        yield from ("", f"## {section} {plain(heading)}".rstrip(), "")
        for one in members:
            summary = words.say(f"summary/{one.name}", one.summary)
            yield f"- [{plain(titles[one.name])}]({one.name}.md): {plain(summary)}"
    if words.missing:
        text = words.say("atlas/missing", "{count} texts are not translated yet.")
        yield from ("", f"*{text.format(count=len(words.missing))}*")


INDEXES = {
    "by-errno": "By errno",
    "by-flag": "By flag and ICMP message",
    "by-option": "By socket option",
}


def _index(
    index: str, marks: Mapping[str, Iterable[str]], titles: Mapping[str, str], words: Messages
) -> Iterator[str]:
    members: dict[str, list[str]] = defaultdict(list)
    for name, shown in marks.items():
        for mark in shown:
            members[mark].append(name)
    yield f"# {words.say(f'atlas/{index}', INDEXES[index])}"
    for mark in sorted(members):
        count = len(members[mark])
        heading = words.say(
            "atlas/ways", "{name}: {count} ways to get it" if count > 1 else "{name}"
        )
        meaning = message(mark) if index == "by-errno" else None
        yield from ("", f"## {heading.format(name=mark, count=count)}", "")
        if meaning:
            yield from (meaning, "")
        yield from (f"- [{plain(titles[name])}]({name}.md)" for name in members[mark])


def _page(one: Subject, near: Sequence[tuple[str, str]], words: Messages) -> Iterator[str]:
    def heading(key: str, english: str) -> tuple[str, ...]:
        return ("", f"## {words.say(f'atlas/{key}', english)}", "")

    title = words.say(f"title/{one.name}", one.title)
    yield f"# {plain(title)}"
    yield ""
    section = words.say("atlas/section", "UNP {section}").format(section=one.section)
    yield f"`{one.name}` · {section}"
    yield ""
    yield plain(words.say(f"summary/{one.name}", one.summary))
    yield ""
    yield from words.say(f"story/{one.name}", one.story).splitlines()
    yield from heading("ladder", "On the wire")
    yield f"![{plain(title)}]({one.name}.svg)"
    yield from heading("why", "Why")
    yield from _why(one.analysis, words)
    yield from heading("calls", "Calls")
    yield from _calls(one.analysis, words)
    yield from heading("segments", "Segments")
    yield from _segments(one.analysis, words)
    yield from heading("code", "The scenario's code")
    yield from ("```python", *one.code.rstrip().splitlines(), "```")
    yield from heading("run-file", "Run file")
    file = f"{one.name}.pcapng"
    text = words.say(
        "atlas/run-file-text",
        "[{file}]({path}): open it in Wireshark, or read it again with `observatory analyze`.",
    )
    yield text.format(
        file=file, path=f"{RUNS}/{file}" if words.lang == "en" else f"../{RUNS}/{file}"
    )
    yield ""
    yield words.say("atlas/observe", "See it yourself: `observatory run {name}`").format(
        name=one.name
    )
    if one.claims:
        yield from heading("claims", "What the book says")
        for number, statement in one.claims:
            yield f"- {number}. {plain(words.say(f'claim/{number}', statement))}"
    if near:
        yield from heading("related", "Related behaviours")
        yield from (f"- [{plain(other)}]({name}.md)" for name, other in near)


def _why(analysis: Analysis, words: Messages) -> Iterator[str]:
    say = speech(words)
    for reason in reasons(analysis, say):
        for each in reason.headings:
            yield f"- {code(each)}  "
        explanation = reason.calls[0].explanation
        text = plain(explanation.text)
        if reason.unexplained:
            text = f"**{words.say('atlas/unexplained', 'Not explained.')}** {text}"
        elif explanation.confidence is Confidence.LIKELY:
            text = f"*{words.say('atlas/likely', 'Likely:')}* {text}"
        yield f"  {text}  "
        if about := evidence_text(reason, say):
            yield f"  *{plain(about)}*"
        yield ""


def _calls(analysis: Analysis, words: Messages) -> Iterator[str]:
    names, datagrams = process_names(analysis), datagram_calls(analysis)
    header = (
        "",
        words.say("atlas/column-call", "call"),
        words.say("atlas/column-by", "by"),
        words.say("atlas/column-sent", "sent"),
        words.say("atlas/column-completed", "completed by"),
    )
    yield from table(
        header,
        (
            (
                f"c{one.call.id}",
                code(call_text(one.call, one.call.id not in datagrams)),
                plain(names.get(one.call.pid, "")),
                plain(segments_text((*one.sent, *one.retransmitted))),
                plain(segments_text(one.completed_by)),
            )
            for one in analysis.calls
        ),
    )


def _segments(analysis: Analysis, words: Messages) -> Iterator[str]:
    if not analysis.segments:
        yield words.say("atlas/nothing-sent", "Nothing went over the wire.")
        return
    start = analysis.segments[0].segment.time_ns
    say = speech(words)
    columns = (("time", "µs"), ("segment", "segment"), ("from", "from"), ("to", "to"))
    header = ("", *(words.say(f"atlas/column-{key}", english) for key, english in columns))
    header = (*header, words.say("atlas/column-cause", "cause"))
    rows = []
    for one in analysis.segments:
        source, target = addresses(one.segment)
        what = _kind(one.segment)
        detail = numbers(one) if one.segment.flags else f"len={one.segment.length}"
        completes = f" ⇒ {calls_text(one.completes)}" if one.completes else ""
        rows.append(
            (
                plain(f"#{one.segment.id}"),
                f"{(one.segment.time_ns - start) // 1000:,}",
                plain(f"{what} {detail}"),
                source,
                target,
                plain(cause_sentence(one.cause, say) + completes),
            )
        )
    yield from table(header, rows)
