"""Arguments of one system call, read as what they mean."""

from __future__ import annotations

from observatory.codec.errnos import ERRNOS
from observatory.codec.strace.grammar import Unreadable, read_values
from observatory.codec.strace.raw import Raw
from observatory.codec.strace.values import (
    Array,
    Change,
    Descriptor,
    Named,
    Struct,
    Text,
    Value,
)
from observatory.model.calls import Argument

PROTOCOLS = {
    "IPPROTO_IP": 0,
    "IPPROTO_ICMP": 1,
    "IPPROTO_TCP": 6,
    "IPPROTO_UDP": 17,
    "IPPROTO_IPV6": 41,
    "IPPROTO_ICMPV6": 58,
    "IPPROTO_SCTP": 132,
    "IPPROTO_UDPLITE": 136,
    "IPPROTO_RAW": 255,
    "IPPROTO_MPTCP": 262,
}
# What getsockopt prints as a symbol and the other sources tell as a number (socket.h).
_SYMBOLS = {
    **PROTOCOLS,
    **{name: number for name, (number, _) in ERRNOS.items()},
    "SOCK_STREAM": 1,
    "SOCK_DGRAM": 2,
    "SOCK_RAW": 3,
    "SOCK_SEQPACKET": 5,
    "AF_UNIX": 1,
    "AF_INET": 2,
    "AF_INET6": 10,
    "AF_NETLINK": 16,
}
_NANOSECONDS_IN_MS = 10**6


def argument(raw: Raw, index: int) -> Value | None:
    """An argument by its place, whether or not it is printed with its name."""
    if index >= len(raw.arguments):
        return None
    value = raw.arguments[index]
    return value.value if isinstance(value, Named) else value


def number(value: Value | None) -> int | None:
    """A number, also that of a descriptor."""
    if isinstance(value, Descriptor):
        return value.number
    return value if isinstance(value, int) else None


def symbol(value: Value | None) -> str:
    """Flags and names; ``0`` for none."""
    if isinstance(value, Change):
        value = value.after
    return str(value) if isinstance(value, (str, int)) else "0"


def returned(value: Value | None) -> Value | None:
    """What the kernel put in the place of what was passed."""
    return value.after if isinstance(value, Change) else value


def pointed(value: Value | None) -> Value | None:
    """1 of ``[1]``."""
    value = returned(value)
    if isinstance(value, Array) and len(value.items) == 1:
        return returned(value.items[0])
    return value


def option_value(value: Value | None) -> Argument:
    """A socket option's value: a number, a tuple of a known structure's, or hexadecimal."""
    inner = pointed(value)
    match inner:
        case int() | float():
            return inner
        case str():
            return _SYMBOLS.get(inner, inner)
        case Text():
            return None if inner.cut else "0x" + inner.data.hex()
        case Struct():
            return tuple(option_value(member) for member in inner.members.values())
        case Array():
            return tuple(option_value(item) for item in inner.items)
    return None


def milliseconds(value: Value | None) -> int:
    """A timeout: milliseconds as they are, a timespec or timeval rounded up; -1 for none."""
    if isinstance(value, int):
        return value
    if not isinstance(value, Struct):
        return -1
    seconds, parts = (number(member) or 0 for member in (*value.members.values(), 0, 0)[:2])
    unit = _NANOSECONDS_IN_MS if "tv_nsec" in value.members else 1000
    return seconds * 1000 - (-parts // unit)


def vector_length(value: Value | None) -> int | None:
    """Bytes in an array of ``iov_len``; None where the array is cut or was not decoded."""
    if not isinstance(value, Array) or value.cut:
        return None
    total = 0
    for item in value.items:
        length = number(item.members.get("iov_len")) if isinstance(item, Struct) else None
        if length is None:
            return None
        total += length
    return total


def payload(value: Value | None, length: int) -> str | None:
    """The first bytes of a buffer, one character a byte."""
    if isinstance(value, Array) and value.items and isinstance(value.items[0], Struct):
        value = value.items[0].members.get("iov_base")
    return value.data[:length].decode("latin-1") if isinstance(value, Text) else None


def descriptor_set(value: Value | None) -> tuple[int, ...]:
    """``[5<socket:[1]> 6]``."""
    if not isinstance(value, Array):
        return ()
    found = (number(item) for item in value.items)
    return tuple(one for one in found if one is not None)


def poll_pairs(value: Value | None, events: str) -> tuple[tuple[int, str], ...]:
    """``[{fd=5, events=POLLIN}]``; ``events`` names the member."""
    if not isinstance(value, Array):
        return ()
    pairs = []
    for item in value.items:
        fd = number(item.members.get("fd")) if isinstance(item, Struct) else None
        if fd is not None and isinstance(item, Struct) and events in item.members:
            pairs.append((fd, symbol(item.members[events])))
    return tuple(pairs)


def detail(raw: Raw) -> tuple[Value, ...]:
    """What stands in parentheses behind the result, if it can be read."""
    if raw.outcome is None or not raw.outcome.detail:
        return ()
    try:
        return read_values(raw.outcome.detail)
    except (Unreadable, ValueError):
        return ()
