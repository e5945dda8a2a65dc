"""Instances of tracefs that are made once for many runs side by side.

Making one, giving it a clock and removing it wait for every processor, some 30 ms each, and the
kernel does that for one instance after another. So a process that forks one for each run makes
as many as run at once, and each run takes one that no other has.

::

    with ReadyInstances(4):        # in the process that forks
        ...                        # in each child Tracepoints() takes one, as long as there is one
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from observatory.sources.tracefs_instances import (
    PREFIX,
    listed,
    refuse_foreign_pids,
    remove_instance,
    set_clock,
)
from observatory.sources.tracefs_mount import open_folder


class ReadyInstances:
    """``count`` instances with a clock, for the children of this process. Where tracefs is not to
    be had there are none, and each run finds out for itself."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._folder = -1
        self._names: list[str] = []

    def __enter__(self) -> ReadyInstances:
        with suppress(OSError):
            refuse_foreign_pids()
            self._folder = open_folder()
            for number in range(1, self._count + 1):
                name = f"{_prefix(os.getpid())}{number}"
                os.mkdir(f"instances/{name}", 0o700, dir_fd=self._folder)
                self._names.append(name)
                instance = _open(name, self._folder)
                try:
                    set_clock(instance)
                finally:
                    os.close(instance)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            remove_instance(self._folder, name)
        if self._folder >= 0:
            os.close(self._folder)
        self._names, self._folder = [], -1


def take_ready(folder: int) -> int | None:
    """A descriptor of an instance that the parent process made and nobody uses; None if there is
    none. Closing it gives it back, and so does being killed."""
    for name in listed("instances", folder):
        if not name.startswith(_prefix(os.getppid())):
            continue
        with suppress(OSError):
            instance = _open(name, folder)
            try:
                fcntl.flock(instance, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(instance)
            else:
                return instance
    return None


def _prefix(owner: int) -> str:
    return f"{PREFIX}{owner}.ready-"


def _open(name: str, folder: int) -> int:
    return os.open(f"instances/{name}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
