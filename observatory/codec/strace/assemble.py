"""From lines to whole calls: unfinished ones joined with their resumption, thread by thread.

**When a call ran.** strace stamps a line when it begins to print it. The stamp of a call's line is
taken at the system call's entry, before the kernel does its work: ``entered_ns``. The return has
no stamp of its own, and ``stamp + T`` is not when it was (``-T`` leaves out the time that printing
takes). What is certain: a line that is printed whole was over when strace began the next line,
and ``<... resumed>`` is stamped after the return. So ``returned_ns`` is an upper bound: the stamp
of the next line, of any thread if one strace wrote the log as it saw it, of the same thread if
the log may have been merged from several files (no call in it is ever resumed).
"""

from __future__ import annotations

from collections.abc import Iterable

from observatory.codec.strace.grammar import Outcome, Unreadable, read_arguments, read_outcome
from observatory.codec.strace.lines import (
    DETACHED,
    UNFINISHED,
    Clock,
    Kind,
    Line,
    interrupted_by_notice,
    read_line,
)
from observatory.codec.strace.raw import FORKING, Assembled, Raw, makes_thread
from observatory.codec.strace.tasks import Task, Tasks

# What the kernel returns inside when a signal came: the program never sees these.
RESTARTS = frozenset(
    {"ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", "ERESTART_RESTARTBLOCK", "ERESTART"}
)
SIGNAL_RETURNS = frozenset({"rt_sigreturn", "sigreturn"})
_DAY_NS = 86_400 * 10**9


def assemble(lines: Iterable[str], wanted: frozenset[str], day_ns: int = 0) -> Assembled:
    """Join a log's lines to calls.

    Only calls named in ``wanted`` are read to the end; others are notes. ``day_ns`` is the
    midnight that stamps of ``-t`` and ``-tt`` count from.
    """
    assembly = _Assembly(wanted, day_ns)
    for number, text in enumerate(lines, 1):
        assembly.take(number, text.rstrip("\r\n"))
    return assembly.finish()


