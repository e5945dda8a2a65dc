"""pcapng blocks: both byte orders, sections, clocks, the blocks of other programs."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.pcapng import (
    COMMENT,
    enhanced_packet,
    interface_description,
    interface_statistics,
    is_pcapng,
    journal_entry,
    read_pcapng,
    section_header,
    text,
)
from observatory.errors import BadFile
from observatory.model import Direction, Frame, Interface


class Foreign:
    """Blocks in either byte order, as other programs write them."""

    def __init__(self, order):
        self.order = order

    def block(self, kind, body):
        body += bytes(-len(body) % 4)
        length = len(body) + 12
        return pack(self.order + "II", kind, length) + body + pack(self.order + "I", length)

    def options(self, *options):
        return b"".join(
            pack(self.order + "HH", code, len(value)) + value + bytes(-len(value) % 4)
            for code, value in (*options, (0, b""))
        )

    def section(self, *options):
        fixed = pack(self.order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
        return self.block(0x0A0D0D0A, fixed + self.options(*options))

    def interface(self, *options, linktype=1, snaplen=0):
        return self.block(
            1, pack(self.order + "HHI", linktype, 0, snaplen) + self.options(*options)
        )

    def packet(self, ticks, data=b"abc", interface=0, original=None, options=b""):
        original = len(data) if original is None else original
        high, low = ticks >> 32, ticks & 0xFFFFFFFF
        fixed = pack(self.order + "IIIII", interface, high, low, len(data), original)
        return self.block(6, fixed + data + bytes(-len(data) % 4) + options)


@pytest.fixture(params=["<", ">"], ids=["little-endian", "big-endian"])
def foreign(request):
    return Foreign(request.param)


def test_a_packet_with_direction_and_comments(foreign):
    flags = (2, pack(foreign.order + "I", 2))
    options = foreign.options((1, b"a comment"), flags)
    data = foreign.section((1, b"hello"), (4, b"app")) + foreign.interface((2, b"eth0"))
    data += foreign.packet(1_790_000_000_123_456, original=60, options=options)
    assert is_pcapng(data)
    contents = read_pcapng(data)
    assert contents.comments == [("hello",)]
    assert contents.interfaces == [Interface("eth0", 1)]
    way = Direction.OUTBOUND
    assert contents.frames == [Frame(1_790_000_000_123_456_000, 0, b"abc", 60, way)]


@pytest.mark.parametrize(
    ("resolution", "ticks", "time_ns"),
    [
        (0, 7, 7_000_000_000),
        (3, 7, 7_000_000),
        (6, 7, 7_000),
        (9, 7, 7),
        (12, 7_999, 7),
        (0x80, 7, 7_000_000_000),
        (0x8A, 512, 500_000_000),
        (0xFF, 7, 0),
    ],
)
def test_every_resolution_becomes_nanoseconds(foreign, resolution, ticks, time_ns):
    data = foreign.section() + foreign.interface((9, bytes([resolution]))) + foreign.packet(ticks)
    assert [frame.time_ns for frame in read_pcapng(data).frames] == [time_ns]


def test_an_offset_of_the_clock_is_added(foreign):
    offset = (14, pack(foreign.order + "q", 1_790_000_000))
    data = foreign.section() + foreign.interface((9, b"\x09"), offset) + foreign.packet(5)
    assert read_pcapng(data).frames[0].time_ns == 1_790_000_000_000_000_005


def test_a_time_that_nanoseconds_cannot_hold_is_damage(foreign):
    data = foreign.section() + foreign.interface((9, b"\x00")) + foreign.packet(2**63)
    contents = read_pcapng(data)
    assert (contents.frames, contents.damaged) == ([], 1)


def test_sections_count_their_own_interfaces(foreign):
    other = Foreign(">" if foreign.order == "<" else "<")
    data = foreign.section() + foreign.interface((2, b"a")) + foreign.packet(1)
    data += other.section() + other.interface((2, b"b")) + other.packet(2) + other.packet(3)
    contents = read_pcapng(data)
    assert [interface.name for interface in contents.interfaces] == ["a", "b"]
    assert [(f.time_ns, f.interface) for f in contents.frames] == [(1000, 0), (2000, 1), (3000, 1)]


def test_simple_and_old_packets(foreign):
    fixed = pack(foreign.order + "HHIIII", 0, 0, 0, 9, 3, 60)
    old = foreign.block(2, fixed + b"abc\0" + foreign.options((2, pack(foreign.order + "I", 1))))
    simple = foreign.block(3, pack(foreign.order + "I", 60) + b"abcde")
    data = foreign.section() + foreign.interface(snaplen=5) + old + simple
    assert read_pcapng(data).frames == [
        Frame(9_000, 0, b"abc", 60, Direction.INBOUND),
        Frame(9_000, 0, b"abcde", 60),
    ]


def test_statistics_and_journal_entries(foreign):
    counts = foreign.options((4, pack(foreign.order + "Q", 12)), (5, pack(foreign.order + "Q", 2)))
    data = foreign.section() + foreign.interface() + foreign.block(9, b"MESSAGE=x\n")
    data += foreign.block(5, pack(foreign.order + "III", 0, 0, 0) + counts)
    contents = read_pcapng(data)
    assert (contents.interfaces[0].captured, contents.interfaces[0].dropped) == (10, 2)
    assert contents.entries == [(0, b"MESSAGE=x\n\0\0")]


def test_other_blocks_are_stepped_over(foreign):
    others = b"".join(foreign.block(kind, b"something") for kind in (4, 7, 10, 0xBAD, 0x80000001))
    data = foreign.section() + others + foreign.interface() + others + foreign.packet(1)
    contents = read_pcapng(data)
    assert (len(contents.frames), contents.damaged, contents.ending) == (1, 0, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        pack("<IIIII", 0, 0, 0, 2**32 - 1, 60) + b"abc\0",
        pack("<IIIII", 1, 0, 0, 3, 3) + b"abc\0",
    ],
    ids=["no fields", "longer than its block", "of no interface"],
)
def test_a_damaged_packet_is_counted_and_left_out(body):
    foreign = Foreign("<")
    data = foreign.section() + foreign.interface() + foreign.block(6, body) + foreign.packet(1)
    contents = read_pcapng(data)
    assert (len(contents.frames), contents.damaged) == (1, 1)
    assert "1 damaged record was skipped" in contents.defects()[0]


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (pack("<II", 6, 4) + bytes(8), "a block of length 4"),
        (pack("<II", 6, 2**32 - 4) + bytes(8), "a block of length"),
        (pack("<II", 6, 16) + bytes(4) + pack("<I", 12), "two lengths differ"),
        (pack("<III", 0x0A0D0D0A, 28, 0) + bytes(16), "no known byte order"),
    ],
)
def test_a_file_that_cannot_be_followed_ends_there(block, what):
    foreign = Foreign("<")
    start = foreign.section() + foreign.interface() + foreign.packet(1)
    contents = read_pcapng(start + block + foreign.packet(2))
    assert len(contents.frames) == 1
    assert what in contents.ending
    assert f"byte {len(start)}" in contents.ending


def test_not_even_a_header():
    data = section_header(())
    for length in range(12, len(data)):
        with pytest.raises(BadFile, match="not even the file's header"):
            read_pcapng(data[:length])


directions = st.sampled_from(Direction)
frames = st.builds(
    Frame,
    time_ns=st.integers(0, 2**63 - 1),
    interface=st.integers(0, 1),
    data=st.binary(max_size=40),
    original_length=st.integers(40, 2**32 - 1),
    direction=directions,
)
interfaces = st.builds(
    Interface,
    name=st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=15),
    linktype=st.integers(0, 65535),
    snaplen=st.integers(0, 2**32 - 1),
    captured=st.none() | st.integers(0, 2**40),
    dropped=st.none() | st.integers(0, 2**40),
)


@given(
    st.lists(interfaces, min_size=2, max_size=2),
    st.lists(st.tuples(frames, st.lists(st.text(st.characters(exclude_categories=("Cs",)))))),
    st.binary(max_size=40),
)
def test_what_is_written_reads_back(two, packets, entry):
    data = section_header([(COMMENT, text("é"))])
    data += b"".join(map(interface_description, two))
    data += b"".join(enhanced_packet(frame, comments) for frame, comments in packets)
    data += journal_entry(entry)
    data += b"".join(interface_statistics(n, each, 5) for n, each in enumerate(two))
    contents = read_pcapng(data)
    assert contents.interfaces == two
    assert contents.frames == [frame for frame, _ in packets]
    assert contents.entries[0][1].startswith(entry)
    assert contents.comments == [("é",)]
    assert not contents.defects()


def test_a_comment_too_long_for_an_option_is_cut_at_a_character():
    assert text("é" * 40_000) == "é".encode() * 32_767


@given(st.data())
def test_edits_raise_nothing_but_bad_file(data):
    foreign = Foreign(data.draw(st.sampled_from("<>")))
    whole = bytearray(
        foreign.section((1, b"hello"))
        + foreign.interface((2, b"lo"), (9, b"\x09"))
        + foreign.packet(1, options=foreign.options((2, bytes(4))))
        + foreign.block(3, pack(foreign.order + "I", 3) + b"abc")
        + foreign.block(5, pack(foreign.order + "III", 0, 0, 0) + foreign.options((4, bytes(8))))
        + foreign.block(9, b"MESSAGE=x\n")
    )
    for _ in range(data.draw(st.integers(0, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        read_pcapng(bytes(whole[:cut]))
    except BadFile as problem:
        assert str(problem)
