"""Running a command under strace, apart from the process that captures.

::

    observer                          runner process                     traced
    open_watch() ── forks ─────────▶  enters a private network, if asked,
                 ◀── packet sockets ─ opens the captures there
    go() ──────────────────────────▶  starts the helpers under strace,
                                      waits until they listen,
                                      starts the command under strace ─▶ runs
    wait() ◀──── exit status ───────  ends the helpers                 ◀─ ends

The runner's side is :mod:`observatory.lab.runner`.

The command keeps the observer's stdin, stdout, stderr, working directory, environment and process
group: a Ctrl-C of the terminal reaches it as it would without the observatory. What it starts and
leaves behind is traced too, and waited for, as strace does. When the observer is killed, the
runner kills what it has started.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import observatory.errors
from observatory.errors import ScenarioFailed
from observatory.lab import processes
from observatory.lab.runner import (
    COMMAND_LOG,
    MESSAGE_SIZE,
    MOST_DESCRIPTORS,
    SITES,
    Opener,
    Programs,
    Runner,
    run,
)


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
        return (self._folder / COMMAND_LOG).exists()

    @property
    def sites(self) -> Path:
        """Where Python programs note where they call."""
        return self._folder / SITES

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

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, what: bytes) -> None:
        with suppress(OSError):  # a runner that is gone is told by wait()
            self._control.send(what)

    def _receive(self) -> dict[str, Any]:
        size = array.array("i", [0]).itemsize * MOST_DESCRIPTORS
        try:
            text, control, _, _ = self._control.recvmsg(MESSAGE_SIZE, socket.CMSG_SPACE(size))
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
        run(Runner(programs, folder, theirs), opener, observer)
    theirs.close()
    watch = Watch(pid, ours, folder)
    try:
        watch.prepare()
    except BaseException:
        watch.close()
        raise
    return watch
