"""The ``format`` files of tracefs: where each field of an event's record lies, and its names.

They differ between kernels (a field may be new, a reason's number may be another), which is why
they are read and never assumed. Source: Documentation/trace/events.rst, "Event formats".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from observatory.codec.ring_pages import BadTracepoint

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
    """One field of a record: ``offset`` and ``size`` in bytes. An ``array`` is bytes, no
    number; what is ``located`` says where in the record its bytes are (``__data_loc``)."""

    name: str
    offset: int
    size: int
    signed: bool = False
    array: bool = False
    located: bool = False


Value = int | bytes
Values = Mapping[str, Value]
"""A record's fields by name: numbers, and the bytes of what is longer than a number."""


@dataclass(frozen=True, slots=True)
class Format:
    """One event's record. ``event`` is ``SYSTEM:NAME``, ``id`` the number that its records begin
    with; ``fields`` in the order in which they lie, ``symbols`` by field what its numbers mean."""

    event: str
    id: int
    fields: tuple[Field, ...]
    symbols: Mapping[str, Mapping[int, str]]
    names: tuple[str, ...]
    located: tuple[str, ...]
    shape: struct.Struct

    def values(self, record: bytes) -> Values:
        """A record taken apart. Raises BadTracepoint if it is shorter than its format."""
        try:
            values: dict[str, Value] = dict(
                zip(self.names, self.shape.unpack_from(record), strict=True)
            )
        except struct.error:
            raise BadTracepoint(
                f"a record of {self.event} has {len(record)} bytes, not {self.shape.size}"
            ) from None
        for name in self.located:
            where = numeric(values, name)
            start, length = where & 0xFFFF, where >> 16
            values[name] = record[start : start + length].split(b"\0")[0]
        return values

    def symbol(self, values: Values, name: str) -> str:
        """What the field's number means in this kernel; the number where it does not say, and
        nothing where it has no such field."""
        if name not in values:
            return ""
        number = numeric(values, name)
        return self.symbols.get(name, {}).get(number, str(number))


def numeric(values: Values, name: str) -> int:
    """A field's number; 0 where this kernel's event has no such field."""
    value = values.get(name, 0)
    return value if isinstance(value, int) else 0


def raw(values: Values, name: str) -> bytes:
    """A field's bytes; none where this kernel's event has no such field."""
    value = values.get(name, b"")
    return value if isinstance(value, bytes) else b""


def text(values: Values, name: str) -> str:
    """A field's bytes as text."""
    return raw(values, name).decode("utf-8", "replace")


_FIELD = re.compile(
    r"^\s*field:([^;]*?)(\w+)(\[[^\]]*\])?;\s*offset:(\d{1,6});\s*size:(\d{1,6});\s*signed:([01]);",
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
    event = f"{system}:{name[1]}"
    fields = tuple(
        Field(
            *(each, int(offset), int(size), signed == "1"),
            array=bool(array),
            located=kind.startswith("__data_loc"),
        )
        for kind, each, array, offset, size, signed in _FIELD.findall(text)
    )
    for needed in ("common_type", "common_pid"):
        if not any(place.name == needed for place in fields):
            raise BadTracepoint(f"the format of {event} has no field {needed}")
    symbols = {each: _names(pairs) for each, pairs in _SYMBOLIC.findall(text)}
    return Format(
        event=event,
        id=int(number[1]),
        fields=fields,
        symbols=symbols,
        names=tuple(place.name for place in fields),
        located=tuple(place.name for place in fields if place.located),
        shape=_shape(event, fields),
    )


_NUMBERS = {1: "b", 2: "h", 4: "i", 8: "q"}


def _shape(event: str, fields: tuple[Field, ...]) -> struct.Struct:
    """All fields in one pattern, with what lies between them passed over."""
    pattern, end = "=", 0
    for place in fields:
        if place.offset < end:
            raise BadTracepoint(f"in the format of {event} {place.name} lies over another field")
        pattern += f"{place.offset - end}x"
        if place.array or place.size not in _NUMBERS:
            pattern += f"{place.size}s"
        else:
            code = _NUMBERS[place.size]
            pattern += code if place.signed else code.upper()
        end = place.offset + place.size
    return struct.Struct(pattern)


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