class _Assembly:
    def __init__(self, wanted: frozenset[str], day_ns: int) -> None:
        self.wanted = wanted
        self.tasks = Tasks()
        self.calls: list[Raw] = []
        self.unread: list[str] = []
        self.notes = 0
        self.lines = 0
        self.headless = 0
        self.one_writer = False
        self.clock = Clock.NONE
        self.resolution_ns = 1
        self.now_ns = 0
        self._day_ns = day_ns
        self._stamp_ns = 0
        self._pending: dict[Task, Raw] = {}
        self._interrupted: dict[Task, Raw] = {}
        self._resuming: dict[Task, Raw] = {}
        self._whole: Raw | None = None  # the call of the line before, if that is whole
        self._latest: dict[Task, Raw] = {}
        self._carried = ""  # the beginning of a line that a message of strace broke
        self._framed: Raw | None = None  # the call whose stack is being printed

    def take(self, number: int, text: str) -> None:
        self.lines = number
        broken = interrupted_by_notice(text)
        if broken is not None:
            self._carried, announced = self._carried + broken[0], broken[1]
            self.tasks.announced.add(announced)
            self.notes += 1
            return
        if self._carried:
            text, self._carried = self._carried + text, ""
        line = read_line(text)
        if line.kind is Kind.FRAME:
            self.notes += 1
            if self._framed is not None:
                self._framed.frames.append(line.text)
            return
        if line.kind is Kind.EMPTY or line.kind is Kind.NOTICE:
            self.tasks.announced.add(line.number)
            self.notes += 1
            return
        if line.kind is Kind.UNREAD:
            self.unread.append(text)
            return
        self._tick(line, number)
        task = self.tasks.of(line.tid, number)
        task.comm = line.comm or task.comm
        self._framed = None
        try:
            accepted = _STEPS[line.kind](self, task, line, number)
        except (Unreadable, ValueError, OverflowError):
            accepted = False
        if not accepted:
            self.unread.append(text)

    def finish(self) -> Assembled:
        for raw in self._pending.values():
            self.unread_or_open(raw)
        for raw in (*self._interrupted.values(), *self._resuming.values()):
            self._never_returned(raw)
        self.calls.sort(key=lambda raw: (raw.entered_ns, raw.order))
        return Assembled(
            self.calls,
            self.tasks,
            self.unread,
            self.notes,
            self.lines,
            self.one_writer,
            self.clock,
            self.resolution_ns,
            self.now_ns,
            self.headless,
        )

    # -- time --

    def _tick(self, line: Line, number: int) -> None:
        """Set the time to the line's, and bound the calls that were over when it was begun."""
        if line.clock is not Clock.NONE:
            self.clock = line.clock
            self.resolution_ns = max(self.resolution_ns, line.resolution_ns)
        match line.clock:
            case Clock.UNIX:
                self.now_ns = line.stamp_ns
            case Clock.TIME_OF_DAY:
                if line.stamp_ns < self._stamp_ns - _DAY_NS // 2:
                    self._day_ns += _DAY_NS  # past midnight
                self.now_ns = self._day_ns + line.stamp_ns
            case Clock.RELATIVE:
                self.now_ns += line.stamp_ns
            case Clock.NONE:
                self.now_ns = max(self.now_ns, number)
        self._stamp_ns = line.stamp_ns
        if self._whole is not None:
            self._whole.next_bound_ns = self.now_ns
            self._whole = None

    # -- one step for each kind of line; True if it was understood --

    def call(self, task: Task, line: Line, number: int) -> bool:
        self._bound(task)
        raw = Raw(task, line.name, line.text, number, self.now_ns)
        if raw.name not in SIGNAL_RETURNS:
            self._after_interruption(task, raw)
        return self._begin(task, raw)

    def _after_interruption(self, task: Task, raw: Raw) -> None:
        """What a signal interrupted is made again by the kernel (SA_RESTART), as a call of the
        same name on the same descriptor; or has failed with EINTR. In between may stand what
        the signal's handler called."""
        before = self._interrupted.get(task)
        if before is None:
            return
        if raw.name != before.name or _first(raw.text) != _first(before.text):
            before.overtaken = True
            return
        del self._interrupted[task]
        if before.overtaken:
            self._settle(before, Outcome(-1, "EINTR"))
        else:
            raw.entered_ns, raw.order = before.entered_ns, before.order

    def _handler_returned(self, task: Task, text: str) -> bool:
        """rt_sigreturn says which of the two it is."""
        self.notes += 1
        before = self._interrupted.get(task)
        if before is None:
            return True
        before.overtaken = False
        if "= -1 EINTR" in text:
            del self._interrupted[task]
            self._settle(before, Outcome(-1, "EINTR"))
        return True

    def _never_returned(self, raw: Raw) -> None:
        """An interrupted call at the end of its thread, or of the log."""
        self._settle(raw, Outcome(-1, "EINTR") if raw.overtaken else Outcome(None))

    def _settle(self, raw: Raw, outcome: Outcome) -> None:
        """An interrupted call gets its result, and is counted as a call of its own."""
        raw.outcome = outcome
        self.calls.append(raw)
        self.notes -= 1

    def restarted(self, task: Task, line: Line, number: int) -> bool:
        """restart_syscall: the interrupted call goes on."""
        self._bound(task)
        self.notes += 1
        raw = self._interrupted.pop(task, None)
        if raw is None:
            self.headless += 1
            return True
        if line.text.endswith((UNFINISHED, DETACHED)):
            self._resuming[task] = raw
            return True
        return self._restarted_ended(task, raw, line.text.removeprefix(")"))

    def _restarted_ended(self, task: Task, raw: Raw, text: str) -> bool:
        outcome = read_outcome(text, 0)
        if outcome.errno in RESTARTS:
            self._interrupted[task] = raw
            return True
        self._settle(raw, outcome)
        raw.own_bound_ns = raw.next_bound_ns = None
        self._whole = self._latest[task] = self._framed = raw
        return True

    def _begin(self, task: Task, raw: Raw) -> bool:
        text = raw.text
        if text.endswith((UNFINISHED, DETACHED)):
            raw.text = text.removesuffix(UNFINISHED).removesuffix(DETACHED).rstrip()
            self._pending[task] = raw
            self.notes += 1  # the line counts with its resumption
            return True
        return self._end(task, raw, text)

    def resumed(self, task: Task, line: Line, number: int) -> bool:
        self.one_writer = True
        self._bound(task)
        going_on = self._resuming.pop(task, None)
        if going_on is not None and line.name == "restart_syscall":
            self.notes += 1
            going_on.resumed_ns = self.now_ns
            return self._restarted_ended(task, going_on, line.text.lstrip().removeprefix(")"))
        raw = self._pending.pop(task, None)
        if raw is None or raw.name != line.name:
            self.headless += 1
            self.notes += 1
            return True
        if line.text.startswith(UNFINISHED):  # the thread ends in it
            self.notes += 1
            self.unread_or_open(raw)
            return True
        raw.resumed_ns = self.now_ns
        return self._end(task, raw, raw.text + line.text)

    def signal(self, task: Task, line: Line, number: int) -> bool:
        self._bound(task)
        self.notes += 1
        return True

    def exited(self, task: Task, line: Line, number: int) -> bool:
        self._bound(task)
        self.notes += 1
        self.tasks.end(task, self.now_ns, number, line)
        raw = self._pending.pop(task, None)
        if raw is not None:
            self.unread_or_open(raw)
        interrupted = self._interrupted.pop(task, None) or self._resuming.pop(task, None)
        if interrupted is not None:
            self._never_returned(interrupted)
        return True

    def superseded(self, task: Task, line: Line, number: int) -> bool:
        """A thread's execve takes over the leader's id; all other threads are gone."""
        self.notes += 1
        other = self.tasks.of(line.number, number)
        left = self._pending.pop(task, None)
        if left is not None:
            self.unread_or_open(left)
        raw = self._pending.pop(other, None)
        if raw is not None:
            raw.took_over = True
            self._pending[task] = raw
        self.tasks.supersede(other, task, self.now_ns, number)
        return True

    # -- ends --

    def unread_or_open(self, raw: Raw) -> None:
        """A call that never returned: its arguments as far as they were printed."""
        if raw.name not in self.wanted:
            return
        self.notes -= 1
        raw.resumed_ns = None
        try:
            raw.arguments, _ = read_arguments(raw.text + ")")
        except (Unreadable, ValueError):
            raw.arguments = ()
        raw.outcome = Outcome(None)
        self.calls.append(raw)

    def _end(self, task: Task, raw: Raw, text: str) -> bool:
        if raw.name in SIGNAL_RETURNS:
            return self._handler_returned(task, text)
        if raw.name not in self.wanted:
            self.notes += 1
            return True
        raw.arguments, position = read_arguments(text)
        raw.outcome = outcome = Outcome(0) if raw.took_over else read_outcome(text, position)
        if outcome.errno in RESTARTS:
            raw.text = text
            self._interrupted[task] = self._latest[task] = self._framed = raw
            self.notes += 1
            return True
        raw.text = ""
        if raw.name in FORKING and outcome.value is not None and outcome.value > 0:
            self.tasks.made(task, outcome.value, makes_thread(raw.arguments), raw.order)
        self._whole = self._latest[task] = self._framed = raw
        self.calls.append(raw)
        return True

    def _bound(self, task: Task) -> None:
        latest = self._latest.pop(task, None)
        if latest is not None and latest.own_bound_ns is None:
            latest.own_bound_ns = self.now_ns


def _first(text: str) -> str:
    """The first argument as printed."""
    return text.split(",", 1)[0].split(")", 1)[0]


_STEPS = {
    Kind.CALL: _Assembly.call,
    Kind.RESUMED: _Assembly.resumed,
    Kind.RESTARTED: _Assembly.restarted,
    Kind.SIGNAL: _Assembly.signal,
    Kind.EXITED: _Assembly.exited,
    Kind.KILLED: _Assembly.exited,
    Kind.SUPERSEDED: _Assembly.superseded,
}
