"""The sockets that a running process has open, as /proc tells them.

What is attached to was not seen to open them; their names come from the kernel's tables
(proc_pid_fd(5), proc_pid_net(5)), once, before the first call is traced.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from observatory.codec.tcp_info import state_name
from observatory.model import Call, Endpoint

TABLES = {
    "tcp": ("AF_INET", "SOCK_STREAM"),
    "tcp6": ("AF_INET6", "SOCK_STREAM"),
    "udp": ("AF_INET", "SOCK_DGRAM"),
    "udp6": ("AF_INET6", "SOCK_DGRAM"),
}


@dataclass(frozen=True, slots=True)
class Held:
    """A row of a table: what kind of socket, its names (port 0: none) and its state."""

    family: str
    type: str
    local: Endpoint
    peer: Endpoint
    state: str


def held_sockets(pids: Iterable[int]) -> tuple[Call, ...]:
    """Of each process's open Internet sockets an ``attach`` record: no system call, but what
    would have been answered to getsockname and getpeername. Ids count from 1."""
    found = []
    for pid in pids:
        rows = {inode: row for name in TABLES for inode, row in _rows(pid, name)}
        for fd, inode in _descriptors(pid):
            if inode in rows:
                found.append((pid, fd, rows[inode]))
    now = time.time_ns()
    return tuple(
        Call(
            id=number,
            name="attach",
            pid=pid,
            tid=pid,
            fd=fd,
            args={"family": row.family, "type": row.type, "state": row.state},
            entered_ns=now + number,
            returned_ns=now + number,
            result=0,
            local=row.local,
            peer=row.peer if row.peer.port else None,
        )
        for number, (pid, fd, row) in enumerate(found, 1)
    )


def commands_of(pids: Iterable[int]) -> dict[int, str]:
    """The command lines of running processes."""
    found: dict[int, str] = {}
    for pid in pids:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            found[pid] = b" ".join(words).decode("utf-8", "backslashreplace").strip()
    return found


def _descriptors(pid: int) -> Iterator[tuple[int, int]]:
    """Each descriptor that is a socket, and the socket's inode."""
    with suppress(OSError):
        for entry in sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda path: int(path.name)):
            with suppress(OSError):
                if named := re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink())):
                    yield int(entry.name), int(named[1])


def _rows(pid: int, name: str) -> Iterator[tuple[int, Held]]:
    try:
        lines = Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    family, kind = TABLES[name]
    for line in lines[1:]:
        _, local, peer, state, *rest = line.split()
        told = state_name(int(state, 16)) if kind == "SOCK_STREAM" else ""
        yield int(rest[5]), Held(family, kind, _endpoint(local), _endpoint(peer), told)


def _endpoint(text: str) -> Endpoint:
    """``0100007F:1F90``: the address in words of this machine's byte order, and the port."""
    address, _, port = text.partition(":")
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return Endpoint(socket.inet_ntop(family, packed), int(port, 16))
