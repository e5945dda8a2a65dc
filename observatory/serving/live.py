"""A behaviour run at a click: a process of its own, whose growing file is read while it runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

LOOK_EVERY_S = 0.15
MOST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be seen now: a picture of the ladder so far, ``file`` once it is complete,
    ``problem`` if it did not run."""

    svg: str = ""
    file: str = ""
    problem: str = ""


class Runs:
    """The behaviours that run at the moment."""

    def __init__(self, folder: Path, draw: Callable[[Path], str]) -> None:
        self._folder = folder
        self._draw = draw
        self._numbers = count(1)
        self._processes: dict[int, tuple[asyncio.subprocess.Process, Path]] = {}

    @property
    def full(self) -> bool:
        return len(self._processes) >= MOST_AT_ONCE

    async def start(self, name: str) -> int:
        """Run a behaviour of the catalogue into the folder; the number to follow it by."""
        path = self._unused(name)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "observatory", "run", name, "--quiet", "-o", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        number = next(self._numbers)
        self._processes[number] = process, path
        return number

    def _unused(self, name: str) -> Path:
        taken = {path for _, path in self._processes.values()}
        names = (f"{name}.pcapng" if n == 1 else f"{name}-{n}.pcapng" for n in count(1))
        paths = (self._folder / each for each in names)
        return next(path for path in paths if not path.exists() and path not in taken)

    async def follow(self, number: int) -> AsyncIterator[Look]:
        """What is to be seen of a run, each time that there is more, until it has ended."""
        if number not in self._processes:
            yield Look(problem="that run has ended")
            return
        process, path = self._processes[number]
        ending = asyncio.ensure_future(process.communicate())
        size = -1
        try:
            while not ending.done():
                await asyncio.wait([ending], timeout=LOOK_EVERY_S)
                if path.exists() and (now := path.stat().st_size) != size:
                    size = now
                    yield Look(svg=await asyncio.to_thread(self._draw, path))
            _, told = ending.result()
            if process.returncode:
                yield Look(problem=told.decode("utf-8", "replace").strip() or "it did not run")
            else:
                svg = await asyncio.to_thread(self._draw, path)
                yield Look(svg=svg, file=path.name)
        finally:
            self._processes.pop(number, None)
            if not ending.done():  # nobody looks any more; what it observed is in its file
                process.terminate()
                await ending

    async def end_all(self) -> None:
        """End what still runs."""
        for process, _ in list(self._processes.values()):
            if process.returncode is None:
                process.terminate()
                await process.wait()
