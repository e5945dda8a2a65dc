"""A whole strace log as calls and processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from observatory.codec.strace.assemble import assemble
from observatory.codec.strace.convert import CONVERTERS, convert
from observatory.codec.strace.draft import Asked, Draft
from observatory.codec.strace.known import Known, is_decorated
from observatory.codec.strace.lines import Clock
from observatory.codec.strace.passed import Holders
from observatory.codec.strace.raw import Assembled, Raw
from observatory.codec.strace.ready import Watched
from observatory.codec.strace.roles import processes_of
from observatory.codec.strace.sites import site_of
from observatory.codec.strace.tasks import Task
from observatory.model import Call, Process

_IO_URING = frozenset({"io_uring_enter", "io_uring_setup"})
_WANTED = frozenset(CONVERTERS) | _IO_URING

# What strace is to be asked for (``-e trace=``): what is read here, what tells whether an
# interrupted call was made again, and how 32-bit programs ask for sockets. The question mark lets
# strace pass over a name that it or the machine does not have.
_TELLING = ("restart_syscall", "rt_sigreturn", "sigreturn", "socketcall")
TRACED = tuple(f"?{name}" for name in sorted({*_WANTED, *_TELLING}))


@dataclass(frozen=True, slots=True)
class StraceLog:
    """What a log says.

    ``calls`` in the order of their entry, with ids from 1; ``processes`` by their first call;
    ``defects`` are sentences about what is known to be missing or inexact. ``unread`` are the
    lines that were not understood; ``notes`` counts those that were, and are no call of their
    own: ``len(calls) + notes + len(unread) == lines``. ``clock`` is what the stamps count from,
    ``resolution_ns`` what their last digit is worth. ``inodes`` tells a call's socket (of what
    it made: socket's, accept's) by its inode, where ``-y`` did.
    """

    calls: tuple[Call, ...]
    processes: tuple[Process, ...]
    defects: tuple[str, ...]
    unread: tuple[str, ...]
    notes: int
    lines: int
    clock: Clock
    resolution_ns: int
    inodes: Mapping[int, int] = field(default_factory=dict)


def parse(
    lines: Iterable[str],
    *,
    payload: int = 0,
    day_ns: int = 0,
    ended_ns: int | None = None,
    groups: Mapping[int, int] | None = None,
    merged: bool = False,
) -> StraceLog:
    """Read a log. Never raises, whatever the lines are.

    ``payload`` bytes of what was sent and received are kept, as ``args["payload"]``, one
    character a byte. ``day_ns`` is the midnight that ``-t`` and ``-tt`` count from. ``ended_ns``
    is when strace ended, if known: the bound of the last call's return. ``groups`` tells the
    process of threads that ran when strace was attached (from /proc/PID/task).
    ``merged``: the lines are of several straces, so that one's next line bounds no other's call.

    ``entered_ns`` is strace's stamp, before the kernel did the call's work; ``returned_ns`` is an
    upper bound, see :mod:`observatory.codec.strace.assemble`.
    """
    assembled = assemble(lines, _WANTED, day_ns)
    assembled.tasks.group(groups or {})
    return _Finish(assembled, Asked(payload), ended_ns, merged).log()


class _Finish:
    def __init__(
        self, assembled: Assembled, asked: Asked, ended_ns: int | None, merged: bool
    ) -> None:
        self.assembled = assembled
        self.one_writer = not merged and (assembled.one_writer or len(assembled.tasks.every) == 1)
        self.asked = asked
        self.last_ns = max(assembled.last_ns, ended_ns or 0)
        self.watched = Watched()
        self.holders = Holders()
        self.known = Known(is_decorated(assembled.calls))
        self.calls: list[Call] = []
        self.inodes: dict[int, int] = {}
        self.uring: set[int] = set()
        self.last_exits = _last_of_each_process(assembled.tasks.every)

    def log(self) -> StraceLog:
        for raw in self.assembled.calls:
            self.take(raw)
        self.holders.tell()
        dropped = len(self.assembled.calls) - len(self.calls)
        return StraceLog(
            calls=tuple(self.calls),
            processes=processes_of(self.assembled.tasks, self.calls),
            defects=tuple(self.defects()),
            unread=tuple(self.assembled.unread),
            notes=self.assembled.notes + dropped,
            lines=self.assembled.lines,
            clock=self.assembled.clock,
            resolution_ns=self.assembled.resolution_ns,
            inodes=self.inodes,
        )

    def take(self, raw: Raw) -> None:
        pid = raw.task.process().tid
        if raw.name in _IO_URING:
            self.uring.add(pid)
            return
        draft = convert(raw, self.asked)
        if draft is None or not self.counts(raw, draft, pid):
            return
        self.known.follow(draft, raw)
        self.watched.follow(draft, raw, pid)
        self.holders.follow(draft, raw, pid, self.returned_ns(raw))
        self.calls.append(self.call(raw, draft, pid))

    def counts(self, raw: Raw, draft: Draft, pid: int) -> bool:
        """Whether a call is kept: not the exit of one thread among others, and not what is
        about a file."""
        if raw.name == "exit":
            return self.last_exits.get(raw.task.process()) is raw.task
        return self.known.admits(draft, raw) and self.watched.admits(draft, raw, pid)

    def call(self, raw: Raw, draft: Draft, pid: int) -> Call:
        outcome = raw.outcome
        number = len(self.calls) + 1
        if draft.inode is not None:
            self.inodes[number] = draft.inode
        value = outcome.value if outcome is not None else None
        returned = value is not None and draft.returns
        if draft.name == "kill":
            draft.args["pid"] = self.process_id(draft.args.get("pid"))
        return Call(
            id=number,
            name=draft.name,
            pid=pid,
            tid=raw.task.tid,
            fd=draft.fd,
            args=draft.args,
            entered_ns=raw.entered_ns,
            returned_ns=self.returned_ns(raw) if returned else None,
            result=value if returned else None,
            errno=outcome.errno if outcome is not None and returned else None,
            local=draft.local,
            peer=draft.peer,
            site=site_of(raw.frames),
        )

    def process_id(self, target: object) -> int | None:
        """The process of a thread that a signal was sent to."""
        if not isinstance(target, int):
            return None
        task = self.assembled.tasks.current.get(target)
        return task.process().tid if task is not None else target

    def returned_ns(self, raw: Raw) -> int:
        """An upper bound of the return, never before the entry."""
        bounds = [raw.resumed_ns]
        if raw.resumed_ns is None:
            bounds = [raw.own_bound_ns]
            if self.one_writer:
                bounds.append(raw.next_bound_ns)
        known = [bound for bound in bounds if bound is not None]
        return max(raw.entered_ns, min(known, default=self.last_ns))

    def defects(self) -> Iterable[str]:
        log = self.assembled
        if log.unread:
            yield f"{len(log.unread)} lines of the strace log were not understood"
        if log.headless:
            yield f"{log.headless} calls began before the strace log does"
        for pid in sorted(self.uring):
            yield f"process {pid} uses io_uring: what it submits there cannot be seen"
        if self.calls and not self.known.decorated:
            yield (
                "the strace log does not tell sockets from files: reads and writes on sockets that"
                " were opened before it, or handed over, are missing; use -y"
            )
        if log.clock is not Clock.UNIX:
            yield _CLOCKS[log.clock]
        elif log.resolution_ns > 1:
            yield (
                f"the strace log's stamps are exact to {log.resolution_ns} ns only: use"
                " --absolute-timestamps=format:unix,precision:ns"
            )


_CLOCKS = {
    Clock.TIME_OF_DAY: (
        "the strace log's stamps have no date and are not UTC: use"
        " --absolute-timestamps=format:unix,precision:ns"
    ),
    Clock.RELATIVE: (
        "the strace log's stamps are relative, so that calls and packets cannot be put in one"
        " order: use --absolute-timestamps=format:unix,precision:ns"
    ),
    Clock.NONE: (
        "the strace log has no stamps, so that calls and packets cannot be put in one order: use"
        " --absolute-timestamps=format:unix,precision:ns"
    ),
}


def _last_of_each_process(tasks: Iterable[Task]) -> dict[Task, Task]:
    """The thread of each process that ended last: with it the process ended."""
    last: dict[Task, Task] = {}
    for task in tasks:
        leader = task.process()
        end = task.last_line or 1 << 62
        if leader not in last or end >= (last[leader].last_line or 1 << 62):
            last[leader] = task
    return last
