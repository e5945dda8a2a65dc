"""analyze() is linear: ten times the trace takes at most eleven times the steps.

Counted, not timed: every line of observatory/analysis that runs is a step, so the result is the
same on a busy machine. What one line does inside C (sorting, joining) is not seen; that is what
benchmarks/analyze.py is for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from observatory.analysis import analyze
from observatory.model import KernelEvent, Segment, Trace, Witness
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
    return perform(_plans(number), 1)[0]


def _plans(number: int) -> list[Plan]:
    return [
        Plan(client=100 + n % 2, client_isn=n * 99_991, server_sends=(20,), forks=n % 5 == 0)
        for n in range(number)
    ]


def sends(number: int) -> Trace:
    """One connection with that many sends each way."""
    return perform([_long(number)], 1)[0]


def _long(number: int) -> Plan:
    return Plan(client_sends=(10,) * number, server_sends=(3000,) * number, unruly=False)


def repetitions(number: int) -> Trace:
    """One connection with much reordering and repetition."""
    return perform([Plan(client_sends=(3000,) * number)], 1)[0]


def reuses(number: int) -> Trace:
    """One port used by one connection after the other."""
    plans = [
        Plan(client_isn=n * 99_991, reuses_port_of=n - 1 if n else None) for n in range(number)
    ]
    return perform(plans, 1)[0]


def witnessed(number: int) -> Trace:
    """The kernel tells of every SYN, FIN, RST and repetition of those connections, and of one that
    goes on and on."""
    return with_kernel(perform([*_plans(number), _long(number)], 1)[0])


def with_kernel(trace: Trace) -> Trace:
    """The trace with events as a kernel might tell of its segments."""
    events = [
        KernelEvent(0, one.time_ns, name, 100, one.src, one.dst, detail)
        for one in trace.segments
        for name, detail in _told_of(one)
    ]
    numbered = tuple(replace(event, id=number) for number, event in enumerate(events, 1))
    names = tuple({event.event for event in events})
    return replace(trace, kernel=numbered, witness=Witness(watched=names))


def _told_of(segment: Segment) -> Iterator[tuple[str, dict[str, Any]]]:
    socket = f"{segment.src}{segment.dst}"
    state = "sock:inet_sock_set_state"
    if segment.flags == "S":
        yield state, {"old": "CLOSED", "new": "SYN-SENT", "socket": socket}
        yield state, {"old": "SYN-SENT", "new": "ESTABLISHED", "socket": socket}
    if "F" in segment.flags:
        yield state, {"old": "ESTABLISHED", "new": "FIN-WAIT-1", "socket": socket}
        yield state, {"old": "FIN-WAIT-1", "new": "CLOSED", "socket": socket}
    if "R" in segment.flags:
        yield "tcp:tcp_send_reset", {"reason": "TCP_STATE", "segment_time": segment.time_ns}
    if segment.length:
        yield "tcp:tcp_retransmit_skb", {"state": "ESTABLISHED"}
        yield "skb:kfree_skb", {"reason": "NO_SOCKET", "segment_time": segment.time_ns}


def without_calls(number: int) -> Trace:
    """Only the wire."""
    return replace(connections(number), calls=(), processes=())


@pytest.mark.parametrize(
    "make", [connections, sends, repetitions, reuses, without_calls, witnessed]
)
def test_ten_times_the_trace_takes_at_most_eleven_times_the_steps(make: Any) -> None:
    small, large = make(15), make(15 * MORE)
    events = len(small.segments) + len(small.calls)
    more_events = len(large.segments) + len(large.calls)
    each, each_of_many = steps(small) / events, steps(large) / more_events
    assert each_of_many <= each * AT_MOST / MORE
