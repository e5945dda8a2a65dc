"""The lower half of a play: what the analysis must conclude, and what it concluded instead.

Each line names a subject and what is claimed of it; only what is listed is checked::

    #1 call c certain            segment 1 was sent by the call labelled c
    #2 reply #1                  the kernel's answer to segment 1
    #5 timer #3 c                a timer sent segment 3 again, which goes back to c
    #4 unknown                   nothing shows what sent it
    #2 reply #1 completes c d    ... and it completed these calls (``nothing``: none)
    #3 retransmission conn 1     it repeats an earlier segment; its connection
    #3 quotes #1                 this ICMP message is about segment 1
    #1 lost router:eth0          it never came, and that interface saw it last (``lost nowhere``)
    c sent #1 #2                 the first transmissions that c caused (``nothing``: none)
    c retransmitted #3 completed #2 rule connect-refused likely conn 1 plain
    conn 1 client CLOSED SYN-SENT        the states of one end, in order
    conn 1 opened "active" closed "by server"    words that the phrase contains
    conns 2                      how many connections there are
    all attributed               no segment is unknown
    all explained                no call is unexplained
    all certain                  both, and every one of them for certain
    nothing certain              nothing at all is called certain
    note "lost"                  a note of the analysis contains these words

What the kernel's events say of it::

    #2 mechanism rst-nobody-listens kernel agreed NO_SOCKET    its verdict (``unasked``: none), and
                                 the reason it gave
    #1 fate "accept queue"       what became of a SYN without an answer
    c kernel contradicted        its verdict on the explanation
    conn 1 kernel-client CLOSED SYN-SENT     the states that the kernel told of
    difference "SYN #1" "CLOSED"     a difference has these words in its subject, ours or theirs
    differences 0                how many there are
    heard 3 agreed 0 contradicted 1 silent

The claims become lines, the conclusions become lines of the same form, and a failure is the
difference between the two.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterator

from observatory.analysis import analyze
from observatory.model import (
    Analysis,
    AttributedSegment,
    CauseKind,
    Confidence,
    Connection,
    ExplainedCall,
    Testimony,
)
from tests.plays import Play, PlayError, read_play

KINDS = frozenset(kind.value for kind in CauseKind)
CONFIDENCES = frozenset(confidence.value for confidence in Confidence)
OF_THE_KERNEL = {"kernel", "mechanism", "fate"}
SEGMENT_CLAIMS = (
    KINDS
    | CONFIDENCES
    | {"completes", "retransmission", "conn", "quotes", "reason"}
    | OF_THE_KERNEL
    | {"lost"}
)
CALL_CLAIMS = CONFIDENCES | {"sent", "retransmitted", "completed", "rule", "conn", "plain", "says"}
CALL_CLAIMS |= {"kernel"}
CONNECTION_CLAIMS = frozenset({"client", "server", "opened", "closed"})
CONNECTION_CLAIMS |= {"kernel-client", "kernel-server"}


def check(text: str) -> Analysis:
    """Play ``text`` and check all it expects.

    Raises AssertionError with the difference, PlayError if the play cannot be read or expects
    nothing. Returns the analysis.
    """
    play = read_play(text)
    if not play.expectations:
        raise PlayError("this play has no 'expect:' part: nothing would be checked")
    analysis = analyze(play.trace)
    expected = [" ".join(words) for words in map(_words, play.expectations)]
    witness = _Witness(play, analysis)
    actual = [witness.line(_words(line)) for line in play.expectations]
    if expected != actual:
        difference = difflib.ndiff(expected, actual)
        shown = "\n".join(line for line in difference if not line.startswith("?"))
        raise AssertionError(f"{play.title}\n- expected, + concluded\n{shown}\n\n{witness.all()}")
    return analysis


def _words(line: str) -> list[str]:
    return shlex.split(line)


class _Witness:
    """Says of each subject what the analysis concluded, in the words of the expectation."""

    def __init__(self, play: Play, analysis: Analysis) -> None:
        self.analysis = analysis
        self.label = {call: label for label, call in play.labels.items()}
        self.calls = {label: analysis.calls[call - 1] for label, call in play.labels.items()}
        for each in analysis.calls:
            self.label.setdefault(each.call.id, f"call-{each.call.id}")

    def line(self, words: list[str]) -> str:
        """The line that would have been right."""
        subject, *claims = words
        if subject.startswith("#"):
            segment = self.analysis.segments[int(subject[1:]) - 1]
            said = self.segment(segment, claims)
        elif subject in self.calls:
            said = self.call(self.calls[subject], claims)
        elif subject == "conn":
            subject = f"conn {claims[0]}"
            said = self.connection(int(claims.pop(0)), claims)
        elif subject in _WHOLE:
            said = _WHOLE[subject](self.analysis, claims)
        else:
            raise PlayError(f"{' '.join(words)!r}: nothing in this play is called {subject!r}")
        return " ".join([subject, *said])

    def segment(self, segment: AttributedSegment, claims: list[str]) -> Iterator[str]:
        for claim, values in _grouped(claims, SEGMENT_CLAIMS):
            if claim in KINDS:
                yield from self.cause(segment, values)
            elif claim in CONFIDENCES:
                yield segment.cause.confidence.value
            elif claim == "completes":
                yield from ("completes", *(self.names(segment.completes) or ["nothing"]))
            elif claim == "retransmission":
                yield claim if segment.retransmission else "first-transmission"
            elif claim == "conn":
                yield from ("conn", str(segment.connection))
            elif claim == "quotes":
                yield from ("quotes", f"#{segment.quotes}")
            elif claim == "lost":
                yield from ("lost", segment.lost_after or "nowhere")
            elif claim == "mechanism":
                yield from ("mechanism", segment.cause.mechanism)
            elif claim == "fate":
                yield from _contains(claim, values, segment.fate)
            elif claim == "kernel":
                reason = [segment.kernel_reason] if values[1:] else []
                yield from ("kernel", _verdict(segment.kernel), *reason)
            else:
                yield from _contains(claim, values, segment.cause.reason)

    def cause(self, segment: AttributedSegment, values: list[str]) -> Iterator[str]:
        """The kind, and of the call and the segment it goes back to those that are asked for."""
        cause = segment.cause
        yield cause.kind.value
        for value in values:
            if value.startswith("#"):
                yield f"#{cause.segment}"
            else:
                yield self.label.get(cause.call or 0, "no-call")

    def call(self, explained: ExplainedCall, claims: list[str]) -> Iterator[str]:
        explanation = explained.explanation
        for claim, values in _grouped(claims, CALL_CLAIMS):
            if claim in ("sent", "retransmitted", "completed"):
                ids = explained.completed_by if claim == "completed" else getattr(explained, claim)
                yield from (claim, *([f"#{i}" for i in ids] or ["nothing"]))
            elif claim in CONFIDENCES:
                yield explanation.confidence.value
            elif claim == "rule":
                yield from ("rule", explanation.rule)
            elif claim == "conn":
                yield from ("conn", str(explained.connection))
            elif claim == "kernel":
                yield from ("kernel", _verdict(explained.kernel))
            elif claim == "plain":
                yield "plain" if explanation.plain else "noteworthy"
            else:
                yield from _contains(claim, values, explanation.text)

    def connection(self, number: int, claims: list[str]) -> Iterator[str]:
        if number > len(self.analysis.connections):
            yield "does not exist"
            return
        connection = self.analysis.connections[number - 1]
        for claim, values in _grouped(claims, CONNECTION_CLAIMS):
            if claim in ("opened", "closed"):
                yield from _contains(claim, values, getattr(connection, claim))
            else:
                yield from (claim, *_path(connection, claim))

    def names(self, calls: tuple[int, ...]) -> list[str]:
        return [self.label[call] for call in calls]

    def all(self) -> str:
        """Everything that was concluded, for the reader of a failure."""
        lines = ["concluded in all:"]
        for segment in self.analysis.segments:
            s, cause = segment.segment, segment.cause
            goes_back = [f"#{cause.segment}"] if cause.segment else []
            goes_back += [self.label.get(cause.call, "?")] if cause.call else []
            lines.append(
                f"  #{s.id} {s.src} > {s.dst} {s.flags} {segment.relative_seq}({s.length}): "
                f"{' '.join([cause.kind, *goes_back, cause.confidence])} ({cause.reason})"
                f" completes {self.names(segment.completes)}"
            )
        for each in self.analysis.calls:
            why = each.explanation
            lines.append(
                f"  {self.label[each.call.id]} {each.call.name} = {each.call.result} "
                f"{each.call.errno or ''}: sent {each.sent} completed {each.completed_by} "
                f"conn {each.connection} rule {why.rule} {why.confidence}: {why.text}"
            )
        for c in self.analysis.connections:
            lines.append(f"  conn {c.id} opened {c.opened!r} closed {c.closed!r}")
            lines += [f"    {end} {' '.join(_path(c, end))}" for end in ("client", "server")]
        return "\n".join(lines)


def _path(connection: Connection, end: str) -> tuple[str, ...]:
    return {
        "client": connection.client_states,
        "server": connection.server_states,
        "kernel-client": connection.client_kernel,
        "kernel-server": connection.server_kernel,
    }[end]


def _verdict(testimony: Testimony | None) -> str:
    return testimony.verdict.value if testimony is not None else "unasked"


def _grouped(words: list[str], claims: frozenset[str]) -> Iterator[tuple[str, list[str]]]:
    """``[sent, #1, #2, rule, x]`` as ``(sent, [#1, #2]), (rule, [x])``."""
    group: tuple[str, list[str]] | None = None
    for word in words:
        if word in claims:
            if group:
                yield group
            group = (word, [])
        elif group is None:
            raise PlayError(f"{word!r} is no claim; known are {', '.join(sorted(claims))}")
        else:
            group[1].append(word)
    if group:
        yield group


def _contains(claim: str, values: list[str], text: str) -> tuple[str, ...]:
    """The claim itself if ``text`` has the words that it asks for, else the text."""
    wanted = " ".join(values)
    return (claim, wanted if wanted.lower() in text.lower() else text)


def _everything(analysis: Analysis, claims: list[str]) -> list[str]:
    unknown = [f"#{s.segment.id}" for s in analysis.segments if s.cause.kind is CauseKind.UNKNOWN]
    unexplained = [
        f"call-{c.call.id}"
        for c in analysis.calls
        if c.explanation.confidence is Confidence.UNEXPLAINED
    ]
    unsure = [
        f"#{s.segment.id}"
        for s in analysis.segments
        if s.cause.confidence is not Confidence.CERTAIN
    ]
    unsure += [
        f"call-{c.call.id}"
        for c in analysis.calls
        if c.explanation.confidence is not Confidence.CERTAIN
    ]
    missing = {"attributed": unknown, "explained": unexplained, "certain": unsure}[claims[0]]
    return claims if not missing else [*claims, "but", *missing]


def _nothing(analysis: Analysis, claims: list[str]) -> list[str]:
    found = [
        f"#{s.segment.id}" for s in analysis.segments if s.cause.confidence is Confidence.CERTAIN
    ]
    return claims if not found else [*claims, "but", *found]


def _note(analysis: Analysis, claims: list[str]) -> list[str]:
    wanted = " ".join(claims)
    return claims if any(wanted in note for note in analysis.notes) else [*analysis.notes]


def _difference(analysis: Analysis, claims: list[str]) -> list[str]:
    told = [f"{d.subject}: {d.ours} / {d.kernels}" for d in analysis.differences]
    fits = any(all(words in one for words in claims) for one in told)
    return claims if fits else told or ["none"]


def _heard(analysis: Analysis, claims: list[str]) -> list[str]:
    figures = analysis.coverage
    return [
        *(str(figures.agreed), "agreed", str(figures.contradicted), "contradicted"),
        *(str(figures.silent), "silent"),
    ]


_WHOLE: dict[str, Callable[[Analysis, list[str]], list[str]]] = {
    "difference": _difference,
    "differences": lambda analysis, _: [str(len(analysis.differences))],
    "heard": _heard,
    "all": _everything,
    "nothing": _nothing,
    "note": _note,
    "conns": lambda analysis, _: [str(len(analysis.connections))],
}
