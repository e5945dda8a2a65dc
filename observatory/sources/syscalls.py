"""The C library's socket calls, asked directly, so that nothing is retried out of sight.

CPython's own methods repeat a call that a signal interrupted (PEP 475), and poll before one that
has a timeout. Here each function is one call; it returns -1 on failure and leaves errno to
``ctypes.get_errno()``. Nothing is raised.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import Any

from observatory.model import Endpoint, UnixAddress

_libc = ctypes.CDLL(None, use_errno=True)
_int, _size, _pointer = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_libc, name)
    function.restype = result
    function.argtypes = arguments
    return function


class PollDescriptor(ctypes.Structure):
    """``struct pollfd``."""

    _fields_ = (("fd", _int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class TimeValue(ctypes.Structure):
    """``struct timeval``."""

    _fields_ = (("seconds", ctypes.c_long), ("microseconds", ctypes.c_long))


new_socket = _function("socket", _int, _int, _int, _int)
new_pair = _function("socketpair", _int, _int, _int, _int, _pointer)
connect = _function("connect", _int, _int, _pointer, ctypes.c_uint)
bind = _function("bind", _int, _int, _pointer, ctypes.c_uint)
accept4 = _function("accept4", _int, _int, _pointer, _pointer, _int)
send = _function("send", ctypes.c_ssize_t, _int, _pointer, _size, _int)
sendto = _function("sendto", ctypes.c_ssize_t, _int, _pointer, _size, _int, _pointer, ctypes.c_uint)
recv = _function("recv", ctypes.c_ssize_t, _int, _pointer, _size, _int)
recvfrom = _function("recvfrom", ctypes.c_ssize_t, _int, _pointer, _size, _int, _pointer, _pointer)
read = _function("read", ctypes.c_ssize_t, _int, _pointer, _size)
write = _function("write", ctypes.c_ssize_t, _int, _pointer, _size)
poll = _function("poll", _int, _pointer, ctypes.c_ulong, _int)
select = _function("select", _int, _int, _pointer, _pointer, _pointer, _pointer)
close = _function("close", _int, _int)
duplicate = _function("fcntl", _int, _int, _int, _int)
dup3 = _function("dup3", _int, _int, _int, _int)

ADDRESS_SIZE = 128  # sizeof(struct sockaddr_storage)
_FAMILY = struct.Struct("=H")
_V6_TAIL = struct.Struct("=I16sI")


def _resolved(host: str, family: int) -> bytes:
    """The binary IP address of ``host``: '' is the wildcard, a name is looked up."""
    if host == "":
        host = "0.0.0.0" if family == socket.AF_INET else "::"
    elif host == "<broadcast>":
        host = "255.255.255.255"
    try:
        return socket.inet_pton(family, host)
    except OSError:
        found = socket.getaddrinfo(host, 0, socket.AddressFamily(family))[0][4][0]
        return socket.inet_pton(family, str(found).partition("%")[0])


def _checked_port(port: int) -> int:
    if not 0 <= port <= 0xFFFF:
        raise OverflowError("port must be 0-65535.")
    return port


def pack_address(family: int, address: Any) -> bytes | None:
    """The ``struct sockaddr`` of a Python address, None for a family only CPython packs.

    Raises what ``socket.connect`` raises for the same mistake: TypeError, OverflowError, gaierror.
    """
    if family == socket.AF_INET:
        host, port = address
        packed_port = struct.pack("!H", _checked_port(port))
        return _FAMILY.pack(family) + packed_port + _resolved(host, family) + bytes(8)
    if family == socket.AF_INET6:
        host, port, flow, scope = (*address, 0, 0)[:4]
        tail = _V6_TAIL.pack(socket.htonl(flow), _resolved(host, family), scope)
        return _FAMILY.pack(family) + struct.pack("!H", _checked_port(port)) + tail
    if family == socket.AF_UNIX:
        path = os.fsencode(address) if isinstance(address, str) else bytes(address)
        if len(path) > 107 + path.startswith(b"\0"):
            raise OSError("AF_UNIX path too long")
        named = bool(path) and not path.startswith(b"\0")  # neither abstract nor to be chosen
        return _FAMILY.pack(family) + path + (b"\0" if named else b"")
    return None


def unpack_address(raw: bytes) -> Any:
    """The Python address in a ``struct sockaddr`` of ``len(raw)`` bytes; None if there is none."""
    if len(raw) < 2:
        return None
    (family,) = _FAMILY.unpack_from(raw)
    if family == socket.AF_INET:
        return socket.inet_ntop(family, raw[4:8]), int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET6:
        flow, host, scope = _V6_TAIL.unpack_from(raw, 4)
        port = int.from_bytes(raw[2:4], "big")
        return socket.inet_ntop(family, host), port, socket.ntohl(flow), scope
    if family == socket.AF_UNIX:
        path = raw[2:]
        return path if path.startswith(b"\0") else os.fsdecode(path.partition(b"\0")[0])
    return None


def address_text(address: Any) -> str | None:
    """A Python address as the model prints it: ``127.0.0.1:9``, ``[::1]:9``, ``unix:/path``."""
    if isinstance(address, tuple) and len(address) >= 2:
        return str(Endpoint(str(address[0]), int(address[1])))
    if isinstance(address, bytes):
        return str(UnixAddress(address.decode(errors="replace").replace("\0", "@", 1)))
    if isinstance(address, str):
        return str(UnixAddress(address.replace("\0", "@", 1)))
    return None
