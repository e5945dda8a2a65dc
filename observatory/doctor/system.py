"""What the checks say, and where they look."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from observatory.lab.probe import Probe, probe_private_network
from observatory.lab.probe_lab import LabProbe, probe_lab
from observatory.sources.tracefs_instances import Survey, survey


class Status(StrEnum):
    """``note`` is neither good nor bad: a setting that changes what will be seen."""

    OK = "ok"
    MISSING = "missing"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. ``needed``: without it nothing can be run. ``mend`` is a command
    (or what to ask of whoever runs the container), None where there is nothing to mend."""

    name: str
    status: Status
    detail: str
    mend: str | None = None
    needed: bool = False


def read_text(path: str) -> str | None:
    """A file's text without the blanks around it, None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def version_of_program(path: str, argument: str) -> str:
    """The first number with dots in what ``path argument`` prints."""
    try:
        said = subprocess.run(
            [path, argument], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"but it does not start: {error}"
    found = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return found.group() if found else "version unknown"


def version_of_package(name: str) -> str | None:
    """The installed version of a Python distribution, None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def try_strace(path: str) -> str:
    """What keeps ``strace`` from tracing a program; empty if nothing does."""
    try:
        said = subprocess.run(
            [path, "-f", "-o", os.devnull, "--", "/bin/true"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if said.returncode == 0 else said.stderr.strip().rpartition("\n")[2] or "it failed"


@dataclass(frozen=True, slots=True)
class System:
    """Where the checks look. Tests give other answers."""

    read: Callable[[str], str | None] = read_text
    which: Callable[[str], str | None] = field(
        default=lambda name: shutil.which(
            name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        )
    )
    program_version: Callable[[str, str], str] = version_of_program
    package_version: Callable[[str], str | None] = version_of_package
    probe: Callable[[], Probe] = probe_private_network
    probe_lab: Callable[[], LabProbe] = probe_lab
    tracing: Callable[[str], str] = try_strace
    survey: Callable[[Iterable[str]], Survey] = survey
    kernel: str = field(default_factory=lambda: f"{platform.system()} {platform.release()}")
    superuser: bool = field(default_factory=lambda: os.geteuid() == 0)
