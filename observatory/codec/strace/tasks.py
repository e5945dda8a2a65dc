"""Threads and the processes they belong to, as clone, exec and the ends of threads tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.codec.strace.lines import Kind, Line

# The id of a thread whose lines have none: strace leaves it out while it follows only one.
UNNAMED = 0


@dataclass(slots=True, eq=False)
class Task:
    """One thread, from its first line to its end.

    ``leader`` is a thread of the same process nearer to the one whose id the process has (None:
    it is that one); ``parent`` the thread that made its process. ``linked`` says that one of
    the two is settled. ``comm`` is the name that ``-Y`` tells.
    """

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


@dataclass(slots=True)
class Tasks:
    """All threads of a log. An id may be given again once its thread has ended.

    ``current`` is the thread that had an id last, ``living`` those that have not ended;
    ``expected`` the maker of a thread that has not been seen yet, and whether both are of one
    process; ``announced`` the ids that strace said it attached to.
    """

    every: list[Task] = field(default_factory=list)
    current: dict[int, Task] = field(default_factory=dict)
    living: dict[int, Task] = field(default_factory=dict)
    expected: dict[int, tuple[Task, bool]] = field(default_factory=dict)
    announced: set[int] = field(default_factory=set)

    def of(self, tid: int | None, number: int) -> Task:
        """The thread that has this id at line ``number``; None: the only one there is."""
        if tid is None:
            only = next(iter(self.living.values())) if len(self.living) == 1 else None
            return only or self.of(UNNAMED, number)
        task = self.living.get(tid)
        return task if task is not None else self._named(tid) or self._new(tid, number)

    def _named(self, tid: int) -> Task | None:
        """The thread that had no id as long as it was alone: this must be its own."""
        unnamed = self.living.get(UNNAMED)
        if unnamed is None or tid in self.expected or tid in self.announced:
            return None
        del self.living[UNNAMED], self.current[UNNAMED]
        unnamed.tid = tid
        self.living[tid] = self.current[tid] = unnamed
        return unnamed

    def _new(self, tid: int, number: int) -> Task:
        task = Task(tid, number)
        self.living[tid] = self.current[tid] = task
        self.every.append(task)
        maker = self.expected.pop(tid, None)
        if maker is not None:
            _link(task, *maker)
        return task

    def made(self, maker: Task, tid: int, thread: bool, since: int) -> None:
        """``maker`` made thread ``tid`` with a call that began at line ``since``: its first lines
        may stand before those that tell this."""
        task = self.current.get(tid)
        if task is not None and not task.linked and task.first_line > since:
            _link(task, maker, thread)
        else:
            self.expected[tid] = (maker, thread)

    def end(self, task: Task, now_ns: int, number: int, line: Line) -> None:
        """A thread's last line."""
        task.ended_ns, task.last_line = now_ns, number
        self.living.pop(task.tid, None)
        if line.kind is Kind.KILLED:
            task.signal = line.name
        else:
            task.status = line.number

    def supersede(self, task: Task, leader: Task, now_ns: int, number: int) -> None:
        """A thread goes on under the leader's id (execve(2) by one of several threads)."""
        if task is leader:
            return
        task.ended_ns, task.last_line = now_ns, number
        self.living.pop(task.tid, None)
        if not task.linked:
            _link(task, leader, thread=True)

    def group(self, groups: Mapping[int, int]) -> None:
        """Threads known from elsewhere (/proc): thread id to process id."""
        for tid, pid in groups.items():
            task, leader = self.of(tid, 0), self.of(pid, 0)
            if task is not leader and not task.linked:
                _link(task, leader, thread=True)


def _link(task: Task, maker: Task, thread: bool) -> None:
    if thread:
        leader = maker.process()
        if leader is task:
            return  # a damaged log makes a thread its own maker
        task.leader = leader
    else:
        task.parent = maker
    task.linked = True
