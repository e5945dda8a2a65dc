"""Which numbers name sockets, where the log itself does not say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from observatory.codec.strace.draft import Draft
from observatory.codec.strace.raw import Raw
from observatory.codec.strace.tasks import Task
from observatory.codec.strace.values import Descriptor, Named

# Calls that files and pipes have too.
_SHARED = frozenset(
    {"read", "readv", "write", "writev", "close", "dup", "dup2", "dup3", "fcntl", "ioctl"}
    | {"sendfile"}
)
_OPENING = frozenset({"socket", "accept", "accept4", "dup", "dup2", "dup3", "pidfd_getfd"})


def is_decorated(calls: Iterable[Raw]) -> bool:
    """Whether the log was written with ``-y``."""
    return any(
        isinstance(value.value if isinstance(value, Named) else value, Descriptor)
        or (raw.outcome is not None and raw.outcome.names is not None)
        for raw in calls
        for value in raw.arguments[:1]
    )


@dataclass(slots=True)
class Known:
    """Each process's sockets as its calls told them: number to close-on-exec.

    ``ever`` is what once was one: closing it twice is worth telling, closing any number is not.
    ``handed`` is what a child that was not seen yet begins with.
    """

    decorated: bool
    tables: dict[Task, dict[int, bool]] = field(default_factory=dict)
    ever: dict[Task, set[int]] = field(default_factory=dict)
    handed: dict[int, dict[int, bool]] = field(default_factory=dict)

    def admits(self, draft: Draft, raw: Raw) -> bool:
        """Whether a call is about a socket, as far as can be told."""
        process = raw.task.process()
        self._table(process)
        if draft.fd is None or draft.name not in _SHARED:
            return True
        if raw.outcome is not None and raw.outcome.errno == "EBADF":
            return draft.fd in self.ever[process]
        return self.decorated or draft.fd in self.tables[process]

    def follow(self, draft: Draft, raw: Raw) -> None:
        """Enter what a call opened, and strike what it closed."""
        process = raw.task.process()
        table = self._table(process)
        value = raw.outcome.value if raw.outcome is not None else None
        if draft.name == "execve":
            for fd in [fd for fd, close_on_exec in table.items() if close_on_exec]:
                del table[fd]
        elif draft.name == "fork" and value is not None and value > 0:
            self.handed[value] = dict(table)
        elif draft.name == "close" and draft.fd is not None:
            table.pop(draft.fd, None)
        else:
            for fd in _opened(draft, value):
                table[fd] = "CLOEXEC" in f"{draft.args.get('type')}{draft.args.get('flags')}"
                self.ever[process].add(fd)
            if draft.fd is not None and draft.fd not in table:
                table[draft.fd] = False
                self.ever[process].add(draft.fd)

    def _table(self, process: Task) -> dict[int, bool]:
        """A process never seen before starts with what its parent had at the fork."""
        if process not in self.tables:
            self.tables[process] = self.handed.pop(process.tid, {})
            self.ever[process] = set(self.tables[process])
        return self.tables[process]


def _opened(draft: Draft, value: int | None) -> list[int]:
    if draft.name == "socketpair":
        pair = draft.args.get("fds")
        return [fd for fd in pair if isinstance(fd, int)] if isinstance(pair, tuple) else []
    if draft.name == "recvmsg":
        rights = draft.args.get("rights")
        return [fd for fd in rights if isinstance(fd, int)] if isinstance(rights, tuple) else []
    return [value] if draft.name in _OPENING and value is not None and value >= 0 else []
