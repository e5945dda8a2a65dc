"""The ``format`` files of tracefs: where each field of an event's record lies, and its names.

They differ between kernels (a field may be new, a reason's number may be another), which is why
they are read and never assumed. Source: Documentation/trace/events.rst, "Event formats".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.codec.ring_pages import ORDER, BadTracepoint

TCP_STATES: Mapping[str, int] = {
    name: number
    for number, name in enumerate(
        (
            *("TCP_ESTABLISHED", "TCP_SYN_SENT", "TCP_SYN_RECV", "TCP_FIN_WAIT1"),
            *("TCP_FIN_WAIT2", "TCP_TIME_WAIT", "TCP_CLOSE", "TCP_CLOSE_WAIT", "TCP_LAST_ACK"),
            *("TCP_LISTEN", "TCP_CLOSING", "TCP_NEW_SYN_RECV"),
        ),
        1,
    )
}
"""include/net/tcp_states.h; the numbers are part of the ABI, and some formats give names alone."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: ``offset`` and ``size`` in bytes."""

    name: str
    offset: int
    size: int
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """One event's record. ``event`` is ``SYSTEM:NAME``, ``id`` the number that its records begin
    with; ``symbols`` are by field what its numbers mean."""

    event: str
    id: int
    fields: Mapping[str, Field]
    symbols: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    length: int = 0

    def number(self, record: bytes, name: str, default: int = 0) -> int:
        """A field's value; ``default`` where this kernel's event has no such field."""
        place = self.fields.get(name)
        if place is None:
            return default
        piece = record[place.offset : place.offset + place.size]
        return int.from_bytes(piece, ORDER, signed=place.signed)

    def piece(self, record: bytes, name: str) -> bytes:
        """A field's bytes; none where this kernel's event has no such field."""
        place = self.fields.get(name)
        return b"" if place is None else record[place.offset : place.offset + place.size]

    def symbol(self, record: bytes, name: str) -> str:
        """What the field's number means in this kernel; the number where it does not say, and
        nothing where it has no such field."""
        if name not in self.fields:
            return ""
        number = self.number(record, name)
        return self.symbols.get(name, {}).get(number, str(number))

    def text(self, record: bytes, name: str) -> str:
        """A string of variable length (``__data_loc``: its offset, and its length above)."""
        where = self.number(record, name)
        start, length = where & 0xFFFF, where >> 16
        return record[start : start + length].split(b"\0")[0].decode("utf-8", "replace")


_FIELD = re.compile(
    r"^\s*field:[^;]*?(\w+)(?:\[[^\]]*\])?;\s*offset:(\d{1,6});\s*size:(\d{1,6});\s*signed:([01]);",
    re.MULTILINE,
)
_NAME = re.compile(r"^name:\s*(\S+)\s*$", re.MULTILINE)
_ID = re.compile(r"^ID:\s*(\d{1,6})\s*$", re.MULTILINE)
_SYMBOLIC = re.compile(r"__print_symbolic\(REC->(\w+),((?:\s*\{[^{}]*\}\s*,?)+)\s*\)")
_PAIR = re.compile(r"\{\s*([\w+-]{1,64})\s*,\s*\"([^\"]*)\"\s*\}")


def parse_format(system: str, text: str) -> Format:
    """The event that a ``format`` file describes. Raises BadTracepoint."""
    name, number = _NAME.search(text), _ID.search(text)
    if name is None or number is None:
        raise BadTracepoint(f"a format of {system} has no name or no ID")
    fields = {
        each: Field(each, int(offset), int(size), signed == "1")
        for each, offset, size, signed in _FIELD.findall(text)
    }
    for needed in ("common_type", "common_pid"):
        if needed not in fields:
            raise BadTracepoint(f"the format of {system}:{name[1]} has no field {needed}")
    symbols = {each: _names(pairs) for each, pairs in _SYMBOLIC.findall(text)}
    length = max(place.offset + place.size for place in fields.values())
    return Format(f"{system}:{name[1]}", int(number[1]), fields, symbols, length)


def _names(pairs: str) -> Mapping[int, str]:
    found = {}
    for value, name in _PAIR.findall(pairs):
        if value in TCP_STATES:
            found[TCP_STATES[value]] = name
            continue
        try:
            found[int(value, 0)] = name
        except ValueError:
            continue  # a constant that the kernel did not resolve: its number is shown instead
    return found
