"""Whole logs: real ones of strace 6.1, and hostile ones.

Each ``corpus/NAME.strace`` was written by strace while a small program ran, and cut by the reads
of shared libraries and modules; ``NAME.calls`` is what is read of it. After a change that is
meant, write these anew: ``python tests/codec/strace/test_parse.py``, and look at the difference.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.calltext import call_text
from observatory.codec.strace import StraceLog, parse

CORPUS = Path(__file__).parent / "corpus"
NAMES = sorted(path.stem for path in CORPUS.glob("*.strace"))


def read(name: str) -> StraceLog:
    with (CORPUS / f"{name}.strace").open(errors="surrogateescape") as lines:
        return parse(lines)


def told(log: StraceLog) -> str:
    """What was read, without times and ids of processes."""
    roles = {process.pid: process.role for process in log.processes}
    ends = [f"{one.role}: {one.command}, {one.signal or one.status}" for one in log.processes]
    calls = [f"{roles[call.pid]} {call_text(call)}" for call in log.calls]
    return "\n".join([*ends, "", *calls, "", *log.defects]).rstrip() + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_real_log_is_read_to_the_last_line(name):
    log = read(name)
    assert log.unread == ()
    assert len(log.calls) + log.notes == log.lines
    assert told(log) == (CORPUS / f"{name}.calls").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_times_of_a_real_log(name):
    log = read(name)
    assert [call.id for call in log.calls] == list(range(1, len(log.calls) + 1))
    entries = [call.entered_ns for call in log.calls]
    assert entries == sorted(entries)
    latest = {}
    for call in log.calls:
        assert call.returned_ns is None or call.entered_ns <= call.returned_ns
        before = latest.get(call.tid)
        if before is not None and before.returned_ns is not None and call.name != "execve":
            assert before.returned_ns <= call.entered_ns
        latest[call.tid] = call


@pytest.mark.parametrize("name", NAMES)
def test_processes_of_a_real_log(name):
    log = read(name)
    pids = {process.pid for process in log.processes}
    assert {call.pid for call in log.calls} <= pids
    assert {call.result for call in log.calls if call.name == "fork"} <= pids
    roles = [process.role for process in log.processes]
    assert len(set(roles)) == len(roles)
    assert all(process.parent is None or process.parent in pids for process in log.processes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [3, 7])
def test_a_log_with_lines_missing_is_read_all_the_same(name, cut):
    lines = (CORPUS / f"{name}.strace").read_text(errors="surrogateescape").splitlines()
    log = parse(line for number, line in enumerate(lines) if number % cut)
    assert len(log.calls) + log.notes + len(log.unread) == log.lines


ALL_LINES = [
    line
    for name in NAMES
    for line in (CORPUS / f"{name}.strace").read_text(errors="surrogateescape").splitlines()
]
DAMAGED = st.tuples(st.sampled_from(ALL_LINES), st.integers(0, 200), st.integers(0, 200)).map(
    lambda cut: cut[0][: cut[1]] + cut[0][cut[2] :]
)
PIECES = st.lists(
    st.sampled_from(
        ["1 ", "2 ", "3 ", "[pid 4] ", "1700000000.000000001 ", "12:00:00 ", "0.1 ", "<... ",
         " resumed>", "<unfinished ...>", "close(", "clone(", "flags=CLONE_THREAD", "execve(",
         "rt_sigreturn(", "restart_syscall(<... resuming interrupted poll ...>)", "poll(", "3",
         "<socket:[1]>", ") = 0", ") = 2", ") = ?", " ERESTARTSYS (x)", "+++ exited with 0 +++",
         "+++ superseded by execve in pid 2 +++", "+++ killed by SIGKILL +++", "--- S {} ---",
         "strace: Process 3 attached", ", ", "{", "}", "[", "]", '"', "...", " > f(g) [0x1]",
         "epoll_wait(", "epoll_ctl(", "socket(", "exit(", "exit_group("]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(st.lists(st.sampled_from(ALL_LINES) | DAMAGED | PIECES | st.text(max_size=40), max_size=30))
def test_any_log_is_read_and_every_line_accounted_for(lines):
    log = parse(lines, payload=4, groups={4: 3, 3: 3})
    assert log.lines == len(lines)
    assert len(log.calls) + log.notes + len(log.unread) == len(lines)
    assert all(
        call.returned_ns is None or call.returned_ns >= call.entered_ns for call in log.calls
    )
    assert "\n".join(map(call_text, log.calls)) is not None


def test_threads_of_an_attached_process_can_be_told():
    log = parse(
        ["11 1700000000.1 close(3<socket:[7]>) = 0", "10 1700000000.2 close(4<socket:[8]>) = 0"],
        groups={11: 10, 10: 10},
    )
    assert [(call.pid, call.tid) for call in log.calls] == [(10, 11), (10, 10)]
    assert [process.pid for process in log.processes] == [10]


def test_one_threads_exit_is_not_the_processes():
    log = parse(
        [
            "10 1700000000.1 clone3({flags=CLONE_VM|CLONE_THREAD}, 88 <unfinished ...>",
            "11 1700000000.2 exit(0) = ?",
            "11 1700000000.3 +++ exited with 0 +++",
            "10 1700000000.4 <... clone3 resumed>) = 11",
            "10 1700000000.5 exit(4) = ?",
            "10 1700000000.6 +++ exited with 4 +++",
        ]
    )
    assert [(call.name, call.tid) for call in log.calls] == [("exit", 10)]
    assert [(process.pid, process.status) for process in log.processes] == [(10, 4)]


if __name__ == "__main__":
    for each in NAMES:
        (CORPUS / f"{each}.calls").write_text(told(read(each)))
