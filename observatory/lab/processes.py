"""The processes below a process, and how they are ended."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

_LOOK_AGAIN_S = 0.01


def descendants(ancestors: Iterable[int]) -> list[int]:
    """The processes below ``ancestors`` that have not ended, parents first."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError, ValueError):
            state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            # One that has ended still has its children's ancestor's place, but is not told.
            children[int(parent)].append(int(entry.name) if state not in "ZX" else -1)
    found = []
    waiting = list(ancestors)
    while waiting:
        below = [pid for pid in children[waiting.pop()] if pid > 0]
        found += below
        waiting += below
    return found


def send(pids: Iterable[int], number: int) -> None:
    """A signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end(members: Callable[[], Collection[int]], patience_s: float) -> None:
    """SIGTERM to all ``members()``, SIGKILL to those that are there ``patience_s`` later."""
    send(members(), signal.SIGTERM)
    send(members(), signal.SIGCONT)  # one that was stopped ends only when it goes on
    deadline = time.monotonic() + patience_s
    while members() and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_S)
    kill(members)


def kill(members: Callable[[], Collection[int]], patience_s: float = 2.0) -> None:
    """SIGKILL to all ``members()``, until none is left."""
    deadline = time.monotonic() + patience_s
    while (left := members()) and time.monotonic() < deadline:
        send(left, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_S)
