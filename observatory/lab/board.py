"""The blackboard: JSON values that the processes of a play tell each other, never by sockets.

One append-only file, opened before the processes part: telling is one write, asking reads what
was added. It takes no descriptor number that a program would get, and nothing of it is journaled.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from observatory.errors import ScenarioFailed
from observatory.sources.journal import open_apart

_LOOK_AGAIN_S = 0.0005


class Board:
    """The blackboard in file ``path``. Every process may tell and ask; the last value counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = open_apart(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._offset = 0
        self._half = b""
        self._known: dict[str, Any] = {}

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._fd)

    def tell(self, name: str, value: Any) -> None:
        """Write ``name`` = ``value`` (what JSON can hold)."""
        os.write(self._fd, (json.dumps([name, value]) + "\n").encode())

    def known(self) -> dict[str, Any]:
        """Everything told so far."""
        while chunk := os.pread(self._fd, 1 << 16, self._offset):
            self._offset += len(chunk)
            *lines, self._half = (self._half + chunk).split(b"\n")
            for line in lines:
                name, value = json.loads(line)
                self._known[name] = value
        return self._known

    def ask(self, name: str, seconds: float) -> Any:
        """The value of ``name``, as soon as someone tells it.

        Raises ScenarioFailed after ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while name not in self.known():
            if time.monotonic() > deadline:
                raise ScenarioFailed(f"nobody told {name!r} within {seconds:g} s")
            time.sleep(_LOOK_AGAIN_S)
        return self._known[name]
