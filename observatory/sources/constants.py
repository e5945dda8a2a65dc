"""Symbolic names of the numbers that socket calls take, as the kernel's headers spell them."""

from __future__ import annotations

import select
import socket
import struct
from functools import cache

FIONBIO = 0x5421
FIOCLEX = 0x5451
FIONCLEX = 0x5450
TCP_REPAIR = 19
TCP_REPAIR_QUEUE = 20
TCP_QUEUE_SEQ = 21

# Options that Python's socket module does not name: (level, option) to name.
_UNNAMED_OPTIONS = {
    (socket.IPPROTO_TCP, TCP_REPAIR): "TCP_REPAIR",
    (socket.IPPROTO_TCP, TCP_REPAIR_QUEUE): "TCP_REPAIR_QUEUE",
    (socket.IPPROTO_TCP, TCP_QUEUE_SEQ): "TCP_QUEUE_SEQ",
    (socket.IPPROTO_TCP, 22): "TCP_REPAIR_OPTIONS",
    (socket.IPPROTO_TCP, 24): "TCP_TIMESTAMP",
    (socket.IPPROTO_TCP, 30): "TCP_FASTOPEN_CONNECT",
    (socket.IPPROTO_TCP, 33): "TCP_FASTOPEN_NO_COOKIE",
    (socket.IPPROTO_IP, 11): "IP_RECVERR",
    (socket.IPPROTO_IPV6, 25): "IPV6_RECVERR",
    (socket.SOL_SOCKET, 20): "SO_RCVTIMEO",
    (socket.SOL_SOCKET, 21): "SO_SNDTIMEO",
    (socket.SOL_SOCKET, 29): "SO_TIMESTAMP",
    (socket.SOL_SOCKET, 35): "SO_TIMESTAMPNS",
    (socket.SOL_SOCKET, 36): "SO_MARK",
}
_LEVELS = {
    socket.SOL_SOCKET: ("SOL_SOCKET", ("SO_",)),
    socket.IPPROTO_TCP: ("IPPROTO_TCP", ("TCP_",)),
    socket.IPPROTO_IP: ("IPPROTO_IP", ("IP_", "MCAST_")),
    socket.IPPROTO_IPV6: ("IPPROTO_IPV6", ("IPV6_",)),
    socket.IPPROTO_UDP: ("IPPROTO_UDP", ("UDP_",)),
}
# Constants that share the prefix SO_ but belong to other levels.
_OTHER_LEVELS = ("SO_J1939", "SO_VM_")
_HOW = {socket.SHUT_RD: "SHUT_RD", socket.SHUT_WR: "SHUT_WR", socket.SHUT_RDWR: "SHUT_RDWR"}
_LAYOUTS = {
    (socket.SOL_SOCKET, socket.SO_LINGER): struct.Struct("ii"),
    (socket.SOL_SOCKET, 20): struct.Struct("ll"),
    (socket.SOL_SOCKET, 21): struct.Struct("ll"),
}
_INT = struct.Struct("i")


@cache
def _numbers(prefix: str) -> dict[int, str]:
    """Number to name of the socket module's constants with ``prefix``, its first name winning."""
    found: dict[int, str] = {}
    for name in sorted(dir(socket)):
        value = getattr(socket, name)
        if name.startswith(_OTHER_LEVELS):
            continue
        if name.startswith(prefix) and isinstance(value, int):
            found.setdefault(int(value), name)
    return found


def _join(value: int, names: dict[int, str]) -> str:
    """``A|B`` of the single-bit names in ``value``, what is left in hexadecimal, ``0`` if none."""
    parts = []
    for bit, name in sorted(names.items()):
        if bit > 0 and bit & (bit - 1) == 0 and value & bit:
            parts.append(name)
            value &= ~bit
    if value:
        parts.append(hex(value))
    return "|".join(parts) or "0"


@cache
def family_name(family: int) -> str:
    """``AF_INET`` for 2."""
    return _numbers("AF_").get(int(family), str(int(family)))


@cache
def type_name(kind: int) -> str:
    """``SOCK_STREAM|SOCK_CLOEXEC`` for 1 with its creation flags."""
    flags = int(kind) & (socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    base = int(kind) & ~flags
    types = {n: name for n, name in _numbers("SOCK_").items() if n < 16}
    parts = [types.get(base, str(base))]
    parts += ["SOCK_NONBLOCK"] if flags & socket.SOCK_NONBLOCK else []
    parts += ["SOCK_CLOEXEC"] if flags & socket.SOCK_CLOEXEC else []
    return "|".join(parts)


@cache
def flags_name(flags: int) -> str:
    """``MSG_OOB|MSG_DONTWAIT`` for the flags of a send or receive call, ``0`` for none."""
    return _join(int(flags), _numbers("MSG_"))


def how_name(how: int) -> str:
    """``SHUT_WR`` for 1."""
    return _HOW.get(int(how), str(int(how)))


@cache
def option_names(level: int, option: int) -> tuple[str, str]:
    """Names of a socket option's level and of the option itself."""
    level_name, prefixes = _LEVELS.get(int(level), (str(int(level)), ()))
    for prefix in prefixes:
        if int(option) in _numbers(prefix) and (level, option) not in _UNNAMED_OPTIONS:
            return level_name, _numbers(prefix)[int(option)]
    return level_name, _UNNAMED_OPTIONS.get((int(level), int(option)), str(int(option)))


def option_value(level: int, option: int, value: object) -> object:
    """A socket option's value for the journal: an int, a tuple of a known struct, or hex."""
    if not isinstance(value, bytes | bytearray | memoryview):
        return value
    data = bytes(value)
    layout = _LAYOUTS.get((int(level), int(option)), _INT)
    if len(data) != layout.size:
        return "0x" + data.hex()
    fields = layout.unpack(data)
    return fields[0] if len(fields) == 1 else fields


@cache
def poll_names(events: int) -> str:
    """``POLLIN|POLLHUP`` for a poll mask."""
    names = {
        getattr(select, name): name
        for name in ("POLLIN", "POLLPRI", "POLLOUT", "POLLERR", "POLLHUP", "POLLNVAL", "POLLRDHUP")
    }
    return _join(int(events), names)
