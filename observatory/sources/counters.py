"""The kernel's counters of a network, before a run and after it.

They are the network namespace's own: in a private one nobody else is counted, and what they rose
by is exactly what the run did. /proc/PID/net is the namespace of that process, and stays so for
an open file when the process is gone; no privilege is needed to read it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from observatory.codec.counters import TABLES, changes, parse
from observatory.model import Counter


class CounterTable:
    """The counters of the network namespace of process ``pid``. A context manager.

    They are read when it is made, and again by :meth:`changes`. ``host`` is the lab's host whose
    network it is; ``exact`` says that the network is private to the run. A table that is not
    there (no IPv6, no such process) has no counters.
    """

    def __init__(self, pid: int | str = "self", *, host: str = "", exact: bool = True) -> None:
        self._host = host
        self._exact = exact
        with ExitStack() as stack:
            self._files = {
                name: stack.enter_context(path.open(encoding="ascii"))
                for name in TABLES
                if (path := Path(f"/proc/{pid}/net/{name}")).exists()
            }
            self._before = self._read()
            self._stack = stack.pop_all()

    def changes(self) -> tuple[Counter, ...]:
        """Those that have changed since this was made."""
        return changes(self._before, self._read(), host=self._host, exact=self._exact)

    def _read(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, file in self._files.items():
            file.seek(0)
            found |= parse(name, file.read())
        return found

    def __enter__(self) -> CounterTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
