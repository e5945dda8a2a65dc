"""poll and select, journaled, each as the one call that the kernel was asked."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

from observatory.sources import syscalls
from observatory.sources.constants import poll_names
from observatory.sources.journal import Journal

Ready = list[tuple[int, int]]
_SELECT_LIMIT = 1024  # FD_SETSIZE


def descriptor(item: Any) -> int:
    """The descriptor of a socket, a file or an int."""
    return item if isinstance(item, int) else int(item.fileno())


def ask(journal: Journal, name: str, fd: int | None, args: dict[str, object], call: Any) -> Any:
    """Make one journaled call: ``call()`` returns ``(result, out)``; yields (result, errno).

    Should a signal handler raise as the call returns, what errno tells is journaled first.
    """
    number = journal.entered(name, fd, args)
    ctypes.set_errno(0)
    try:
        result, out = call()
    except BaseException:
        journal.returned(number, None, ctypes.get_errno())
        raise
    error = ctypes.get_errno() if result < 0 else 0
    journal.returned(number, result, error, out=out)
    return result, error


def poll_once(journal: Journal, fds: Sequence[tuple[int, int]], seconds: float | None) -> Any:
    """One poll call: ``(errno, [(fd, revents), …])``. ``seconds`` None waits for ever."""
    milliseconds = -1 if seconds is None else max(0, math.ceil(seconds * 1000))
    table = (syscalls.PollDescriptor * len(fds))()
    for entry, (fd, events) in zip(table, fds, strict=True):
        entry.fd, entry.events = fd, events
    ready: Ready = []

    def call() -> tuple[int, dict[str, object]]:
        result = syscalls.poll(table, len(fds), milliseconds)
        ready.extend((entry.fd, entry.revents) for entry in table if result > 0 and entry.revents)
        return result, {"ready": [(fd, poll_names(events)) for fd, events in ready]}

    named = [(fd, poll_names(events)) for fd, events in fds]
    _, error = ask(journal, "poll", None, {"fds": named, "timeout_ms": milliseconds}, call)
    return error, ready


def poll(
    journal: Journal, fds: Sequence[tuple[int, int]], seconds: float | None, interruptible: bool
) -> Ready:
    """Wait for events on ``(fd, mask)`` pairs: the ``(fd, revents)`` that are ready.

    A call that a signal interrupted is made again with the time that is left, as PEP 475 has it,
    unless ``interruptible``: then InterruptedError. Other errors raise OSError.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        error, ready = poll_once(journal, fds, left)
        if not error:
            return list(ready)
        if error != errno.EINTR or interruptible:
            raise OSError(error, os.strerror(error))


class Poll:
    """Drop-in for ``select.poll()``."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._fds: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = 0x7) -> None:
        """Watch ``fd`` for ``eventmask`` (POLLIN|POLLPRI|POLLOUT by default)."""
        self._fds[descriptor(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int) -> None:
        """Change what ``fd`` is watched for. Raises FileNotFoundError if it is not watched."""
        if descriptor(fd) not in self._fds:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._fds[descriptor(fd)] = eventmask

    def unregister(self, fd: Any) -> None:
        """Stop watching ``fd``. Raises KeyError if it is not watched."""
        del self._fds[descriptor(fd)]

    def poll(self, timeout: float | None = None) -> Ready:
        """Wait up to ``timeout`` milliseconds (None or negative: for ever)."""
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        return poll(self._journal, list(self._fds.items()), seconds, interruptible=False)


def select(
    journal: Journal,
    read: Iterable[Any],
    write: Iterable[Any],
    exceptional: Iterable[Any],
    timeout: float | None = None,
) -> tuple[list[Any], list[Any], list[Any]]:
    """Drop-in for ``select.select``. Raises ValueError for a descriptor of 1024 or more."""
    watched = [list(items) for items in (read, write, exceptional)]
    numbers = [[descriptor(item) for item in items] for items in watched]
    highest = max((fd for fds in numbers for fd in fds), default=-1)
    if highest >= _SELECT_LIMIT:
        raise ValueError("filedescriptor out of range in select()")
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        error, ready = _select_once(journal, numbers, highest, left)
        if not error:
            break
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))
    chosen = [
        [item for item, fd in zip(items, fds, strict=True) if fd in set(found)]
        for items, fds, found in zip(watched, numbers, ready, strict=True)
    ]
    return chosen[0], chosen[1], chosen[2]


def _select_once(
    journal: Journal, numbers: list[list[int]], highest: int, left: float | None
) -> tuple[int, list[list[int]]]:
    bits = [_bit_set(fds) for fds in numbers]
    wait = None
    if left is not None:
        microseconds = math.ceil(left * 1_000_000)
        wait = ctypes.byref(syscalls.TimeValue(*divmod(microseconds, 1_000_000)))
    ready: list[list[int]] = [[], [], []]

    def call() -> tuple[int, dict[str, object]]:
        result = syscalls.select(highest + 1, *bits, wait)
        if result >= 0:
            ready[:] = [_members(one, fds) for one, fds in zip(bits, numbers, strict=True)]
        return result, dict(zip(("ready_read", "ready_write", "ready_except"), ready, strict=True))

    args: dict[str, object] = dict(zip(("read", "write", "except"), numbers, strict=True))
    args["timeout_ms"] = -1 if left is None else math.ceil(left * 1000)
    _, error = ask(journal, "select", None, args, call)
    return error, ready


def _bit_set(fds: Iterable[int]) -> Any:
    bits = (ctypes.c_uint8 * (_SELECT_LIMIT // 8))()
    for fd in fds:
        bits[fd // 8] |= 1 << (fd % 8)
    return bits


def _members(bits: Any, fds: Iterable[int]) -> list[int]:
    return [fd for fd in fds if bits[fd // 8] & (1 << (fd % 8))]
