"""Descriptor tables: the numbers of each process, and the sockets they name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from observatory.analysis.callsets import ENDING
from observatory.analysis.lives import Drop, SocketLife
from observatory.model import Call, Process

# What these give up they do not give up before they return, but when the process dies of it or
# becomes another program.
_DEADLY = ENDING | {"kill", "execve"}

# Of the processes that hold a socket no more than these are told.
MOST_TOLD = 4


class Tables:
    """Descriptor tables of all processes, and the sockets they name."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self.processes = {process.pid: process for process in processes}
        self.sockets: dict[int, SocketLife] = {}
        self.used: dict[int, int] = {}
        self.made: dict[int, list[int]] = {}
        self.ended: dict[int, list[int]] = {}
        self.left: dict[int, tuple[int, ...]] = {}
        self.waited: dict[int, dict[int, int]] = {}
        self.names: dict[int, dict[int, SocketLife]] = {}
        self.close_on_exec: dict[int, set[int]] = {}
        self._gone: set[int] = set()
        self.killers: dict[int, list[Call]] = {}
        self.last_call: dict[int, Call] = {}
        self.executing: dict[int, list[Drop]] = {}

    def table(self, pid: int) -> dict[int, SocketLife]:
        """The process's table; a process never seen before starts with its parent's names."""
        if pid not in self.names:
            process = self.processes.get(pid)
            parent = process.parent if process else None
            self.names[pid] = {}
            if parent is not None and parent in self.names:
                self.inherit(parent, pid)
        return self.names[pid]

    def inherit(self, parent: int, child: int) -> None:
        self.names.setdefault(child, {})
        self.close_on_exec[child] = set(self.close_on_exec.get(parent, ()))
        for fd, life in self.table(parent).items():
            self.name(child, fd, life)

    def name(self, pid: int, fd: int, life: SocketLife) -> None:
        self.names.setdefault(pid, {})[fd] = life
        life.holders[(pid, fd)] = None
        if pid not in life.pids:
            life.pids.append(pid)

    def create(self, call: Call, fd: int, family: str, kind: str) -> SocketLife:
        born = call.entered_ns if call.returned_ns is None else call.returned_ns
        life = SocketLife(len(self.sockets) + 1, family, kind, call.id, born)
        self.sockets[life.id] = life
        self.made.setdefault(call.id, []).append(life.id)
        # The kernel gives the lowest free number: an old name still here was closed unseen.
        self.unname(call.pid, fd, call, visible=False)
        self.name(call.pid, fd, life)
        life.calls.append(call)
        return life

    def unname(self, pid: int, fd: int, call: Call | None, *, visible: bool = True) -> None:
        """Drop one name. ``call`` is what dropped it; the last name ends the socket."""
        life = self.names.get(pid, {}).pop(fd, None)
        self.close_on_exec.get(pid, set()).discard(fd)
        if life is None:
            return
        life.holders.pop((pid, fd), None)
        if call:
            self._dropped(life, pid, fd, call)
        if life.holders:
            if call:
                some = islice(life.holders, MOST_TOLD + 1)
                self.left[call.id] = tuple(sorted({holder for holder, _ in some}))
            return
        life.closed_ns = call.entered_ns if call else None
        life.close_end_ns = call.returned_ns if call else None
        if call and visible:
            life.closed_by = call.id
            self.ended.setdefault(call.id, []).append(life.id)

    def _dropped(self, life: SocketLife, pid: int, fd: int, call: Call) -> None:
        """When the name was given up: within the call; in a death, by the time it was seen."""
        process = self.processes.get(pid)
        end_ns = call.returned_ns
        if call.name in _DEADLY:
            end_ns = process.ended_ns if process else None
        drop = Drop(call, pid, call.entered_ns, end_ns, fd)
        life.drops.append(drop)
        if call.name == "execve":
            self.executing.setdefault(pid, []).append(drop)

    def drop_all(self, pid: int, call: Call) -> None:
        process = self.processes.get(pid)
        self._gone.add(pid)
        for fd in list(self.table(pid)):
            life = self.names[pid][fd]
            self.unname(pid, fd, call)
            if not life.holders and process is not None and process.ended_ns is not None:
                life.close_end_ns = process.ended_ns

    def bury(self, process: Process) -> None:
        """A process that ended without an exit call: what killed it closed its sockets."""
        if process.pid in self._gone:
            return
        self._gone.add(process.pid)
        killer = self._death_of(process)
        for fd, life in list(self.names.get(process.pid, {}).items()):
            self.unname(process.pid, fd, killer)
            if not life.holders:
                life.closed_ns = killer.entered_ns if killer else process.ended_ns
                life.close_end_ns = process.ended_ns

    def _death_of(self, process: Process) -> Call | None:
        """The kill() that ended it; for SIGPIPE, its own last call, the write that drew it."""
        sent = self.killers.get(process.pid, ())
        fatal = (call for call in sent if call.args.get("signal") == process.signal)
        last = self.last_call.get(process.pid) if process.signal == "SIGPIPE" else None
        return next(fatal, last)

    def mark(self, pid: int, fd: int, close_on_exec: bool) -> None:
        marked = self.close_on_exec.setdefault(pid, set())
        (marked.add if close_on_exec else marked.discard)(fd)
