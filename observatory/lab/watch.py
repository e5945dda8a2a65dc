"""Running a command under strace, apart from the process that captures.

::

    observer                          runner process                     traced
    open_watch() ── forks ─────────▶  enters a private network, if asked,
                 ◀── packet sockets ─ opens the captures there
    go() ──────────────────────────▶  starts the helpers under strace,
                                      waits until they listen,
                                      starts the command under strace ─▶ runs
    wait() ◀──── exit status ───────  ends the helpers                 ◀─ ends

The command keeps the observer's stdin, stdout, stderr, working directory, environment and process
group: a Ctrl-C of the terminal reaches it as it would without the observatory. What it starts and
leaves behind is traced too, and waited for, as strace does. When the observer is killed, the
runner kills what it has started.
"""

from __future__ import annotations

import array
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import observatory.errors
from observatory.errors import ObservatoryError, PermissionRefused, ScenarioFailed
from observatory.lab import kernel, namespace, processes

Opener = Callable[[], Sequence[socket.socket]]
Tracing = Callable[[Path, Sequence[str]], Sequence[str]]
Ready = Callable[[Path], bool]

_COMMAND_LOG = "command.strace"
PATIENCE_S = 10.0  # for a helper to listen
FAREWELL_S = 2.0  # for a program to end after SIGTERM
QUIET_S = 0.5  # for a helper to see that its clients are gone
_LOOK_AGAIN_S = 0.01
_MESSAGE_SIZE = 1 << 16
_MOST_DESCRIPTORS = 250  # in one message (SCM_MAX_FD)
_OBSERVER_DIED = signal.SIGHUP
_RESET = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Programs:
    """What is run. ``tracing(log, command)`` gives the words that trace a command into a log, or
    that attach to running processes where ``command`` is empty. ``ready(log)`` says whether a
    helper listens. ``network_of`` is the process whose network is observed, if not ours."""

    command: Sequence[str]
    helpers: Sequence[Sequence[str]]
    tracing: Tracing
    ready: Ready
    private: bool = False
    network_of: int | None = None


class Watch:
    """The observer's side; see the module's head. Use it as a context manager.

    ``capture_fds`` are the opener's sockets, owned by the caller once taken; ``settings`` the
    kernel settings in force there.
    """

    def __init__(self, pid: int, control: socket.socket, folder: Path) -> None:
        self._pid: int | None = pid
        self._control = control
        self._folder = folder
        self._ended: dict[str, Any] = {}
        self.capture_fds: list[int] = []
        self.settings: Mapping[str, str] = {}

    @property
    def pid(self) -> int | None:
        """The runner process, in whose network the command is; None when it has ended."""
        return self._pid

    @property
    def logs(self) -> list[Path]:
        """strace's logs, the helpers' first."""
        return sorted(self._folder.glob("*.strace"))

    @property
    def started(self) -> bool:
        """Whether the command has been started; the helpers are before."""
        return (self._folder / _COMMAND_LOG).exists()

    def fileno(self) -> int:
        """Readable once all has ended, for poll and select."""
        return self._control.fileno()

    def prepare(self) -> None:
        """Wait until the network and the captures are there. Raises what kept them away."""
        message = self._receive()
        _raise_told(message)
        if "ready" not in message:
            raise ScenarioFailed("the process that was to run the command ended at once")
        self.settings = message["settings"]

    def go(self) -> None:
        """Start the helpers, then the command."""
        self._ask(b"go")

    def forward(self, number: int) -> None:
        """Send a signal to the command and what it has started."""
        self._ask(f"signal {number}".encode())

    def end(self) -> None:
        """End the command: SIGTERM, and SIGKILL two seconds later. What was attached to is let
        go, and goes on."""
        self._ask(b"end")

    def kill(self) -> None:
        """End the command now, by SIGKILL."""
        self._ask(b"kill")

    def wait(self) -> int:
        """The command's exit status, 128 more than the signal that ended it.

        Raises what kept it from running: ScenarioFailed for a helper that never listened.
        """
        message = self._ended = self._ended or self._receive()
        _raise_told(message)
        if "status" not in message:
            raise ScenarioFailed("the process that ran the command was killed")
        return int(message["status"])

    def close(self) -> None:
        """End what still runs and remove the logs."""
        try:
            if self._pid is not None:
                pid, self._pid = self._pid, None
                below = processes.descendants([pid])
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                _, status = os.waitpid(pid, 0)
                if os.WIFSIGNALED(status):  # then it could not end them itself
                    processes.send(below, signal.SIGKILL)
        finally:
            self._control.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, what: bytes) -> None:
        with suppress(OSError):  # a runner that is gone is told by wait()
            self._control.send(what)

    def _receive(self) -> dict[str, Any]:
        size = array.array("i", [0]).itemsize * _MOST_DESCRIPTORS
        try:
            text, control, _, _ = self._control.recvmsg(_MESSAGE_SIZE, socket.CMSG_SPACE(size))
        except ConnectionError:
            return {}
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
                self.capture_fds = list(received)
                for fd in received:
                    os.set_inheritable(fd, False)
        return json.loads(text) if text else {}


