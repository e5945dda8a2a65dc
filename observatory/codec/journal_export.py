"""systemd's Journal Export Format (https://systemd.io/JOURNAL_EXPORT_FORMATS/): fields as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

_length = Struct("<Q")


def encode_entry(fields: Mapping[str, str]) -> bytes:
    """One entry: ``NAME=value`` lines; a value with a line break goes by its length instead."""
    return b"".join(_field(name.encode(), value) for name, value in fields.items())


def _field(name: bytes, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name, data)
    return b"%s\n%s%s\n" % (name, _length.pack(len(data)), data)


def parse_entry(entry: bytes) -> dict[str, bytes]:
    """The fields of one entry, which may be padded with NULs; those that are whole.

    Never raises: a field that goes beyond the entry ends it. The last of equal names counts.
    """
    fields: dict[str, bytes] = {}
    offset = 0
    while (end := entry.find(b"\n", offset)) >= 0:
        name, equals, value = entry[offset:end].partition(b"=")
        offset = end + 1
        if not equals:
            if offset + 8 > len(entry):
                break
            start = offset + 8
            (length,) = _length.unpack_from(entry, offset)
            if start + length > len(entry):
                break
            value = entry[start : start + length]
            offset = start + length + 1
        fields[name.decode("ascii", "replace")] = value
    return fields
