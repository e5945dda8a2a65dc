"""Capture files on disk: read, written whole or not at all, or grown while a run goes on.

Every failure is a BadFile or WriteFailed that names the file and what to do. Through sudo, files
belong to the user who typed it.
"""

from __future__ import annotations

import errno
import gc
import mmap
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from observatory.codec.pcapng import enhanced_packet
from observatory.codec.runfile import call_rows, head, kernel_row, read_capture, tail
from observatory.errors import BadFile, WriteFailed
from observatory.model.calls import Call
from observatory.model.segments import Frame
from observatory.model.trace import Interface, KernelEvent, Trace

Owner = tuple[int, int]  # uid, gid

UNFINISHED = (
    "the run was broken off before its file was complete: calls, packets, kernel events and the "
    "ends of processes may be missing; run it again"
)


def load(path: Path | str) -> Trace:
    """The trace in a capture file (see ``codec.runfile.read_capture``). Raises BadFile."""
    path = Path(path)
    try:
        with path.open("rb") as file, _uncollected():
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return read_capture(data)
            return read_capture(file.read())
    except IsADirectoryError:
        raise BadFile(f"{path} is a directory: name a capture file in it") from None
    except FileNotFoundError:
        raise BadFile(f"{path} does not exist: see what there is with ls {path.parent}") from None
    except PermissionError:
        raise BadFile(f"{path} may not be read by this user: change its mode or owner") from None
    except OSError as problem:
        raise BadFile(f"{path} cannot be read: {problem.strerror}") from None
    except BadFile as problem:
        raise BadFile(f"{path} cannot be read: {problem}") from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: a trace is built and nothing of it is garbage, but looking
    for some takes as long again as reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def sudo_owner(environment: Mapping[str, str]) -> Owner | None:
    """The user who typed ``sudo``, to whom files are to belong; None without sudo."""
    if os.geteuid() != 0:
        return None
    try:
        return int(environment["SUDO_UID"]), int(environment["SUDO_GID"])
    except (KeyError, ValueError):
        return None


def make_folder(path: Path, owner: Owner | None = None) -> None:
    """The folder and those above it, where missing. Raises WriteFailed."""
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    except OSError as problem:  # a folder above it that may not be searched
        raise _failed(path, problem) from None
    for folder in reversed(missing):
        try:
            folder.mkdir(exist_ok=True)
            _give(folder, owner)
        except OSError as problem:
            raise _failed(folder, problem) from None
    if not path.is_dir():
        raise WriteFailed(f"{path} is not a folder: name another one, or move it away")


def unused_path(path: Path, owner: Owner | None = None) -> Path:
    """``path``, or NAME-2.EXT, NAME-3.EXT … where it is taken; made as an empty file, so that
    no one else is given the same one. Raises WriteFailed."""
    for number in count(1):
        name = path.name if number == 1 else f"{path.stem}-{number}{path.suffix}"
        candidate = path.with_name(name)
        try:
            os.close(os.open(candidate, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        except OSError as problem:
            raise _failed(candidate, problem) from None
        _give(candidate, owner)
        return candidate
    raise AssertionError("numbers do not end")


def save(path: Path, chunks: Iterable[bytes], owner: Owner | None = None) -> None:
    """Writes ``path`` whole or leaves it as it was: a file beside it takes its place when done.

    A pipe or device is written to as it is. Raises WriteFailed.
    """
    if path.exists() and not path.is_file():
        _save_through(path, chunks)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            file.writelines(chunks)
        _give(beside, owner)
        beside.replace(path)
    except OSError as problem:
        raise _failed(path, problem) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _save_through(path: Path, chunks: Iterable[bytes]) -> None:
    try:
        with path.open("wb") as file:
            file.writelines(chunks)
    except OSError as problem:
        raise _failed(path, problem) from None


class RunWriter:
    """A run file that grows with the run, so that what was observed outlives a kill.

    Each batch goes to the kernel at once and ends at a block's end: whenever the observatory is
    killed, the file can be read, and says that it is unfinished. ``finish`` puts the complete,
    annotated file in its place. When the disk is full, growing stops silently and the run goes
    on; ``finish`` then says what was kept. A context manager: leaving it closes the file.
    """

    def __init__(self, path: Path, trace: Trace, owner: Owner | None = None) -> None:
        """``path`` is replaced (see ``unused_path``); ``trace`` is what is known before the
        first packet: the run header, the interfaces, processes. Raises WriteFailed."""
        self.path = path
        self.owner = owner
        self.full: OSError | None = None
        self._length = 0
        self._roles = {process.pid: process.role for process in trace.processes}
        start = Trace(trace.run, trace.interfaces, trace.processes, defects=(UNFINISHED,))
        try:
            flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o666)
        except OSError as problem:
            raise _failed(path, problem) from None
        _give(path, owner)
        self._append(head(start))

    def frames(self, frames: Iterable[Frame]) -> None:
        """Appends captured frames."""
        self._append(enhanced_packet(frame) for frame in frames)

    def calls(self, calls: Iterable[Call]) -> None:
        """Appends calls; readers put them in order by their ids."""
        rows = (call_rows(call, self._roles.get(call.pid, ""), resumed=False) for call in calls)
        self._append(block for each in rows for _, block in each)

    def kernel(self, events: Iterable[KernelEvent]) -> None:
        """Appends kernel events; readers put them in order by their times."""
        self._append(map(kernel_row, events))

    def statistics(self, interfaces: Iterable[Interface], time_ns: int) -> None:
        """Appends the capture's counters, once it has ended."""
        self._append([tail(tuple(interfaces), time_ns)])

    def finish(self, chunks: Iterable[bytes]) -> None:
        """Replaces the file by ``chunks``, the complete run file, at once.

        Raises WriteFailed where there is no room for it; what was appended so far then stays.
        """
        self.close()
        try:
            save(self.path, chunks, self.owner)
        except WriteFailed as problem:
            kept = (
                f"{self.path} holds the packets and calls that were written before, "
                "without annotations: observatory analyze reads it"
                if self._length
                else f"nothing of the run is in {self.path}"
            )
            raise WriteFailed(f"{problem}; {kept}") from None

    def close(self) -> None:
        """Closes the file; what was appended stays. An empty file is removed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            if not self._length:
                self.path.unlink(missing_ok=True)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, blocks: Iterable[bytes]) -> None:
        if self.full is not None:
            return
        data = memoryview(b"".join(blocks))
        try:
            while data:
                data = data[os.write(self._file, data) :]
            self._length = os.lseek(self._file, 0, os.SEEK_CUR)
        except OSError as problem:
            # Half a block would make other readers refuse the file.
            os.ftruncate(self._file, self._length)
            self.full = problem


def _give(path: Path, owner: Owner | None) -> None:
    """A file that cannot be given away (a foreign file system) still is a good file."""
    if owner is not None:
        with suppress(OSError):
            os.chown(path, *owner)


REMEDIES = {
    "ENOSPC": "free some space, or name another place with -o",
    "EDQUOT": "free some of your quota, or name another place with -o",
    "EACCES": "name a place you may write to with -o",
    "EPERM": "name a place you may write to with -o",
    "EROFS": "name a place you may write to with -o",
    "ENOENT": "make the folder first, or name another place with -o",
    "ENAMETOOLONG": "name a shorter one with -o",
}


def _failed(path: Path, problem: OSError) -> WriteFailed:
    code = errno.errorcode.get(problem.errno or 0, "")
    remedy = REMEDIES.get(code, "name another place with -o")
    return WriteFailed(f"{path} could not be written: {problem.strerror}; {remedy}")
