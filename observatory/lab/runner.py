"""The process that runs a command under strace, and ends all that it has started; see ``watch``."""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from observatory.errors import ObservatoryError, PermissionRefused, ScenarioFailed
from observatory.lab import kernel, namespace, processes, sites

Opener = Callable[[], Sequence[socket.socket]]
Tracing = Callable[[Path, Sequence[str]], Sequence[str]]
Ready = Callable[[Path], bool]

SITES = "sites"
COMMAND_LOG = "command.strace"
MESSAGE_SIZE = 1 << 16
MOST_DESCRIPTORS = 250  # in one message (SCM_MAX_FD)

PATIENCE_S = 10.0  # for a helper to listen
FAREWELL_S = 2.0  # for a program to end after SIGTERM
QUIET_S = 0.5  # for a helper to see that its clients are gone
_LOOK_AGAIN_S = 0.01
_OBSERVER_DIED = signal.SIGHUP
_RESET = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Programs:
    """What is run. ``tracing(log, command)`` gives the words that trace a command into a log, or
    that attach to running processes where ``command`` is empty. ``ready(log)`` says whether a
    helper listens. ``network_of`` is the process whose network is observed, if not ours.
    ``sites``: Python programs note where they call.
    """

    command: Sequence[str]
    helpers: Sequence[Sequence[str]]
    tracing: Tracing
    ready: Ready
    private: bool = False
    network_of: int | None = None
    sites: bool = False


class Runner:
    """In the runner process: what it has started, and what it was asked to do with it."""

    def __init__(self, programs: Programs, folder: Path, control: socket.socket) -> None:
        self.programs = programs
        self.folder = folder
        self.control = control
        self.tracers: list[int] = []
        self.ignored = [n for n in _RESET if signal.getsignal(n) is signal.SIG_IGN]

    def play(self) -> int:
        """Run it all; the command's exit status."""
        if self.programs.sites:
            file = self.folder / SITES
            file.touch()
            file.chmod(0o622)  # the command may be another user's
            self.folder.chmod(0o711)
            os.environ.update(sites.environment(file, os.environ))
        for number, helper in enumerate(self.programs.helpers, 1):
            self._start_helper(number, helper)
        log = self.folder / COMMAND_LOG
        tracer = self._start(log, self.programs.command, own_session=False)
        status = self._attend(tracer, log)
        self._let_helpers_see()
        return status

    def traced(self, without: Sequence[int] = ()) -> list[int]:
        """The programs that run, without the tracers themselves and what is below ``without``. A
        program that left its parent is the runner's child, and counts as the command's."""
        apart = {*self.tracers, *processes.descendants(without)}
        return [pid for pid in processes.descendants([os.getpid()]) if pid not in apart]

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
        helpers = [each for each in self.tracers if each != tracer]
        members = partial(self.traced, helpers)
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


def run(runner: Runner, opener: Opener, observer: int) -> NoReturn:
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
            runner.control.send(json.dumps(message).encode()[:MESSAGE_SIZE])
    finally:
        os._exit(0)


def _prepare_process(runner: Runner) -> None:
    gc.freeze()
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)  # the terminal's; the command has its own
    signal.signal(signal.SIGTERM, lambda *_: _end_at_once(runner, silent=False))
    signal.signal(_OBSERVER_DIED, lambda *_: _end_at_once(runner, silent=True))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, _OBSERVER_DIED)


def _end_at_once(runner: Runner, silent: bool) -> NoReturn:
    runner.end()
    if silent:  # nobody else is left to remove the logs
        shutil.rmtree(runner.folder, ignore_errors=True)
    os._exit(1)


def _send_ready(control: socket.socket, opener: Opener) -> None:
    settings = namespace.read_settings(namespace.RELEVANT_SETTINGS)
    message = json.dumps({"ready": True, "settings": settings}).encode()
    with ExitStack() as stack:
        opened = [stack.enter_context(one) for one in opener()][:MOST_DESCRIPTORS]
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
