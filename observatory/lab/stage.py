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
        capture = ...stage.capture_fd...        # a descriptor in the private network, or None
        stage.go()
        outcome = stage.wait()                  # Ctrl-C ends the play and keeps what was seen
    outcome.calls, outcome.processes, outcome.defects, outcome.failure, outcome.interrupted

``opener()`` runs in the stage process, inside the namespace, while it is privileged; it returns
a socket (anything with ``fileno()``), whose descriptor the observer gets. When the observer is
killed, the stage kills the actors and ends; the namespace goes with them.
"""

from __future__ import annotations

import array
import gc
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import observatory.errors
from observatory.errors import ObservatoryError, PermissionRefused, ScenarioFailed, UsageError
from observatory.lab import kernel, namespace, privileges
from observatory.lab.behaviour import Behaviour
from observatory.lab.playing import Stage
from observatory.model import Call, Process
from observatory.sources.journal_reader import Reading, read_journals

__all__ = ["OpenStage", "Outcome", "Stage", "open_stage"]

Opener = Callable[[], Any]

_MESSAGE_SIZE = 1 << 20
_OBSERVER_DIED = signal.SIGHUP  # sent by the kernel; SIGTERM is the observer's own


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a play left behind.

    ``failure`` is set when a process of the behaviour failed or the time was up (ScenarioFailed),
    or its journal could not be written: the calls until then are there nonetheless.
    ``interrupted`` is True if the user ended it.
    """

    calls: tuple[Call, ...]
    processes: tuple[Process, ...]
    defects: tuple[str, ...]
    failure: ObservatoryError | None = None
    interrupted: bool = False


class OpenStage:
    """The observer's side of a stage; see the module's head. Use it as a context manager.

    ``capture_fd`` is the opener's socket, owned by the caller once taken; ``settings`` the kernel
    settings in force there.
    """

    def __init__(
        self, pid: int, control: socket.socket, folder: Path, behaviour: Behaviour
    ) -> None:
        self._pid: int | None = pid
        self._control = control
        self._folder = folder
        self._behaviour = behaviour
        self.capture_fd: int | None = None
        self.settings: Mapping[str, str] = {}

    def __enter__(self) -> OpenStage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self) -> dict[str, Any]:
        """The stage's next message; empty if it is gone."""
        size = array.array("i", [0]).itemsize
        try:
            text, control, _, _ = self._control.recvmsg(_MESSAGE_SIZE, socket.CMSG_SPACE(size))
        except ConnectionError:
            return {}
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.capture_fd = array.array("i", data[:size])[0]
                os.set_inheritable(self.capture_fd, False)
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

    def so_far(self) -> Reading:
        """What the journals hold while the play goes on."""
        return read_journals(self._folder / "journal")

    def wait(self, interrupted: bool = False) -> Outcome:
        """Wait for the play's end and read its journals; if ``interrupted``, end it now.

        A failure of the behaviour and Ctrl-C are told in the outcome, not raised.
        """
        failure: ObservatoryError | None = None
        try:
            message = {} if interrupted else self._receive()
            if not interrupted and "ended" not in message and "error" not in message:
                message = {"error": "ScenarioFailed", "text": "its stage was killed"}
        except KeyboardInterrupt:
            interrupted, message = True, {}
        self._end()
        if "error" in message:
            try:
                _raise_told(message)
            except ObservatoryError as told:
                failure = told
        reading = read_journals(self._folder / "journal")
        return Outcome(reading.calls, reading.processes, reading.defects, failure, interrupted)

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
    behaviour: Behaviour, *, private: bool = True, opener: Opener | None = None
) -> OpenStage:
    """Set up a stage for ``behaviour``: in a private network, or on the host's own.

    Returns when everything is ready for :meth:`OpenStage.go`. Raises UsageError if the behaviour
    refuses the host's network, PermissionRefused, or what ``opener`` raised.
    """
    if not private and behaviour.host_refusal:
        raise UsageError(
            f"{behaviour.name} cannot be observed on the host's own network: "
            f"{behaviour.host_refusal}. Run it without --host."
        )
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
        _run_stage(behaviour, folder, person, theirs, private, opener, observer)
    theirs.close()
    stage = OpenStage(pid, ours, folder, behaviour)
    try:
        stage.prepare()
    except BaseException:
        stage.close()
        raise
    return stage


def _run_stage(
    behaviour: Behaviour,
    folder: Path,
    person: privileges.Person,
    control: socket.socket,
    private: bool,
    opener: Opener | None,
    observer: int,
) -> NoReturn:
    """The stage process, from its fork to its end."""
    stage: Stage | None = None
    message: dict[str, object]
    try:
        _prepare_process()
        if private:
            namespace.enter_private_network()
            namespace.write_settings(behaviour.sysctls)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, _OBSERVER_DIED)  # unshare() took it back
        if os.getppid() != observer:
            os._exit(1)
        stage = entered = Stage(behaviour, folder, person)
        signal.signal(signal.SIGTERM, lambda *_: _end_with_actors(entered))
        signal.signal(_OBSERVER_DIED, lambda *_: _end_without_trace(entered))
        _send_ready(control, opener)
        if control.recv(16) == b"go":
            behaviour.play(stage)
        message = {"ended": True}
    except ObservatoryError as failure:
        message = {"error": type(failure).__name__, "text": str(failure)}
    except BaseException:
        text = f"{behaviour.name}: {traceback.format_exc()}"
        message = {"error": ScenarioFailed.__name__, "text": text}
    try:
        if stage is not None:
            stage.end_all()
        _send(control, message)
    finally:
        os._exit(0)


def _prepare_process() -> None:
    gc.freeze()  # garbage of the observer's must not close descriptors that are reused here
    os.setsid()  # the terminal's Ctrl-C is the observer's to handle
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    signal.signal(signal.SIGCHLD, lambda *_: None)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, _OBSERVER_DIED)


def _end_with_actors(stage: Stage) -> NoReturn:
    stage.end_all()
    os._exit(1)


def _end_without_trace(stage: Stage) -> NoReturn:
    """The observer was killed, and nobody else is left to remove the play's files."""
    stage.end_all()
    shutil.rmtree(stage.folder.parent, ignore_errors=True)
    os._exit(1)


def _send_ready(control: socket.socket, opener: Opener | None) -> None:
    message = {"ready": True, "settings": namespace.read_settings(namespace.RELEVANT_SETTINGS)}
    try:
        opened = [] if opener is None else [opener()]
    except PermissionError as failure:
        raise PermissionRefused(
            f"opening the capture was refused ({failure.strerror}): run with sudo"
        ) from failure
    socket.send_fds(control, [json.dumps(message).encode()], [one.fileno() for one in opened])
    for one in opened:
        one.close()


def _send(control: socket.socket, message: Mapping[str, Any]) -> None:
    with suppress(OSError):
        control.send(json.dumps(message).encode()[:_MESSAGE_SIZE])
