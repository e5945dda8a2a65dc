"""TCP options (RFC 9293 3.1, IANA "TCP Option Kind Numbers") as analysis reads them."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from observatory.model.quick import quick
from observatory.model.segments import NO_OPTIONS, TcpOptions

END = 0
NO_OPERATION = 1
MSS = 2
WINDOW_SCALE = 3  # RFC 7323 2
SACK_PERMITTED = 4  # RFC 2018 2
SACK = 5  # RFC 2018 3
TIMESTAMPS = 8  # RFC 7323 3
FAST_OPEN = 34  # RFC 7413 4.1.1
EXPERIMENTAL = frozenset({253, 254})  # RFC 6994
FAST_OPEN_EXPERIMENT = b"\xf9\x89"  # the identifier that RFC 7413 used before it had a number

quick_options = quick(TcpOptions)
_pair = Struct("!II").unpack_from
_pairs = Struct("!II").iter_unpack


@lru_cache(maxsize=8192)
def parse_options(data: bytes) -> TcpOptions:
    """The options in ``data``, the bytes between the fixed header and the payload.

    Never raises: an option of impossible length ends the list, one that the capture cut off or
    that has not its kind's length is left out. Cached, as segments sent within one tick of the
    timestamp clock have equal options.
    """
    if data[:4] == b"\x01\x01\x08\x0a" and len(data) == 12:
        return quick_options(timestamp=_pair(data, 4))
    found = dict(_split(data))
    return (
        TcpOptions(
            mss=_number(found.get(MSS), 2),
            window_scale=_number(found.get(WINDOW_SCALE), 1),
            sack_permitted=SACK_PERMITTED in found,
            sack=_blocks(found.get(SACK, b"")),
            timestamp=_timestamps(found.get(TIMESTAMPS, b"")),
            fast_open=FAST_OPEN in found,
        )
        if found
        else NO_OPTIONS
    )


def _split(data: bytes) -> list[tuple[int, bytes]]:
    """(kind, value) of each option; the experimental TFO option counts as TFO."""
    options: list[tuple[int, bytes]] = []
    offset = 0
    while offset < len(data) and data[offset] != END:
        kind = data[offset]
        if kind == NO_OPERATION:
            offset += 1
            continue
        length = data[offset + 1] if offset + 1 < len(data) else 0
        if length < 2 or offset + length > len(data):
            break
        value = data[offset + 2 : offset + length]
        if kind in EXPERIMENTAL and value[:2] == FAST_OPEN_EXPERIMENT:
            kind = FAST_OPEN
        options.append((kind, value))
        offset += length
    return options


def _number(value: bytes | None, length: int) -> int | None:
    return int.from_bytes(value) if value is not None and len(value) == length else None


def _blocks(value: bytes) -> tuple[tuple[int, int], ...]:
    return tuple(_pairs(value)) if len(value) % 8 == 0 else ()


def _timestamps(value: bytes) -> tuple[int, int] | None:
    return _pair(value) if len(value) == 8 else None
