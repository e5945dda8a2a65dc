"""The rows of a ladder: their order, which calls appear twice, which segments nobody answered."""

from observatory.reports.ladder import (
    CallRow,
    EndRow,
    Moment,
    SegmentRow,
    blocked_calls,
    ladder,
    unanswered,
)
from tests.reports import samples


def moments(analysis, number):
    return [
        row.moment
        for row in ladder(analysis).rows
        if isinstance(row, CallRow) and row.call.call.id == number
    ]


def test_rows_are_in_time_order_from_the_first_event():
    made = ladder(samples.established())
    times = [row.time_ns for row in made.rows]
    assert times == sorted(times)
    assert made.start_ns == samples.START


def test_a_call_that_waited_is_shown_where_it_was_entered_and_where_it_returned():
    analysis = samples.established()
    assert moments(analysis, 4) == [Moment.ENTERED, Moment.RETURNED]
    assert moments(analysis, 7) == [Moment.WHOLE]


def test_what_completed_a_call_before_it_was_entered_did_not_make_it_wait():
    assert moments(samples.established(), 8) == [Moment.WHOLE]


def test_a_call_that_never_returned_has_an_entry_only():
    assert moments(samples.timed_out(), 2) == [Moment.ENTERED]


def test_exit_never_returns_and_does_not_wait():
    analysis = samples.forked(1)
    assert not any(
        entry.call.id in blocked_calls(analysis)
        for entry in analysis.calls
        if entry.call.name == "exit"
    )


def test_syns_that_were_sent_again_are_unanswered():
    assert unanswered(samples.timed_out().segments) == {1, 2, 3}


def test_acknowledged_segments_are_answered():
    assert unanswered(samples.established().segments) == frozenset()


def test_a_reset_and_an_icmp_error_are_answers():
    assert unanswered(samples.refused().segments) == frozenset()
    assert unanswered(samples.datagrams().segments) == frozenset()


def test_a_retransmission_that_is_acknowledged_is_answered():
    s = samples.Sample()
    s.segment(0, samples.CLIENT, samples.SERVER, "S")
    s.segment(10, samples.CLIENT, samples.SERVER, "S", timer=1)
    s.segment(20, samples.SERVER, samples.CLIENT, "SA", 0, 1)
    s.segment(30, samples.CLIENT, samples.SERVER, "A", 1, 1)
    assert unanswered(s.analysis().segments) == {1}


def test_a_killed_process_has_a_row():
    rows = ladder(samples.timed_out()).rows
    assert [row.process.signal for row in rows if isinstance(row, EndRow)] == ["SIGKILL"]


def test_a_segment_of_a_socket_goes_from_its_process():
    made = ladder(samples.refused())
    first = next(row for row in made.rows if isinstance(row, SegmentRow))
    labels = [lane.label for lane in made.lanes.lanes]
    assert (labels[first.source], labels[first.target]) == ("client[4711]", "127.0.0.1:9")


def test_a_long_call_during_which_nothing_else_happened_is_one_row():
    s = samples.Sample()
    s.call(0, 1, "fork", 2, took=5000)
    s.call(6000, 1, "fork", 3, took=5000)
    s.call(7000, 2, "close", fd=3)
    assert moments(s.analysis(), 1) == [Moment.WHOLE]
    assert moments(s.analysis(), 2) == [Moment.ENTERED, Moment.RETURNED]


def test_a_call_that_waited_for_its_timeout_is_two_rows():
    s = samples.Sample()
    s.call(0, 1, "poll", 0, took=250_000, fds=((3, "POLLIN"),), timeout_ms=250)
    assert moments(s.analysis(), 1) == [Moment.ENTERED, Moment.RETURNED]


def test_a_receive_with_nothing_on_the_wire_waited_if_another_process_acted_meanwhile():
    s = samples.Sample()
    s.call(0, 1, "recv", 5, took=100, fd=3, length=9, flags="0")
    s.call(50, 2, "send", 5, fd=3, length=5, flags="0")
    s.call(200, 1, "recv", 5, fd=3, length=9, flags="0")
    assert moments(s.analysis(), 1) == [Moment.ENTERED, Moment.RETURNED]
    assert moments(s.analysis(), 3) == [Moment.WHOLE]