def _raise_told(message: Mapping[str, Any]) -> None:
    if "error" in message:
        raise getattr(observatory.errors, message["error"])(message["text"])


def open_watch(programs: Programs, opener: Opener) -> Watch:
    """Fork the runner; returns when everything is ready for :meth:`Watch.go`.

    Raises PermissionRefused, or what ``opener`` raised.
    """
    folder = Path(tempfile.mkdtemp(prefix="observatory-"))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    observer = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _run(_Runner(programs, folder, theirs), opener, observer)
    theirs.close()
    watch = Watch(pid, ours, folder)
    try:
        watch.prepare()
    except BaseException:
        watch.close()
        raise
    return watch


class _Runner:
    """In the runner process: what it has started, and what it was asked to do with it."""

    def __init__(self, programs: Programs, folder: Path, control: socket.socket) -> None:
        self.programs = programs
        self.folder = folder
        self.control = control
        self.tracers: list[int] = []
        self.ignored = [n for n in _RESET if signal.getsignal(n) is signal.SIG_IGN]

    def play(self) -> int:
        """Run it all; the command's exit status."""
        for number, helper in enumerate(self.programs.helpers, 1):
            self._start_helper(number, helper)
        log = self.folder / _COMMAND_LOG
        tracer = self._start(log, self.programs.command, own_session=False)
        status = self._attend(tracer, log)
        self._let_helpers_see()
        return status

    def traced(self, *tracers: int) -> list[int]:
        """The programs that run, without the tracers themselves. A program that left its parent
        is the runner's child, and counts as the command's."""
        mine = set(self.tracers)
        below = processes.descendants(tracers or [os.getpid()])
        return [pid for pid in below if pid not in mine]

    def end(self) -> None:
        """End whatever is left."""
        if self.programs.command:
            processes.end(self.traced, FAREWELL_S)
        processes.send(self.tracers, signal.SIGTERM)
        for tracer in self.tracers:
            _reap(tracer, FAREWELL_S)

    def _start_helper(self, number: int, helper: Sequence[str]) -> None:
        log = self.folder / f"{number}-helper.strace"
        tracer = self._start(log, helper, own_session=True)
        deadline = time.monotonic() + PATIENCE_S
        name = " ".join(helper)
        while not self.programs.ready(log):
            if _reaped(tracer) is not None:
                self.tracers.remove(tracer)
                raise ScenarioFailed(f"the helper `{name}` ended before it listened")
            if time.monotonic() > deadline:
                raise ScenarioFailed(
                    f"the helper `{name}` did not listen within {PATIENCE_S:g} s: --with is for "
                    "servers; start others beforehand"
                )
            if select.select([self.control], [], [], _LOOK_AGAIN_S)[0]:
                raise ScenarioFailed(f"ended while the helper `{name}` was starting")

    def _start(self, log: Path, command: Sequence[str], own_session: bool) -> int:
        log.touch()
        words = self.programs.tracing(log, command)
        pid = os.fork()
        if pid == 0:
            _become(words, own_session, self.ignored)
        self.tracers.append(pid)
        return pid

    def _attend(self, tracer: int, log: Path) -> int:
        """Until the command has ended, do what the observer asks; its exit status."""
        ended = os.pidfd_open(tracer)
        try:
            while True:
                control = self.control.fileno()
                readable, _, _ = select.select([ended, control], [], [])
                if ended in readable:
                    break
                self._obey(tracer, self.control.recv(64).decode())
        finally:
            os.close(ended)
        status = _reap(tracer, FAREWELL_S)
        self.tracers.remove(tracer)
        if status == 1 and not log.stat().st_size:
            raise PermissionRefused(
                "strace could not trace it, and says why above; in a container it needs "
                "--cap-add SYS_PTRACE, for another user's process sudo"
            )
        return status

    def _obey(self, tracer: int, asked: str) -> None:
        members = partial(self.traced, tracer)
        word, _, argument = asked.partition(" ")
        if not word:  # the observer closed its end
            self.end()
            os._exit(1)
        if not self.programs.command:
            os.kill(tracer, signal.SIGTERM)  # strace then lets go of what it is attached to
        elif word == "signal":
            processes.send(members(), int(argument))
        elif word == "end":
            processes.end(members, FAREWELL_S)
        elif word == "kill":
            processes.kill(members)

    def _let_helpers_see(self) -> None:
        """A server whose client has ended reads that and closes; then it may be ended itself."""
        if not self.programs.helpers:
            return
        from observatory.sources.sockets import SocketTable

        deadline = time.monotonic() + QUIET_S
        with SocketTable() as table:
            while time.monotonic() < deadline:
                if self.programs.private and table.settled():
                    break
                time.sleep(_LOOK_AGAIN_S)
        time.sleep(5 * _LOOK_AGAIN_S)


