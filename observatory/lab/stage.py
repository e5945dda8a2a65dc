"""The stage: where a behaviour's processes play, apart from the process that observes them.

::

    observer (unprivileged)            stage process                      actors
    open_stage() ── forks ──────────▶  enters a private network,
                                       sets what the behaviour asks,
                 ◀── capture socket ── opens the capture there
    go() ───────────────────────────▶  plays the behaviour ── forks ────▶ drop privileges, play
    wait() ◀─── "ended" ─────────────  reaps them all      ◀───────────── end

For the one who observes::

    with open_stage(behaviour, opener=open_packet_socket) as stage:
        stage.opened                            # sockets in the private network, by interface
        stage.pids                              # a process in the network of each host
        stage.go()
        outcome = stage.wait()                  # Ctrl-C ends the play and keeps what was seen
    outcome.calls, outcome.processes, outcome.defects, outcome.failure, outcome.interrupted

``opener(device)`` runs in the stage process, inside the namespace of each host of the lab, while
it is privileged; it returns a socket (anything with ``fileno()``), whose descriptor the observer
gets. When the observer is killed, the stage kills the actors and ends; the namespaces go with
them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import observatory.errors
from observatory.errors import ObservatoryError, ScenarioFailed, UsageError
from observatory.lab import privileges
from observatory.lab.behaviour import Behaviour
from observatory.lab.interventions import read_marks
from observatory.lab.playing import MARKS, Stage
from observatory.lab.staging import MESSAGE_SIZE, Opener, Setting, run_stage
from observatory.lab.topology import READY_MADE, Plan
from observatory.model import Call, KernelEvent, Process, Topology
from observatory.sources.journal_reader import Reading, read_journals

__all__ = ["OpenStage", "Outcome", "Stage", "open_stage"]

_MOST_DESCRIPTORS = 253  # SCM_MAX_FD (unix(7))


@dataclass(frozen=True, slots=True)
class Opened:
    """The opener's socket for interface ``device`` of ``host`` (empty where there is one host
    only): its descriptor, owned by the one who observes."""

    host: str
    device: str
    fd: int

    @property
    def name(self) -> str:
        """As the trace names the interface."""
        return f"{self.host}:{self.device}" if self.host else self.device


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a play left behind.

    ``failure`` is set when a process of the behaviour failed or the time was up (ScenarioFailed),
    or its journal could not be written: the calls until then are there nonetheless.
    ``interrupted`` is True if the user ended it. ``events`` are what was done to the lab
    (``lab:fault``), ``topology`` is the lab as it then was, None where there is one host only;
    ``holds_ns`` is how long a packet may be under way in it.
    """

    calls: tuple[Call, ...]
    processes: tuple[Process, ...]
    defects: tuple[str, ...]
    failure: ObservatoryError | None = None
    interrupted: bool = False
    events: tuple[KernelEvent, ...] = ()
    topology: Topology | None = None
    holds_ns: int = 0


