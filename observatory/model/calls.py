"""API calls and the processes that made them, as recorded by a source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.model.addresses import Address

Argument = None | bool | int | float | str | tuple["Argument", ...] | Mapping[str, "Argument"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where in the program a call was made; ``line`` 0 where only the function is known."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Call:
    """One API call as the kernel was asked it.

    ``name`` is the system call's name (``connect``, ``sendto``, ``fork``, ``exit`` …; poll and
    select keep their own). ``args`` is by name, in the order the call is printed; the names
    used for each call are listed in docs/run-file.md. ``returned_ns`` and ``result`` are None
    for a call that never returned. On failure ``result`` is -1 and ``errno`` the symbolic name.
    ``local`` and ``peer`` are what the kernel answered to getsockname and getpeername right
    after the call, None where it had no answer or was not asked. ``asked`` is what else the
    journal asked the kernel about the socket, just before the call or just after it
    (``{"before": {"unread": 10, "state": "ESTABLISHED", …}, "after": {…}}``; the names are in
    docs/run-file.md), empty where it did not ask.
    """

    id: int
    name: str
    pid: int
    tid: int
    fd: int | None
    args: Mapping[str, Argument]
    entered_ns: int
    returned_ns: int | None = None
    result: int | None = None
    errno: str | None = None
    local: Address | None = None
    peer: Address | None = None
    site: Site | None = field(default=None, compare=False)
    asked: Mapping[str, Argument] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.returned_ns is not None and self.errno is None

    @property
    def failed(self) -> bool:
        return self.errno is not None


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the run. ``role`` is its name in the report (``client``, ``server``,
    ``server.1`` for a first forked child); ``ended_ns`` with ``status`` (exit status) or
    ``signal`` (``SIGKILL``) where its end was observed. ``host`` is the lab's host that it ran
    on, empty where there is one host only.
    """

    pid: int
    parent: int | None
    command: str
    role: str
    ended_ns: int | None = None
    status: int | None = None
    signal: str | None = None
    host: str = ""
