"""Comments on segments name the call, the process and the reason."""

from observatory.reports.annotations import comments
from tests.reports import samples


def test_a_call_s_segment_and_what_it_completes():
    made = comments(samples.established())
    assert made[1] == ("#1 ← connect() by client[4711] (c6): SYN, active open",)
    assert made[3] == (
        "#3 answers #2: ACK",
        "#3 completes accept4() c4 of server[4712] = 4 (127.0.0.1:40000)",
    )


def test_a_timer_s_segment():
    assert comments(samples.timed_out())[2] == (
        "#2 a timer fired after #1: retransmission timeout",
    )


def test_an_unknown_cause_is_said():
    assert comments(samples.troubled())[1] == ("#1 cause unknown: no call, reply or timer",)


def test_each_comment_is_one_printable_line():
    for make in samples.ALL.values():
        for lines in comments(make()).values():
            assert all(line.isprintable() for line in lines)