class OpenStage:
    """The observer's side of a stage; see the module's head. Use it as a context manager.

    ``opened`` are the opener's sockets, owned by the caller once taken; ``settings`` the kernel
    settings in force there; ``pids`` a process in the network of each host of the lab, by the
    host's name, which is empty where there is one only.
    """

    def __init__(
        self, pid: int, control: socket.socket, folder: Path, behaviour: Behaviour, plan: Plan
    ) -> None:
        self._pid: int | None = pid
        self._control = control
        self._folder = folder
        self._behaviour = behaviour
        self._plan = plan
        self._descriptors: tuple[int, ...] = ()
        self.opened: tuple[Opened, ...] = ()
        self.settings: Mapping[str, str] = {}
        self.pids: Mapping[str, int] = {}

    def __enter__(self) -> OpenStage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> dict[str, Any]:
        """The stage's next message; empty if it is gone."""
        try:
            text, fds, _, _ = socket.recv_fds(self._control, MESSAGE_SIZE, _MOST_DESCRIPTORS)
        except ConnectionError:
            return {}
        for fd in fds:
            os.set_inheritable(fd, False)
        self._descriptors += tuple(fds)
        return json.loads(text) if text else {}

    def prepare(self) -> None:
        """Wait until the namespace and the capture socket are there (open_stage does it).

        Raises what kept them away: PermissionRefused, UsageError, CaptureError.
        """
        message = self._receive()
        _raise_told(message)
        if "ready" not in message:
            raise ScenarioFailed(f"the stage of {self._behaviour.name} ended before it was set up")
        self.settings = message["settings"]
        self.pids = message["pids"]
        self.opened = tuple(
            Opened(host, device, fd)
            for (host, device), fd in zip(message["opened"], self._descriptors, strict=True)
        )

    def go(self) -> None:
        """Let the actors begin."""
        with suppress(ConnectionError):  # a stage that is gone is told by wait()
            self._control.send(b"go")

    def fileno(self) -> int:
        """Readable once the play has ended, for poll and select."""
        return self._control.fileno()

    @property
    def pid(self) -> int | None:
        """The stage process, in whose network the play is; None when it has ended."""
        return self._pid

    @property
    def topology(self) -> Topology | None:
        """The lab as it is now, with what was done to it; None where there is one host only and
        nothing was done to it."""
        marks = read_marks(self._folder / MARKS)
        if self._plan.is_loopback and not marks:
            return None
        return self._plan.topology(
            tuple(mark.what for mark in marks), marks[-1].relays if marks else {}
        )

    def events(self) -> tuple[KernelEvent, ...]:
        """What was done to the lab until now, as events ``lab:fault``."""
        marks = read_marks(self._folder / MARKS)
        return tuple(mark.event(number) for number, mark in enumerate(marks, 1))

    def so_far(self) -> Reading:
        """What the journals hold while the play goes on."""
        reading = read_journals(self._folder / "journal")
        if self._plan.is_loopback:
            return reading
        return reading._replace(processes=tuple(self._placed(reading.processes)))

    def _placed(self, processes: Sequence[Process]) -> Iterator[Process]:
        """Each with its host: its role's, or for a forked child its parent's."""
        by_pid = {process.pid: process for process in processes}
        for process in processes:
            first = process
            while first.parent in by_pid:
                first = by_pid[first.parent]
            yield replace(process, host=self._behaviour.host_of(first.role))

    def wait(self, interrupted: bool = False) -> Outcome:
        """Wait for the play's end and read its journals; if ``interrupted``, end it now.

        The lab stays, with what carries its packets, until :meth:`close`: the kernel may have
        something left to send.
        A failure of the behaviour and Ctrl-C are told in the outcome, not raised.
        """
        failure: ObservatoryError | None = None
        killed = False
        try:
            message = {} if interrupted else self._receive()
            if not interrupted and "ended" not in message and "error" not in message:
                killed, message = True, {"error": "ScenarioFailed", "text": "its stage was killed"}
        except KeyboardInterrupt:
            interrupted, message = True, {}
        if interrupted or killed:
            self._end()
        if "error" in message:
            try:
                _raise_told(message)
            except ObservatoryError as told:
                failure = told
        reading = self.so_far()
        marks = read_marks(self._folder / MARKS)
        return Outcome(
            reading.calls,
            reading.processes,
            reading.defects,
            failure,
            interrupted,
            events=self.events(),
            topology=self.topology,
            holds_ns=max((mark.holds_ns for mark in marks), default=0),
        )

    def _end(self) -> None:
        """End the stage process, and with it the actors; idempotent."""
        if self._pid is None:
            return
        pid, self._pid = self._pid, None
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            self._kill_orphans(pid)

    def _kill_orphans(self, session: int) -> None:
        """End what a stage that was itself killed could not end: its actors die with it, the
        children that they forked do not."""
        for process in self.so_far().processes:
            with suppress(ProcessLookupError):
                if os.getsid(process.pid) == session:
                    os.kill(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End what still plays and remove its files. The capture socket stays the caller's."""
        try:
            self._end()
        finally:
            self._control.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def _raise_told(message: Mapping[str, Any]) -> None:
    if "error" in message:
        raise getattr(observatory.errors, message["error"])(message["text"])


def open_stage(
    behaviour: Behaviour,
    *,
    private: bool = True,
    opener: Opener | None = None,
    interface: str = "lo",
) -> OpenStage:
    """Set up a stage for ``behaviour``: in its lab, which is private, or on the machine's own
    network. ``interface`` is the one that ``opener`` is asked for where there is one host only.

    Returns when everything is ready for :meth:`OpenStage.go`. Raises UsageError if the behaviour
    refuses the host's network, PermissionRefused, or what ``opener`` raised.
    """
    if not private and behaviour.host_refusal:
        raise UsageError(
            f"{behaviour.name} cannot be observed on the host's own network: "
            f"{behaviour.host_refusal}. Run it without --host."
        )
    plan = plan_of(behaviour)
    person = privileges.invoker()
    folder = Path(tempfile.mkdtemp(prefix="observatory-"))
    for name in ("journal", "files"):
        (folder / name).mkdir(mode=0o700)
    (folder / "board").touch(mode=0o600)
    if person.uid != os.geteuid():
        for path in (folder, *folder.iterdir()):
            os.chown(path, person.uid, person.gid)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    observer = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        setting = Setting(behaviour, plan, folder, person, private, opener, interface)
        run_stage(setting, theirs, observer)
    theirs.close()
    stage = OpenStage(pid, ours, folder, behaviour, plan)
    try:
        stage.prepare()
    except BaseException:
        stage.close()
        raise
    return stage


def plan_of(behaviour: Behaviour) -> Plan:
    """The lab that ``behaviour`` plays in. Raises UsageError for a name that none has."""
    if isinstance(behaviour.lab, Plan):
        return behaviour.lab
    if behaviour.lab not in READY_MADE:
        raise UsageError(
            f"{behaviour.name} plays in a lab {behaviour.lab!r}, which is not there: "
            f"it may be {', '.join(READY_MADE)}"
        )
    return READY_MADE[behaviour.lab]