def _run(runner: _Runner, opener: Opener, observer: int) -> NoReturn:
    """The runner process, from its fork to its end."""
    message: dict[str, object]
    try:
        _prepare_process(runner)
        if runner.programs.private:
            namespace.enter_private_network()
        elif runner.programs.network_of is not None:
            namespace.enter_network_of(runner.programs.network_of)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, _OBSERVER_DIED)  # unshare() took it back
        if os.getppid() != observer:
            os._exit(1)
        _send_ready(runner.control, opener)
        message = {"status": 1}
        if runner.control.recv(64) == b"go":
            message = {"status": runner.play()}
    except ObservatoryError as failure:
        message = {"error": type(failure).__name__, "text": str(failure)}
    except BaseException:
        message = {"error": ScenarioFailed.__name__, "text": traceback.format_exc()}
    try:
        runner.end()
        with suppress(OSError):
            runner.control.send(json.dumps(message).encode()[:_MESSAGE_SIZE])
    finally:
        os._exit(0)


def _prepare_process(runner: _Runner) -> None:
    gc.freeze()
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)  # the terminal's; the command has its own
    signal.signal(signal.SIGTERM, lambda *_: _end_at_once(runner, silent=False))
    signal.signal(_OBSERVER_DIED, lambda *_: _end_at_once(runner, silent=True))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, _OBSERVER_DIED)


def _end_at_once(runner: _Runner, silent: bool) -> NoReturn:
    runner.end()
    if silent:  # nobody else is left to remove the logs
        shutil.rmtree(runner.folder, ignore_errors=True)
    os._exit(1)


def _send_ready(control: socket.socket, opener: Opener) -> None:
    settings = namespace.read_settings(namespace.RELEVANT_SETTINGS)
    message = json.dumps({"ready": True, "settings": settings}).encode()
    with ExitStack() as stack:
        opened = [stack.enter_context(one) for one in opener()][:_MOST_DESCRIPTORS]
        socket.send_fds(control, [message], [one.fileno() for one in opened])


def _become(words: Sequence[str], own_session: bool, ignored: Sequence[int]) -> NoReturn:
    """In a fresh child: the tracer, with what Python and the runner do with signals undone."""
    try:
        for number in (*_RESET, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
        if own_session:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
        os.execv(words[0], list(words))
    finally:
        os._exit(127)


def _reaped(pid: int) -> int | None:
    """A child's exit status as shells tell it, None while it runs."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 1
    if not found:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _reap(pid: int, patience_s: float) -> int:
    """Wait for a child to end, and kill it if it does not."""
    deadline = time.monotonic() + patience_s
    while (status := _reaped(pid)) is None:
        if time.monotonic() > deadline:
            processes.send([pid], signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_S / 5)
    return status
