"""What strace prints as an argument, as values: the leaves and nodes of the grammar.

Numbers are int, symbols and flags str (``AF_INET``, ``MSG_PEEK|MSG_DONTWAIT``, ``NULL``), and
everything else one of the classes here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f", b"a": b"\a"}

# How -y and -yy decorate the descriptor of a socket: by inode, or by protocol and addresses.
_SOCKET = re.compile(
    r"(?:socket|(?:TCP|UDP|UDPLITE|DCCP|SCTP|RAW|PING|ICMP|L2TP/IP|MPTCP)(?:v6)?"
    r"|UNIX(?:-[A-Z]+)?|NETLINK|PACKET|XDP|VSOCK|SOCKETPAIR):\["
)
_INODE = re.compile(r"(?:socket|UNIX(?:-[A-Z]+)?):\[(\d+)[],-]")


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string as it was printed; ``cut`` if ``...`` followed, ``abstract`` if ``@`` led."""

    raw: str
    cut: bool = False
    abstract: bool = False

    @property
    def data(self) -> bytes:
        """The bytes meant by it (C escapes, octal or hexadecimal)."""
        encoded = self.raw.encode("utf-8", "surrogateescape")
        return _ESCAPE.sub(_unescape, encoded) if b"\\" in encoded else encoded

    def __str__(self) -> str:
        return self.data.decode("utf-8", "backslashreplace")


def _unescape(match: re.Match[bytes]) -> bytes:
    hexadecimal, octal, letter = match.groups()
    if hexadecimal is not None:
        return bytes((int(hexadecimal, 16),))
    if octal is not None:
        return bytes((int(octal, 8) & 0xFF,))
    return _LETTERS.get(letter, letter)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A descriptor with what ``-y`` says it names: ``3<socket:[123]>``, ``AT_FDCWD</tmp>``."""

    number: int
    names: str

    @property
    def is_socket(self) -> bool:
        return _SOCKET.match(self.names) is not None

    @property
    def inode(self) -> int | None:
        """The socket's inode, where -y tells it: the same in every process that holds it."""
        found = _INODE.match(self.names)
        return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Struct:
    """``{a=1, b=2, f(x), ...}``: members by name, those without one in ``others``."""

    members: dict[str, Value] = field(default_factory=dict)
    others: tuple[Value, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Array:
    """``[1, 2, ...]`` or, as strace prints sets, ``[1 2]``; ``cut`` if there was more."""

    items: tuple[Value, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Nested:
    """``htons(80)``, ``inet_pton(AF_INET6, "::1", &sin6_addr)``."""

    name: str
    arguments: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """``child_stack=NULL`` as an argument of a call."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Change:
    """``128 => 16``: what was passed, and what the kernel put in its place."""

    before: Value
    after: Value


Value = int | float | str | Text | Descriptor | Struct | Array | Nested | Named | Change
