"""The journal: what every process of a run asked of the kernel, written as it happens.

Each process appends to one file of its own, one ``write`` a record: the entry before the call,
the return after it. A call that never returned, or whose process was killed, is therefore
visible as an entry alone, and the files can be read while the processes run.

A record is a JSON array on one line, told apart by its first item::

    ["p", pid, parent, role, command, ns]                     a process began to journal
    ["f", pid, parent, role, command, ns]                     its parent forked it
    ["e", n, tid, name, fd, args, ns, file, line]             call n is entered
    ["r", n, result, errno, ns, local, peer, out]             call n returned; out adds to args
    ["x", pid, ns, status, signal]                            the end of a process was observed

Behind an "e" or "r" stands what was asked of the kernel before or after the call, where anything
was (:mod:`observatory.sources.inquiry`). Times are nanoseconds of CLOCK_REALTIME.
"""

from __future__ import annotations

import errno as errno_numbers
import fcntl
import itertools
import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import FrameType

import msgspec

from observatory.errors import UsageError, WriteFailed
from observatory.sources.inquiry import Answer

FOLDER_VARIABLE = "OBSERVATORY_JOURNAL"
ROLE_VARIABLE = "OBSERVATORY_ROLE"
FIRST_DESCRIPTOR = 900  # our own descriptors stay above what a program's would reach

_PACKAGE = Path(__file__).resolve().parent.parent
# A call is made where the first frame outside these is: the recorder's own, and the standard
# library's socket module, which turns makefile().write() into send().
_NOT_THE_CALLER = (f"{_PACKAGE}/sources/", f"{_PACKAGE}/lab/", socket.__file__)

# Where two names have one number, the one that socket calls are documented with.
_ERRNO_NAMES = {**errno_numbers.errorcode, 95: "EOPNOTSUPP", 11: "EAGAIN", 35: "EDEADLK"}

_encode = msgspec.json.Encoder(enc_hook=str).encode  # 0.2 µs a record, json 4 µs


def _line(record: list[object]) -> bytes:
    try:
        return _encode(record) + b"\n"
    except UnicodeEncodeError:  # a path that is not UTF-8; json escapes it
        return json.dumps(record, default=str).encode() + b"\n"


def open_apart(path: Path | str, flags: int) -> int:
    """Open a file of our own on a high, close-on-exec descriptor.

    The program's descriptors then count from 3 as they would unobserved, and a descriptor limit
    that the program set (EMFILE is a behaviour to show) does not hit the recorder.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FIRST_DESCRIPTOR + 100
    enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    lifted = soft != resource.RLIM_INFINITY and soft < enough
    if lifted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    try:
        low = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, min(FIRST_DESCRIPTOR, enough - 50))
        finally:
            os.close(low)
    finally:
        if lifted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@cache
def _file_shown(filename: str) -> str:
    """How a source file is shown in a site; empty for those that are not the caller's."""
    return "" if filename.startswith(_NOT_THE_CALLER) else filename.rpartition("/")[2]


def caller_site() -> tuple[str, int] | None:
    """File name and line of the program's own code that is making a call."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = _file_shown(frame.f_code.co_filename)
        if file:
            return file, frame.f_lineno
        frame = frame.f_back
    return None


class Journal:
    """Writes the calling process's records to ``folder``. After a fork the child's first record
    goes to a file of its own; its role is the parent's with the child's pid, unless
    :meth:`after_fork` named it."""

    def __init__(self, folder: Path | str, role: str, command: str, parent: int | None = None):
        self.folder = Path(folder)
        self._numbers = itertools.count(1)
        self._begin(role, command, parent)

    def _begin(self, role: str, command: str, parent: int | None) -> None:
        self.role = role
        self.command = command
        self.pid = os.getpid()
        self._fd = open_apart(
            self.folder / f"{self.pid}.calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND
        )
        self._write(["p", self.pid, parent, role, command, time.time_ns()])

    def _write(self, record: list[object]) -> None:
        try:
            os.write(self._fd, _line(record))
        except OSError as failure:
            raise WriteFailed(
                f"the journal in {self.folder} cannot be written ({failure.strerror}): "
                "free some space there, or set TMPDIR to another folder"
            ) from failure

    def close(self) -> None:
        """Release the descriptor; the file stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def after_fork(self, role: str, command: str | None = None) -> None:
        """In a forked child: begin a file of its own under ``role``."""
        parent = self.pid
        self.close()
        self._begin(role, self.command if command is None else command, parent)

    def entered(
        self,
        name: str,
        fd: int | None,
        args: Mapping[str, object],
        sited: bool = True,
        asked: Answer = None,
    ) -> int:
        """Record that a call is about to be made; its number, for :meth:`returned`. ``sited``
        False: no line of the program made it. ``asked`` is what its socket was found to be."""
        if os.getpid() != self.pid:
            self.after_fork(f"{self.role}.{os.getpid()}")
        number = next(self._numbers)
        file, line = (caller_site() if sited else None) or (None, None)
        now = time.time_ns()
        record = ["e", number, threading.get_native_id(), name, fd, args, now, file, line]
        self._write(record if asked is None else [*record, asked])
        return number

    def returned(
        self,
        number: int,
        result: int | None,
        error: int = 0,
        local: str | None = None,
        peer: str | None = None,
        out: Mapping[str, object] | None = None,
        at_ns: int | None = None,
        asked: Answer = None,
    ) -> None:
        """Record what call ``number`` returned: ``error`` is an errno, 0 for success."""
        symbol = _ERRNO_NAMES.get(error, str(error)) if error else None
        now = time.time_ns() if at_ns is None else at_ns
        record = ["r", number, -1 if error else result, symbol, now, local, peer, out]
        self._write(record if asked is None else [*record, asked])

    def process_forked(self, pid: int, role: str) -> None:
        """Record that this process forked ``pid``, which may be killed before it can write."""
        self._write(["f", pid, self.pid, role, role, time.time_ns()])

    def process_ended(self, pid: int, status: int | None, signal: str | None) -> None:
        """Record that the end of process ``pid`` was observed (waitpid)."""
        self._write(["x", pid, time.time_ns(), status, signal])


@cache
def environment_journal() -> Journal:
    """The journal that ``OBSERVATORY_JOURNAL`` names, one for the process.

    Raises UsageError if the variable is not set.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise UsageError(
            f"no journal to write to: pass journal=, or set {FOLDER_VARIABLE} to a folder"
        )
    command = " ".join(sys.argv)
    return Journal(folder, os.environ.get(ROLE_VARIABLE) or f"process-{os.getpid()}", command)
