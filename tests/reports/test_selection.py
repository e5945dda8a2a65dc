"""A report leaves out the calls of processes that no socket passed through, and says so."""

from dataclasses import replace
from pathlib import Path

from observatory.analysis import analyze
from observatory.model import Call, Process
from observatory.reports.selection import selected
from observatory.reports.text import render
from observatory.sources.files import load

RUN = Path(__file__).parents[2] / "captures" / "catalogue" / "fork-exec.pcapng"


def with_idle_process():
    """The run, with a process beside it that forks, and a child that only exits."""
    trace = load(RUN)
    at, number = trace.calls[0].entered_ns, len(trace.calls)
    idle = (
        Call(number + 1, "fork", 9001, 9001, None, {}, at + 1, at + 2, 9002),
        Call(number + 2, "exit", 9002, 9002, None, {"status": 0}, at + 3),
        Call(number + 3, "exit", 9001, 9001, None, {"status": 0}, at + 4),
    )
    processes = (Process(9001, None, "sh", "sh"), Process(9002, 9001, "true", "true"))
    return replace(trace, calls=(*trace.calls, *idle), processes=(*trace.processes, *processes))


def test_every_call_of_a_behaviour_is_shown():
    analysis = analyze(load(RUN))

    assert selected(analysis) == (analysis, 0)


def test_idle_processes_are_left_out_and_counted():
    analysis = analyze(with_idle_process())
    shown, left_out = selected(analysis)

    assert left_out == 3
    assert {entry.call.pid for entry in shown.calls}.isdisjoint({9001, 9002})
    assert "3 calls of processes that no socket passed through" in render(analysis)


def test_full_leaves_nothing_out():
    analysis = analyze(with_idle_process())

    assert selected(analysis, full=True) == (analysis, 0)
    assert "[9002]" in render(analysis, full=True)
