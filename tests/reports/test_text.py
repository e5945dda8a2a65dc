"""The report fits its page, says everything, and lets nothing reach the terminal."""

import re
import unicodedata

import pytest

from observatory.reports.style import cells
from observatory.reports.text import coverage_text, render
from tests.reports import samples

WIDTHS = (60, 80, 100, 120, 200)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", samples.ALL)
def test_no_line_is_wider_than_the_page(name, width):
    for line in render(samples.ALL[name](), width).splitlines():
        assert cells(line) <= width, line


@pytest.mark.parametrize("name", samples.ALL)
def test_ascii_is_ascii(name):
    assert render(samples.ALL[name](), 80, ascii=True).isascii()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", samples.ALL)
def test_nothing_from_a_program_reaches_the_terminal(name, plain):
    text = render(samples.ALL[name](), 80, ascii=plain).replace("\n", "")
    assert not {unicodedata.category(char) for char in text} & {"Cc", "Cf", "Cs"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", samples.ALL)
def test_colour_changes_nothing_but_colour(name, width):
    coloured = render(samples.ALL[name](), width, colour=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render(samples.ALL[name](), width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["established", "refused", "timed-out", "forked", "forked-many"])
def test_every_call_and_every_segment_is_in_the_ladder(name, width):
    analysis = samples.ALL[name]()
    ladder = render(analysis, width, full=True).split("\nWhy\n")[0]
    for call in analysis.calls:
        assert re.search(rf"\bc{call.call.id} {call.call.name}", ladder)
    for segment in analysis.segments:
        assert re.search(rf"#{segment.segment.id}\b", ladder)


def test_the_ladder_of_a_refused_connect():
    assert render(samples.refused(), 80).split("\n\n")[1].splitlines() == [
        "   µs  client[4711]                                                  127.0.0.1:9",
        "    0  ├ c1 socket(AF_INET, SOCK_STREAM, 0) = 3                                │",
        "   20  ├ c2 connect(3, 127.0.0.1:9) …                                          │",
        "   40  ├── #1 S seq=0 ← c2 ───────────────────────────────────────────────────▶│",
        "   50  ┃◀── #2 RA seq=0 ack=1 re #1 ⇒ c2 ──────────────────────────────────────┤",
        "   80  ├ c2 connect … = -1 ECONNREFUSED (Connection refused)                   │",
        "  100  ├ c3 close(3) = 0                                                       │",
    ]


def test_at_120_columns_each_lane_s_calls_stand_to_its_right():
    text = render(samples.established(), 120)
    assert "├ c2 bind(3, 127.0.0.1:0) = 0" in text
    assert "├── #1 S seq=0 ← c6 ──" in text


def test_unanswered_segments_and_long_pauses_are_marked():
    text = render(samples.timed_out(), 80)
    assert len([line for line in text.splitlines() if "─✗" in line or "╌✗" in line]) == 3
    assert "+1.02 s" in text
    assert "✗ killed by SIGKILL" in text


def test_lanes_without_room_become_a_list():
    assert "client[100] → server[200]  #1 S seq=0 ← c2" in render(samples.forked(14), 80)
    assert "├── #1 S ──" in render(samples.forked(5), 80)


def test_a_segment_to_oneself_stays_on_its_lane():
    assert "├ ↺ #1 S seq=0 ← c1" in render(samples.self_connected(), 80)


def test_the_middle_of_a_long_run_is_left_out_and_said_so():
    text = render(samples.long_run(), 80)
    assert "300 rows left out here" in text
    assert "--full" in text
    assert "c400 " not in text
    assert "c700 " in text
    assert "c400 " in render(samples.long_run(), 80, full=True)


def test_why_gives_text_evidence_and_reference():
    text = render(samples.refused(), 120)
    assert "c2 connect(3, 127.0.0.1:9) = -1 ECONNREFUSED (Connection refused) by client" in text
    assert "where nobody listens" in text
    assert "evidence #1 #2 k1 · connect(2)" in text


def test_plain_success_is_not_explained():
    assert "Every call is plain success." in render(samples.established(), 80)


def test_the_same_explanation_is_given_once():
    text = render(samples.forked(6), 120)
    assert text.count("The child still holds the socket") == 1
    assert "and c23 c29 c35" in text


def test_doubt_is_loud():
    text = render(samples.troubled(), 80)
    assert "!! NOT EXPLAINED." in text
    assert "Likely: A guess." in text
    assert "!! #1 RA" in text
    assert "!! the capture on lo lost 3 packets" in text
    assert "!! the file ends in the middle of a block" in text


def test_state_paths():
    text = render(samples.established(), 120)
    assert "CLOSED → SYN-SENT → ESTABLISHED → FIN-WAIT-1 → FIN-WAIT-2 → TIME-WAIT" in text


def test_a_capture_without_calls_begins_with_its_connections():
    text = render(samples.capture_only(), 80)
    assert "no calls recorded" in text
    assert text.index("Connections and their states") < text.index("├── #1 S")
    assert "Why" not in text


def test_the_coverage_line():
    assert (
        coverage_text(samples.refused().coverage)
        == "2 segments: 2 attributed · 3 calls: 3 explained · 0 packets lost"
    )
    assert render(samples.refused()).endswith("0 packets lost\n")


def test_many_connections_are_counted_not_listed():
    text = render(samples.capture_only(40), 80)
    assert "15 more connections" in text
