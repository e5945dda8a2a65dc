"""Pages of the kernel's trace ring buffer, as ``per_cpu/cpu*/trace_pipe_raw`` gives them.

A page is the time of its first event, a word that says how many bytes of data follow and whether
events were lost before them, and the events: each a header of 4 bytes (a type or length in 5 bits,
the nanoseconds since the event before in 27) and its record. Sources: include/linux/ring_buffer.h
(``struct ring_buffer_event``), kernel/trace/ring_buffer.c (``RB_MISSED_EVENTS``,
``rb_fix_abs_ts``), and the kernel's own description of the page, ``events/header_page``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MISSED_EVENTS = 1 << 31
MISSED_STORED = 1 << 30
LENGTH_MASK = MISSED_STORED - 1

LONGEST_IN_HEADER, PADDING, TIME_EXTEND, TIME_STAMP = 28, 29, 30, 31
DELTA_BITS = 27
DELTA_MASK = (1 << DELTA_BITS) - 1
# An absolute stamp has room for 59 bits; the rest are those of the time before.
STAMP_HIGH_BITS = 0xF8 << 56

_WORD = struct.Struct("=I")

ORDER: Literal["little", "big"] = "little" if struct.pack("=H", 1) == b"\1\0" else "big"
"""The byte order of the machine, which is that of the kernel's records."""


class BadTracepoint(ValueError):
    """A page, record or format description is not what the kernel writes."""


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Where a page's length and data are, in bytes; ``size`` is the whole page's."""

    commit_offset: int = 8
    commit_size: int = 8
    data_offset: int = 16
    size: int = 4096


@dataclass(frozen=True, slots=True)
class Page:
    """What a page holds: records in the order of time, each with its time in ns of the trace
    clock. ``missed`` says that events before them were overwritten; ``lost`` how many, if it is
    known."""

    records: tuple[tuple[int, bytes], ...]
    missed: bool = False
    lost: int = 0


_FIELD = re.compile(r"\bfield:[^;]*?(\w+);\s*offset:(\d{1,6});\s*size:(\d{1,6});")


def parse_header_page(text: str) -> PageLayout:
    """The layout that ``events/header_page`` describes. Raises BadTracepoint."""
    fields = {name: (int(offset), int(size)) for name, offset, size in _FIELD.findall(text)}
    try:
        (commit, commit_size), (data, data_size) = fields["commit"], fields["data"]
    except KeyError as missing:
        raise BadTracepoint(f"header_page has no field {missing}") from None
    if commit_size not in (4, 8) or not 8 <= commit <= data - commit_size or data_size < 4:
        raise BadTracepoint("header_page describes no page")
    return PageLayout(commit, commit_size, data, data + data_size)


def read_page(page: bytes, layout: PageLayout) -> Page:
    """The records of one page. Raises BadTracepoint."""
    if len(page) < layout.data_offset:
        raise BadTracepoint(f"a page of {len(page)} bytes is shorter than its header")
    time_ns = int.from_bytes(page[:8], ORDER)
    commit_end = layout.commit_offset + layout.commit_size
    commit = int.from_bytes(page[layout.commit_offset : commit_end], ORDER)
    end = layout.data_offset + (commit & LENGTH_MASK)
    if end > len(page):
        raise BadTracepoint(f"a page of {len(page)} bytes says that its data ends at {end}")
    missed = bool(commit & MISSED_EVENTS)
    lost = 0
    if missed and commit & MISSED_STORED and end + layout.commit_size <= len(page):
        lost = int.from_bytes(page[end : end + layout.commit_size], ORDER)
    return Page(tuple(_records(page, layout.data_offset, end, time_ns)), missed, lost)


def _records(page: bytes, at: int, end: int, time_ns: int) -> Iterator[tuple[int, bytes]]:
    while at + _WORD.size <= end:
        kind, delta = _header(page, at)
        at += _WORD.size
        if kind == PADDING and delta == 0:
            return  # the rest of the page is empty
        if kind in (TIME_EXTEND, TIME_STAMP):
            high = _word(page, at, end) << DELTA_BITS
            at += _WORD.size
            if kind == TIME_EXTEND:
                time_ns += high + delta
            else:
                time_ns = (high + delta) | (time_ns & STAMP_HIGH_BITS)
            continue
        time_ns += delta
        if kind == PADDING:  # an event that was discarded
            at += _word(page, at, end)
            continue
        if 0 < kind <= LONGEST_IN_HEADER:
            start, length = at, kind * _WORD.size
        else:  # the length stands in front, and counts itself
            start, length = at + _WORD.size, _word(page, at, end) - _WORD.size
        if length < 0 or start + length > end:
            raise BadTracepoint(f"an event at byte {at} is longer than its page")
        yield time_ns, page[start : start + length]
        at = start + length + (-length) % _WORD.size


def _header(page: bytes, at: int) -> tuple[int, int]:
    """Type and time delta: bit fields, which lie in the other order on a big-endian machine."""
    (word,) = _WORD.unpack_from(page, at)
    if ORDER == "little":
        return word & 31, word >> 5
    return word >> DELTA_BITS, word & DELTA_MASK


def _word(page: bytes, at: int, end: int) -> int:
    if at + _WORD.size > end:
        raise BadTracepoint(f"an event at byte {at} ends with its page")
    value: int = _WORD.unpack_from(page, at)[0]
    return value
