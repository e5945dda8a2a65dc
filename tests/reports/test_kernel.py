"""What the report says of the kernel's own events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from observatory.analysis import analyze
from observatory.model import Analysis, Trace, Witness
from observatory.reports import markdown
from observatory.reports.kernel import kernel_section
from observatory.reports.ladder import ladder
from observatory.reports.style import Look
from observatory.reports.text import coverage_text, render
from tests.plays import read_play

PLAYS = Path(__file__).parents[1] / "analysis" / "plays" / "kernel"
LOOK = Look(100, colour=False, ascii=False)


def played(name: str) -> Analysis:
    return analyze(read_play((PLAYS / name).read_text("utf-8")).trace)


def section(analysis: Analysis) -> str:
    return " ".join(" ".join(kernel_section(analysis, LOOK)).split())


def test_events_are_quoted_with_what_was_running_and_never_by_whom() -> None:
    told = section(played("refused.play"))
    assert "k2 RST sent, reason NO_SOCKET · #2 · 10.0.0.2:80 → 10.0.0.1:5000" in told
    assert "while client[100]'s connect() c2 was running" in told
    assert "by client" not in told


def test_states_in_other_words_are_told_with_the_reason() -> None:
    told = section(played("whole-connection.play"))
    assert "0 of 2 paths are ours word for word, in other words:" in told
    assert "conn 1 server LISTEN → SYN-RECEIVED → ESTABLISHED → CLOSE-WAIT" in told
    assert "TIME-WAIT is kept in a small socket" in told


def test_a_contradiction_is_loud_and_its_conclusion_no_longer_certain() -> None:
    analysis = played("reason-contradicts.play")
    told = section(analysis)
    assert "!! THE KERNEL CONTRADICTS: RST #4" in told
    assert "The kernel says: RST sent, reason TCP_ABORT_ON_CLOSE" in told
    assert "2 contradicted" in coverage_text(analysis.coverage)
    assert "!! the kernel contradicts: #4: RST sent" in render(analysis)


def test_why_quotes_the_kernel_and_the_last_line_counts_it() -> None:
    text = render(played("refused.play"))
    assert "kernel: error ECONNREFUSED reported; #2: RST sent, reason NO_SOCKET" in text
    assert text.rstrip().endswith("kernel: 3 agreed, 0 contradicted, 0 silent")


def test_what_was_not_watched_or_was_lost_is_said_in_a_line() -> None:
    unwatched = Trace(unwatched="The kernel's tracepoints need root.")
    assert section(analyze(unwatched)) == "Kernel The kernel's tracepoints need root."
    lossy = Trace(witness=Witness(watched=("tcp:tcp_send_reset",), lost=7, foreign=2))
    told = section(analyze(lossy))
    assert "2 of others left out" in told
    assert "!! 7 EVENTS LOST" in told
    assert kernel_section(analyze(Trace()), LOOK) == []


def test_markdown_tells_the_same() -> None:
    page = markdown.render(played("refused.play"))
    assert "\n## Kernel\n\n```text\n" in page
    assert "kernel: error ECONNREFUSED reported" in page
    assert "k2 RST sent, reason NO_SOCKET · #2" in page


def test_marks_stand_at_the_end_that_they_tell_of_and_only_if_asked_for() -> None:
    analysis = played("refused.play")
    assert ladder(analysis).marks == ()
    made = ladder(analysis, kernel=True)
    client, port = made.lanes.position[100], made.lanes.position["10.0.0.2:80"]
    at = {mark.event: mark.lane for mark in made.marks}
    assert at == {1: client, 2: port, 3: client, 4: client, 5: client}
    assert "k2 RST sent, reason NO_SOCKET #2" in render(analysis, kernel=True)
    assert "k1 " not in render(analysis).partition("Why")[0]


def test_marks_are_drawn_in_a_list_too() -> None:
    assert "k5 error ECONNREFUSED reported" in render(
        replace(played("refused.play")), width=60, kernel=True
    )


def test_a_listeners_marks_stand_with_who_called_listen() -> None:
    made = ladder(played("whole-connection.play"), kernel=True)
    (mark,) = [mark for mark in made.marks if mark.words == "CLOSED → LISTEN"]
    assert mark.lane == made.lanes.position[200]
