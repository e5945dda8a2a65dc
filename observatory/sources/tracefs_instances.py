"""Instances of tracefs: what killed runs left behind, and what this kernel can tell.

All paths are relative to a descriptor of the folder (:mod:`observatory.sources.tracefs_mount`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from observatory.codec.ring_pages import BadTracepoint
from observatory.codec.tracepoint_formats import Format, parse_format
from observatory.sources.tracefs_mount import open_folder

PREFIX: Final = "observatory-"
SECOND_NS: Final = 1_000_000_000
REMOVAL_TRIES: Final = 20
REMOVAL_PAUSE_S: Final = 0.05
FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC
"""PROC_PID_INIT_INO of include/linux/proc_ns.h."""
FOREIGN_PIDS = (
    "this is a container: the kernel tells the machine's process numbers, which are others here"
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What tracefs has here. ``refusal`` says why it is not to be had, empty if it is;
    ``missing`` are the events and fields (``tcp:tcp_send_reset.reason``) that this kernel has not;
    ``leftovers`` the instances that killed runs have left behind."""

    refusal: str = ""
    missing: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


def survey(wanted: Iterable[str]) -> Survey:
    """What of ``wanted`` (``SYSTEM:NAME`` or ``SYSTEM:NAME.FIELD``) is to be had here."""
    try:
        refuse_foreign_pids()
        folder = open_folder()
    except OSError as error:
        return Survey(refusal=error.strerror or str(error))
    try:
        missing = tuple(each for each in wanted if lacks(read_format(each, folder), each))
        return Survey(missing=missing, leftovers=tuple(leftovers(folder)))
    finally:
        os.close(folder)


def mend() -> list[str]:
    """Remove what killed runs have left behind; which instances. Raises OSError."""
    folder = open_folder()
    try:
        return remove_leftovers(folder)
    finally:
        os.close(folder)


def refuse_foreign_pids() -> None:
    """Raises OSError where process numbers are not those that the kernel's events carry."""
    if Path("/proc/self/ns/pid").stat().st_ino != FIRST_PID_NAMESPACE:
        raise OSError(FOREIGN_PIDS)


def read_format(wanted: str, folder: int) -> Format | None:
    """The format of an event, None where the kernel has no such event or none that we read."""
    system, _, name = wanted.partition(".")[0].partition(":")
    try:
        return parse_format(system, read(f"events/{system}/{name}/format", folder))
    except (FileNotFoundError, BadTracepoint):
        return None


def lacks(layout: Format | None, wanted: str) -> bool:
    """Whether there is no such event or, in a name with a dot, no such field."""
    field = wanted.partition(".")[2]
    return layout is None or bool(field and field not in layout.names)


def leftovers(folder: int) -> list[str]:
    """The instances of runs that are no more, so that nobody will remove them."""
    found = []
    for name in listed("instances", folder):
        owner = re.fullmatch(re.escape(PREFIX) + r"(\d+)(?:\.[\w-]+)?", name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            found.append(name)
    return found


def remove_leftovers(folder: int) -> list[str]:
    """Remove them; which they were. Raises OSError if ``folder`` may not be read."""
    return [name for name in leftovers(folder) if remove_instance(folder, name, tries=1)]


def remove_instance(folder: int, name: str, tries: int = REMOVAL_TRIES) -> bool:
    """Whether it is gone by this. While a file of it is open it cannot be removed: not while a
    process that has one is still ending."""
    for turn in range(tries):
        time.sleep(REMOVAL_PAUSE_S if turn else 0)
        try:
            os.rmdir(f"instances/{name}", dir_fd=folder)
        except FileNotFoundError:
            return False  # another run was faster
        except OSError:
            continue
        return True
    return False


def set_clock(instance: int) -> int:
    """Give the instance a clock that is known; what has to be added for CLOCK_REALTIME, in ns.

    TAI is CLOCK_REALTIME without leap seconds, steps of the clock included. Kernels that do not
    offer it have the monotonic clock.
    """
    offered = read("trace_clock", instance)  # the one in force stands in brackets
    clock = "tai" if re.search(r"\btai\b", offered) else "mono"
    if f"[{clock}]" not in offered:
        write("trace_clock", clock, instance)
    if clock == "mono":
        return -_apart(time.CLOCK_MONOTONIC)
    return -round(_apart(time.CLOCK_TAI) / SECOND_NS) * SECOND_NS


def _apart(clock: int) -> int:
    """How far ``clock`` is ahead of CLOCK_REALTIME, in ns, of several tries the quickest."""
    best = min(_sample(clock) for _ in range(5))
    return best[1]


def _sample(clock: int) -> tuple[int, int]:
    """How long it took, and the difference."""
    before = time.clock_gettime_ns(time.CLOCK_REALTIME)
    other = time.clock_gettime_ns(clock)
    after = time.clock_gettime_ns(time.CLOCK_REALTIME)
    return after - before, other - (before + after) // 2


def listed(path: str, folder: int) -> list[str]:
    inner = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        return sorted(os.listdir(inner))  # noqa: PTH208 - a Path has no descriptor
    finally:
        os.close(inner)


def read(path: str, folder: int) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY, dir_fd=folder), encoding="utf-8") as file:
        return file.read()


def write(path: str, text: str, folder: int) -> None:
    file = os.open(path, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
