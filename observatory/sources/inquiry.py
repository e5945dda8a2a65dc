"""What a socket thinks, asked of the kernel just before a call or just after it.

Nothing that is asked changes anything: TCP_INFO, SIOCINQ, SIOCOUTQ and SO_MEMINFO only read
(tcp(7), socket(7)). SO_ERROR is never asked: reading a pending error takes it from the program.
What asking costs is in docs/run-file.md; therefore an answer is a list of numbers here, and gets
its names where the journal is read (:func:`observatory.codec.tcp_info.named`).
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from observatory.codec import tcp_info

Answer = list[int] | Mapping[str, object] | None
"""A TCP socket's numbers; of another socket a mapping by name; None where there is no answer."""

_C_SOCKET: Any = socket.socket.__base__
_getsockopt: Callable[..., bytes] = _C_SOCKET.getsockopt
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=12xI4xI12x")  # of 9 numbers SK_MEMINFO_SNDBUF and _WMEM_QUEUED
_SLICE = array.array("i", [0])


def about(sock: socket.socket) -> Answer:
    """What is known of ``sock``: a TCP socket's state, its timers and what waits in its buffers,
    or of a listener the accept queue."""
    at_ns = time.time_ns()
    try:
        raw = _getsockopt(sock, socket.IPPROTO_TCP, socket.TCP_INFO, tcp_info.SIZE)
        state, rto, unacked, sacked, rtt, cwnd, again, unsent = tcp_info.unpack(raw)
    except OSError:
        return _unread(sock)
    except struct.error:
        return None
    if state == tcp_info.LISTEN:  # where a listener has no segments, it tells its queue
        return [state, at_ns, unacked, sacked]
    fd = sock.fileno()
    if state == tcp_info.CLOSED:  # the rest is what its last connection left
        return [state, at_ns, _count(fd, termios.FIONREAD)]
    waiting = _count(fd, termios.TIOCOUTQ) if unacked or unsent else 0
    unread = _count(fd, termios.FIONREAD)
    return [state, at_ns, rto, rtt, cwnd, again, unsent, unread, waiting]


def about_sending(sock: socket.socket) -> Answer:
    """:func:`about`, and how full the send buffer is."""
    answer = about(sock)
    if isinstance(answer, list) and answer[0] not in (tcp_info.LISTEN, tcp_info.CLOSED):
        with suppress(OSError, struct.error):
            limit, used = _MEMINFO.unpack(
                _getsockopt(sock, socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            )
            answer += [used, limit]
    return answer


def about_open(highest: int) -> Answer:
    """:func:`about` every open Internet socket below ``highest``, by descriptor: before a process
    ends, for then its kernel closes them all."""
    try:
        fds = sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    except OSError:  # looking takes a descriptor, and the process may have none left
        fds = [*range(highest)]
    answers = {str(fd): _about_descriptor(fd) for fd in fds if fd < highest}
    found = {fd: answer for fd, answer in answers.items() if answer is not None}
    return {"sockets": found} if found else None


def _about_descriptor(fd: int) -> Answer:
    try:
        sock = socket.socket(fileno=fd)
    except OSError:  # no socket
        return None
    try:
        return about(sock) if sock.family in (socket.AF_INET, socket.AF_INET6) else None
    finally:
        sock.detach()


def _unread(sock: socket.socket) -> Answer:
    """Of a socket that is not TCP: bytes that nobody has read, or of datagrams the next one's
    size. SIOCINQ says 0 both for no datagram and for an empty one, which is no answer."""
    stream = _C_SOCKET.type.__get__(sock) == socket.SOCK_STREAM
    try:
        count = _count(sock.fileno(), termios.FIONREAD)
    except (OSError, ValueError):  # of no socket, or of one that is closed
        return None
    if stream:
        return {"unread": count}
    return {"next_datagram": count} if count else None


def _count(fd: int, request: int) -> int:
    """A number that an ioctl gives, in an array of its own: threads ask at the same time."""
    room = _SLICE[:]
    fcntl.ioctl(fd, request, room)
    return room[0]
