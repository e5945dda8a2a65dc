"""What the kernel answered the journal about a socket, beside a call (``Call.asked``)."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.analysis.lives import SocketLife
from observatory.model import Call
from observatory.model.calls import Argument

Answer = Mapping[str, Argument]

_NOTHING: Answer = {}


def answer(call: Call, moment: str = "before", fd: int | None = None) -> Answer:
    """What was answered just ``before`` or just ``after`` a call, empty if nothing was asked;
    with ``fd`` about one of the several sockets that the call ends (exit, execve)."""
    found = call.asked.get(moment)
    if fd is not None and isinstance(found, Mapping):
        sockets = found.get("sockets")
        found = sockets.get(str(fd)) if isinstance(sockets, Mapping) else None
    return found if isinstance(found, Mapping) else _NOTHING


def number(found: Answer, name: str) -> int | None:
    """A number of an answer; None where it was not told."""
    value = found.get(name)
    return value if isinstance(value, int) else None


def asked_ns(found: Answer, entered_ns: int) -> int:
    """From when on it may have been asked, of an answer given before a call."""
    at_ns = number(found, "at_ns")
    return entered_ns if at_ns is None else at_ns


def at_its_end(life: SocketLife) -> Answer:
    """What was answered about a socket just before the call that gave up its last descriptor."""
    for drop in reversed(life.drops):
        if drop.call is not None and drop.call.id == life.closed_by:
            return answer(drop.call, fd=None if drop.call.name == "close" else drop.fd)
    return _NOTHING
