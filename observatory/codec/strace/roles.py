"""The processes of a log: whose children they are, what they run, what to call them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from observatory.codec.strace.tasks import Task, Tasks
from observatory.model import Call, Process

# Before it runs a program, a process has no name that is known.
_NAMELESS = "process"


def processes_of(tasks: Tasks, calls: Iterable[Call]) -> tuple[Process, ...]:
    """All processes, by their first call; those that made none last.

    ``command`` is what was executed last, inherited where nothing was. ``role`` is the program's
    name, ``nginx.1`` for the first child that runs the same one, ``curl-2`` for the second of
    that name otherwise. ``ended_ns`` is an upper bound: when strace told the end.
    """
    commands: dict[int, str] = {}
    programs: dict[int, str] = {}
    first: dict[int, int] = {}
    made: dict[int, int] = {}
    for call in calls:
        first.setdefault(call.pid, call.id)
        if call.name == "fork" and call.result is not None:
            made.setdefault(call.result, call.id)
        if call.name == "execve" and call.errno is None:
            commands[call.pid] = _command(call.args)
            programs[call.pid] = str(call.args.get("path", "")).rsplit("/", 1)[-1]
    groups: dict[Task, list[Task]] = {}
    for task in tasks.every:
        groups.setdefault(task.process(), []).append(task)
    namer = _Namer(commands, programs)
    found: dict[int, Process] = {}
    for leader, members in sorted(groups.items(), key=lambda one: made.get(one[0].tid, 0)):
        found[leader.tid] = _process(leader, members, namer)
    return tuple(sorted(found.values(), key=lambda one: (first.get(one.pid, 1 << 62), one.pid)))


def _command(args: Mapping[str, object]) -> str:
    """As it was typed; with ``-s 0`` nothing is left of the words but the program's path."""
    words = args.get("argv")
    path = str(args.get("path", ""))
    if not isinstance(words, tuple) or not words or words[0] == "…":
        return path
    return " ".join(map(str, words))


def _process(leader: Task, members: list[Task], namer: _Namer) -> Process:
    parent = leader.parent.process().tid if leader.parent is not None else None
    ends = [member.ended_ns for member in members if member.ended_ns is not None]
    ended = len(ends) == len(members) or leader.ended_ns is not None
    return Process(
        pid=leader.tid,
        parent=parent,
        command=namer.command(leader),
        role=namer.role(leader),
        ended_ns=max(ends) if ended and ends else None,
        status=leader.status,
        signal=leader.signal,
    )


class _Namer:
    def __init__(self, commands: Mapping[int, str], programs: Mapping[int, str]) -> None:
        self._commands = commands
        self._programs = programs
        self._roles: dict[Task, str] = {}
        self._taken: dict[str, int] = {}

    def command(self, task: Task) -> str:
        seen: set[Task] = set()
        current: Task | None = task
        while current is not None and current not in seen:
            seen.add(current)
            if current.tid in self._commands:
                return self._commands[current.tid]
            current = current.parent.process() if current.parent is not None else None
        return task.comm

    def role(self, task: Task) -> str:
        """Unique in the log."""
        own = self._programs.get(task.tid)
        parent = task.parent.process() if task.parent is not None else None
        inherited = self._roles.get(parent) if own is None and parent is not None else None
        if inherited:
            role = f"{inherited}.{self._count(f'{inherited}.')}"
        else:
            base = own or task.comm or _NAMELESS
            count = self._count(base)
            role = base if count == 1 else f"{base}-{count}"
        self._roles[task] = role
        return role

    def _count(self, name: str) -> int:
        self._taken[name] = self._taken.get(name, 0) + 1
        return self._taken[name]
