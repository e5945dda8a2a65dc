"""Pages as the kernel writes them, and bytes that it never would."""

import struct
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.ring_pages import (
    MISSED_EVENTS,
    MISSED_STORED,
    PADDING,
    TIME_EXTEND,
    TIME_STAMP,
    BadTracepoint,
    Page,
    PageLayout,
    parse_header_page,
    read_page,
)

RECORDED = Path(__file__).with_name("tracepoints")
LAYOUT = PageLayout()
BEGIN_NS = 1_795_385_305_934_000_000


def head(kind: int, delta: int) -> bytes:
    word = kind | delta << 5 if sys.byteorder == "little" else kind << 27 | delta
    return struct.pack("=I", word)


def event(delta: int, record: bytes) -> bytes:
    """A record of a length that fits its header."""
    return head(len(record) // 4, delta) + record


def long_event(delta: int, record: bytes) -> bytes:
    return head(0, delta) + struct.pack("=I", len(record) + 4) + record


def page(data: bytes, flags: int = 0, after: bytes = b"") -> bytes:
    return struct.pack("=QQ", BEGIN_NS, len(data) | flags) + data + after


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (event(5, b"abcd"), [(5, b"abcd")]),
        (event(5, b"abcd") + event(7, b"efghijkl"), [(5, b"abcd"), (12, b"efghijkl")]),
        (long_event(1, b"x" * 200), [(1, b"x" * 200)]),
        (
            event(3, b"abcd") + head(TIME_EXTEND, 1) + struct.pack("=I", 2) + event(1, b"efgh"),
            [(3, b"abcd"), (3 + (2 << 27) + 1 + 1, b"efgh")],
        ),
        (event(3, b"abcd") + head(PADDING, 0) + b"\xff" * 40, [(3, b"abcd")]),
        (
            head(PADDING, 9) + struct.pack("=I", 8) + b"gone" + event(1, b"abcd"),
            [(10, b"abcd")],
        ),
    ],
    ids=["empty", "one", "two", "long", "later than fits", "end of page", "discarded"],
)
def test_events_come_with_their_times(data: bytes, expected: list[tuple[int, bytes]]) -> None:
    records = read_page(page(data), LAYOUT).records
    assert [(time_ns - BEGIN_NS, record) for time_ns, record in records] == expected


def test_an_absolute_time_has_59_bits_and_keeps_the_rest() -> None:
    later_ns = BEGIN_NS + 3_000_000_000
    low = later_ns & ~(0xF8 << 56)
    data = head(TIME_STAMP, low & (1 << 27) - 1) + struct.pack("=I", low >> 27) + event(2, b"abcd")
    assert read_page(page(data), LAYOUT).records == ((later_ns + 2, b"abcd"),)


def test_lost_events_are_told_and_counted_where_there_was_room() -> None:
    data = event(1, b"abcd")
    assert read_page(page(data, MISSED_EVENTS), LAYOUT).missed
    counted = page(data, MISSED_EVENTS | MISSED_STORED, struct.pack("=Q", 17))
    assert read_page(counted, LAYOUT) == Page(((BEGIN_NS + 1, b"abcd"),), missed=True, lost=17)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        page(b"")[:15],
        page(event(1, b"abcd"))[:-1],
        page(head(10, 1)),
        page(head(0, 1)),
        page(long_event(1, b"abcd")[:4] + struct.pack("=I", 0)),
        page(head(TIME_EXTEND, 1)),
    ],
    ids=["nothing", "half a head", "cut", "too long", "no length", "length 0", "no time"],
)
def test_damage_is_refused(raw: bytes) -> None:
    with pytest.raises(BadTracepoint):
        read_page(raw, LAYOUT)


@given(st.binary(max_size=300))
def test_whatever_the_bytes_they_are_read_or_refused(raw: bytes) -> None:
    with suppress(BadTracepoint):
        read_page(raw, LAYOUT)


@given(st.binary(max_size=200))
def test_whatever_the_events_they_are_read_or_refused(data: bytes) -> None:
    try:
        found = read_page(page(data), LAYOUT)
    except BadTracepoint:
        return
    assert sum(len(record) for _, record in found.records) <= len(data)


def test_the_kernel_describes_its_page() -> None:
    text = (RECORDED / "header_page").read_text()
    assert parse_header_page(text) == PageLayout(8, 8, 16, 4096)


def test_a_page_of_a_32_bit_kernel_has_a_shorter_head() -> None:
    text = (
        "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
        "\tfield: local_t commit;\toffset:8;\tsize:4;\tsigned:1;\n"
        "\tfield: char data;\toffset:12;\tsize:4084;\tsigned:0;\n"
    )
    layout = parse_header_page(text)
    assert layout == PageLayout(8, 4, 12, 4096)
    raw = struct.pack("=QI", BEGIN_NS, 8) + event(1, b"abcd")
    assert read_page(raw, layout).records == ((BEGIN_NS + 1, b"abcd"),)


@pytest.mark.parametrize("text", ["", "field: char data; offset:0; size:0;"])
def test_no_description_is_refused(text: str) -> None:
    with pytest.raises(BadTracepoint):
        parse_header_page(text)


@given(st.text(max_size=200))
def test_whatever_the_description_it_is_read_or_refused(text: str) -> None:
    with suppress(BadTracepoint):
        parse_header_page(text)
