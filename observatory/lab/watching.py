"""What can be seen of another process, and of a socket, without making a call that is observed."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import termios
import time
from collections.abc import Callable
from pathlib import Path

from observatory.codec.tcp_info import state_name
from observatory.errors import ScenarioFailed

_LOOK_AGAIN_S = 0.0003
_TAIL = 4096  # bytes of a journal that hold its last record


def until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Return as soon as ``condition()``. Raises ScenarioFailed after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ScenarioFailed(f"waited {seconds:g} s in vain: {what}")
        time.sleep(_LOOK_AGAIN_S)


def process_state(pid: int) -> str:
    """The kernel's letter for what a process does (S asleep, Z ended); X if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return stat.rpartition(")")[2].split()[0]


def blocked(journal: Path, pid: int, call: str) -> bool:
    """True if the journal's last record enters a call whose name begins with ``call``, and the
    process sleeps in it."""
    before = _open_call(journal)
    if not before or not before.startswith(call) or process_state(pid) not in "SD":
        return False
    return _open_call(journal) == before  # or it slept in an earlier one


def _open_call(journal: Path) -> str:
    """The name of the call that the last record of a journal enters; '' if it is no entry."""
    try:
        with journal.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return ""
    if len(lines) < 2 or lines[-1] or not lines[-2].startswith(b'["e",'):
        return ""
    return str(json.loads(lines[-2])[3])


def tcp_state(sock: socket.socket) -> str:
    """The TCP state of a socket, in RFC 9293's names (TCP_INFO; no journaled call)."""
    number = socket.socket.__base__.getsockopt(  # type: ignore[union-attr]
        sock, socket.IPPROTO_TCP, socket.TCP_INFO, 1
    )[0]
    return state_name(number)


def readable(sock: socket.socket) -> bool:
    """True if a receive or accept on ``sock`` would return at once."""
    watch = select.poll()
    watch.register(sock.fileno(), select.POLLIN)
    return bool(watch.poll(0))


def unacknowledged(sock: socket.socket) -> int:
    """Bytes (and FIN) sent on ``sock`` that its peer has not acknowledged (tcp(7), SIOCOUTQ)."""
    count = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    return count[0]
