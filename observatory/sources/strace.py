"""strace: with which options a program is traced, and its log read back.

The options, and why (measured on Linux 6.18, strace 6.1):

- ``-f``: children and threads. ``-y``: which descriptors are sockets; costs nothing. Never
  ``-yy``, which asks the kernel about every socket at every call: 30 times as slow.
- ``--seccomp-bpf``: the program stops only at the calls that are traced.
- ``--absolute-timestamps=format:unix,precision:ns``: the clock of the captured frames.
- ``-s N``: how much of a string is told. As much as shows what was executed; of payload the
  grammar keeps nothing unless asked. strace cuts arrays by the same number unless it is told not
  to abbreviate: ``-e abbrev=`` names the calls whose long structures nobody needs, so that poll's
  and writev's arrays are whole.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from observatory.errors import BadFile, MissingTool

if TYPE_CHECKING:
    from observatory.codec.strace import StraceLog

OLDEST = (6, 1)
"""What the grammar was written against; an older one's log is read as far as it is alike."""

WORD_BYTES = 64
UNABBREVIATED_BUT = "execve,execveat,getsockopt"


@dataclass(frozen=True, slots=True)
class Options:
    """How a program is traced. ``payload``: bytes kept of each buffer. ``stack``: note the
    program's stack at each call. ``user``: whom the command is run as (root only)."""

    payload: int = 0
    stack: bool = False
    user: str | None = None


def command_line(
    log: Path,
    options: Options = Options(),
    *,
    command: Sequence[str] = (),
    attach: Iterable[int] = (),
) -> list[str]:
    """The words that trace ``command``, or the running processes ``attach``, into ``log``."""
    from observatory.codec.strace import TRACED

    words = [
        program(),
        "-f",
        "-y",
        *(["--seccomp-bpf"] if command else []),  # it cannot be put into a running program
        "--absolute-timestamps=format:unix,precision:ns",
        "--quiet=attach",
        *("-s", str(max(options.payload, WORD_BYTES))),
        *("-e", f"abbrev={UNABBREVIATED_BUT}"),
        *("-e", "trace=" + ",".join(TRACED)),
        *("-o", str(log)),
    ]
    if options.stack:
        words.append("-k")
    if options.user is not None:
        words += ["-u", options.user]
    for pid in attach:
        words += ["-p", str(pid)]
    return [*words, "--", *command] if command else words


def program() -> str:
    """Where strace is. Raises MissingTool."""
    found = shutil.which("strace")
    if found is None:
        raise MissingTool("strace is not installed: sudo apt-get install strace")
    return found


def check_version(path: str) -> str | None:
    """A sentence if this strace is older than the one the grammar was written against."""
    said = subprocess.run([path, "-V"], capture_output=True, text=True, timeout=10, check=False)
    found = re.search(r"version (\d+)\.(\d+)", said.stdout)
    if found and (int(found[1]), int(found[2])) >= OLDEST:
        return None
    version = found.group().split()[1] if found else "of unknown version"
    return (
        f"strace {version} is older than {OLDEST[0]}.{OLDEST[1]}, which is what the observatory "
        "knows: lines it does not understand are counted and shown"
    )


def read_logs(
    paths: Iterable[Path],
    *,
    payload: int = 0,
    ended_ns: int | None = None,
    threads: Mapping[int, int] | None = None,
) -> StraceLog:
    """The calls and processes in the logs of one run, also while they are being written.

    ``payload`` bytes of each buffer are kept. ``ended_ns`` is when tracing ended, if it has;
    ``threads`` tells the process of each thread that ran when strace was attached.
    """
    from observatory.codec.strace import parse

    texts = [_lines(path) for path in paths]
    lines = texts[0] if len(texts) == 1 else _in_time(texts)
    return parse(lines, payload=payload, ended_ns=ended_ns, groups=threads, merged=len(texts) > 1)


def threads_of(pids: Iterable[int]) -> dict[int, int]:
    """The threads of running processes, and whose they are."""
    found: dict[int, int] = {}
    for pid in pids:
        with suppress(OSError):
            found |= {int(task.name): pid for task in Path(f"/proc/{pid}/task").iterdir()}
    return found


def listens(log: Path) -> bool:
    """Whether what is traced into ``log`` has begun to serve: it has called listen(), or waits
    on a datagram socket that it has bound."""
    calls = [call for call in read_logs([log]).calls if not call.failed]
    bound = {(call.pid, call.fd) for call in calls if call.name == "bind"}
    return any(
        (call.name == "listen" and call.succeeded)
        or (call.name.startswith("recv") and (call.pid, call.fd) in bound)
        for call in calls
    )


def read_text(path: Path) -> list[str]:
    """The lines of a log recorded elsewhere. Raises BadFile."""
    try:
        return path.read_bytes().decode("utf-8", "backslashreplace").split("\n")
    except OSError as problem:
        raise BadFile(f"{path} cannot be read: {problem.strerror}") from None


def _lines(path: Path) -> list[str]:
    """Whole lines; what follows the last newline is still being written."""
    try:
        text = path.read_bytes().decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]


_STAMP = re.compile(r"(?:\d+ +)?(\d+\.\d+) ")


def _in_time(texts: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of several logs in order; one without a stamp stays behind the one before it."""
    stamped: list[tuple[str, int, str]] = []
    for lines in texts:
        last = ""
        for line in lines:
            found = _STAMP.match(line)
            last = found[1] if found else last
            stamped.append((last, len(stamped), line))
    for _, _, line in sorted(stamped):
        yield line
