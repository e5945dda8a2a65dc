"""Threads and the processes they belong to, as clone, exec and the ends of threads tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.codec.strace.lines import Kind, Line


@dataclass(slots=True, eq=False)
class Task:
    """One thread, from its first line to its end. ``leader`` is the thread that made it, if both
    are of one process; ``parent`` the one that made its process."""

    tid: int
    first_line: int
    leader: Task | None = None
    parent: Task | None = None
    last_line: int | None = None
    ended_ns: int | None = None
    status: int | None = None
    signal: str | None = None
    comm: str = ""
    linked: bool = False

    def process(self) -> Task:
        """The thread whose id is the process's."""
        task = self
        while task.leader is not None:
            task = task.leader
        return task

    def end(self, now_ns: int, number: int, line: Line) -> None:
        self.ended_ns, self.last_line = now_ns, number
        if line.kind is Kind.KILLED:
            self.signal = line.name
        else:
            self.status = line.number

    def supersede(self, leader: Task, now_ns: int, number: int) -> None:
        """It goes on under the leader's id."""
        self.ended_ns, self.last_line = now_ns, number
        self.leader, self.linked = (leader if self is not leader else None), True


@dataclass(slots=True)
class Tasks:
    """All threads of a log. An id may be given again once its thread has ended."""

    every: list[Task] = field(default_factory=list)
    current: dict[int, Task] = field(default_factory=dict)
    expected: dict[int, tuple[Task, bool]] = field(default_factory=dict)

    def of(self, tid: int, now_ns: int, number: int) -> Task:
        """The thread that has this id now."""
        task = self.current.get(tid)
        if task is None or task.last_line is not None:
            task = Task(tid, number)
            self.current[tid] = task
            self.every.append(task)
            maker = self.expected.pop(tid, None)
            if maker is not None:
                _link(task, *maker)
        return task

    def made(self, maker: Task, tid: int, thread: bool, since: int) -> None:
        """``maker`` made thread ``tid`` with a call that began at line ``since``."""
        task = self.current.get(tid)
        if task is not None and not task.linked and task.first_line > since:
            _link(task, maker, thread)
        else:
            self.expected[tid] = (maker, thread)

    def group(self, groups: Mapping[int, int], now_ns: int) -> None:
        """Threads known from elsewhere (/proc): thread id to process id."""
        for tid, pid in groups.items():
            task, leader = self.of(tid, now_ns, 0), self.of(pid, now_ns, 0)
            if task is not leader and not task.linked:
                _link(task, leader, thread=True)


def _link(task: Task, maker: Task, thread: bool) -> None:
    task.linked = True
    if thread:
        leader = maker.process()
        if leader is not task:
            task.leader = leader
    else:
        task.parent = maker
