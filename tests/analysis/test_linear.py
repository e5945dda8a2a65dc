"""analyze() is linear: ten times the trace takes at most eleven times the steps.

Counted, not timed: every line of observatory/analysis that runs is a step, so the result is the
same on a busy machine. What one line does inside C (sorting, joining) is not seen; that is what
benchmarks/analyze.py is for.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from observatory.analysis import analyze
from observatory.model import Trace
from tests.random_traces import Plan, perform

MORE = 10
AT_MOST = 11


def steps(trace: Trace) -> int:
    """How many lines of the analysis run for ``trace``."""
    count = 0

    def line(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def call(frame: FrameType, event: str, argument: object) -> Any:
        return line if "observatory" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        analyze(trace)
    finally:
        sys.settrace(before)
    return count


def connections(number: int) -> Trace:
    """That many short connections, of two client processes, one after the other and at once."""
    plans = [
        Plan(client=100 + n % 2, client_isn=n * 99_991, server_sends=(20,), forks=n % 5 == 0)
        for n in range(number)
    ]
    return perform(plans, 1)[0]


def sends(number: int) -> Trace:
    """One connection with that many sends each way."""
    plan = Plan(client_sends=(10,) * number, server_sends=(3000,) * number, unruly=False)
    return perform([plan], 1)[0]


def repetitions(number: int) -> Trace:
    """One connection with much reordering and repetition."""
    return perform([Plan(client_sends=(3000,) * number)], 1)[0]


def reuses(number: int) -> Trace:
    """One port used by one connection after the other."""
    plans = [
        Plan(client_isn=n * 99_991, reuses_port_of=n - 1 if n else None) for n in range(number)
    ]
    return perform(plans, 1)[0]


def without_calls(number: int) -> Trace:
    """Only the wire."""
    return replace(connections(number), calls=(), processes=())


@pytest.mark.parametrize("make", [connections, sends, repetitions, reuses, without_calls])
def test_ten_times_the_trace_takes_at_most_eleven_times_the_steps(make: Any) -> None:
    small, large = make(15), make(15 * MORE)
    events = len(small.segments) + len(small.calls)
    more_events = len(large.segments) + len(large.calls)
    each, each_of_many = steps(small) / events, steps(large) / more_events
    assert each_of_many <= each * AT_MOST / MORE
