"""The pcapng file (draft-ietf-opsawg-pcapng): its blocks, read and written.

Reading takes both byte orders, several sections, and the blocks that hold interfaces, packets,
statistics and systemd journal entries; it steps over all others. Writing is little-endian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from struct import Struct, error
from typing import TYPE_CHECKING, Literal

from observatory.codec.contents import LATEST_NS, Contents, cut_short, damaged_at
from observatory.errors import BadFile
from observatory.model.quick import quick
from observatory.model.segments import Direction, Frame
from observatory.model.trace import Interface

if TYPE_CHECKING:
    from observatory.codec.contents import Data

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
OLD_PACKET = 2
SIMPLE_PACKET = 3
INTERFACE_STATISTICS = 5
ENHANCED_PACKET = 6
JOURNAL_ENTRY = 9

BYTE_ORDERS: dict[bytes, Literal["<", ">"]] = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}

END_OF_OPTIONS = 0
COMMENT = 1
SECTION_OS, SECTION_APPLICATION = 3, 4
INTERFACE_NAME, INTERFACE_TSRESOL, INTERFACE_TSOFFSET = 2, 9, 14
PACKET_FLAGS = 2
STATISTICS_RECEIVED, STATISTICS_DROPPED, STATISTICS_DELIVERED = 4, 5, 8

quick_frame = quick(Frame)

DIRECTIONS = (Direction.UNKNOWN, Direction.INBOUND, Direction.OUTBOUND, Direction.UNKNOWN)
DIRECTION_BITS = {Direction.UNKNOWN: 0, Direction.INBOUND: 1, Direction.OUTBOUND: 2}

LONGEST_OPTION = 0xFFFF
SMALLEST_BLOCK = 12
# Wireshark refuses longer blocks too (MAX_BLOCK_SIZE in wiretap/pcapng.c).
LONGEST_BLOCK = 16 * 1024 * 1024


def is_pcapng(data: Data) -> bool:
    """True if ``data`` starts as a pcapng file does."""
    return data[:4] == SECTION_HEADER.to_bytes(4) and data[8:12] in BYTE_ORDERS


# --- reading -------------------------------------------------------------------------------------


def read_pcapng(data: Data) -> Contents:
    """Everything in the file that a trace is made of, in file order.

    Never raises for what follows the first section header: a block that contradicts itself is
    counted and left out, one that is cut ends the reading with the reason in ``ending``. Raises
    BadFile if not even the first section header is whole.
    """
    reader = _Reader(data)
    offset, size = 0, len(data)
    while (offset := reader.plain_packets(offset, size)) < size:
        problem = reader.block(offset, size)
        if problem is not None:
            if offset == 0:
                raise BadFile(f"not even the file's header can be read: {problem}")
            reader.contents.ending = problem
            break
        offset += reader.length
    return reader.contents


@dataclass(slots=True)
class _Clock:
    """An interface's units of time: ``ticks * multiplier // divisor + offset_ns``."""

    multiplier: int = 1000
    divisor: int = 1
    offset_ns: int = 0

    def nanoseconds(self, ticks: int) -> int:
        """Since 1970. Raises OverflowError for a time that nobody could write again."""
        time_ns = ticks * self.multiplier // self.divisor + self.offset_ns
        if not 0 <= time_ns <= LATEST_NS:
            raise OverflowError("a time outside of what nanoseconds hold")
        return time_ns


@dataclass(slots=True)
class _Reader:
    """Walks the blocks of one file; the byte order and the interfaces are its section's."""

    data: Data
    contents: Contents = field(default_factory=Contents)
    order: Literal["<", ">"] = "<"
    length: int = 0
    first_interface: int = 0
    clocks: list[_Clock] = field(default_factory=list)
    latest_ns: int = 0
    _start: Callable[..., tuple[int, ...]] = Struct("<II").unpack_from
    _option: Callable[..., tuple[int, ...]] = Struct("<HH").unpack_from

    def plain_packets(self, offset: int, size: int) -> int:
        """Reads Enhanced Packets as long as nothing is unusual about them; where it stopped.

        Nearly all of a large capture is read here, so this one loop is written for speed: one
        unpacking for all fields, no calls. What it does not take is ``block``'s to judge.
        """
        data, clocks, first = self.data, self.clocks, self.first_interface
        head = Struct(self.order + "IIIIIII").unpack_from
        last = Struct(self.order + "I").unpack_from
        add = self.contents.frames.append
        while offset + 32 <= size:
            kind, length, index, high, low, captured, original = head(data, offset)
            start = offset + 28
            stop = start + captured
            options = stop + (-captured & 3)
            end = offset + length
            if (
                kind != ENHANCED_PACKET
                or index >= len(clocks)
                or not options + 4 <= end <= size
                or length & 3
                or last(data, end - 4)[0] != length
            ):
                return offset
            clock = clocks[index]
            time_ns = (high << 32 | low) * clock.multiplier // clock.divisor + clock.offset_ns
            if not 0 <= time_ns <= LATEST_NS:
                return offset
            frame = quick_frame(
                time_ns,
                first + index,
                data[start:stop],
                original if original > captured else captured,
                Direction.UNKNOWN if options + 4 == end else self._direction(options, end - 4),
            )
            add(frame)
            self.latest_ns = time_ns
            offset = end
        return offset

    def block(self, offset: int, size: int) -> str | None:
        """Reads the block at ``offset`` and sets ``length``; a sentence if it cannot."""
        if offset + SMALLEST_BLOCK > size:
            return cut_short(offset, size)
        kind, length = self._start(self.data, offset)
        if kind == SECTION_HEADER:  # reads the same in both byte orders
            order = BYTE_ORDERS.get(self.data[offset + 8 : offset + 12])
            if order is None:
                return damaged_at(offset, "a section of no known byte order")
            self._use(order)
            kind, length = self._start(self.data, offset)
        if length < SMALLEST_BLOCK or length % 4 or length > LONGEST_BLOCK:
            return damaged_at(offset, f"a block of length {length}")
        end = offset + length
        if end > size:
            return cut_short(offset, size)
        if self._start(self.data, end - 8)[1] != length:
            return damaged_at(offset, "a block's two lengths differ")
        self.length = length
        read = READERS.get(kind)
        if read is not None:
            try:
                read(self, offset + 8, end - 4)
            except (error, IndexError, OverflowError):
                self.contents.damaged += 1
        return None

    def _use(self, order: Literal["<", ">"]) -> None:
        self.order = order
        self._start = Struct(order + "II").unpack_from
        self._option = Struct(order + "HH").unpack_from

    def _numbers(self, layout: str, offset: int, end: int) -> tuple[int, ...]:
        numbers = Struct(self.order + layout)
        if offset + numbers.size > end:
            raise IndexError("the block ends before its fields do")
        return numbers.unpack_from(self.data, offset)

    def _options(self, offset: int, end: int) -> Iterable[tuple[int, bytes]]:
        """(code, value) of each option that is whole."""
        while offset + 4 <= end:
            code, length = self._option(self.data, offset)
            offset += 4
            if code == END_OF_OPTIONS or offset + length > end:
                return
            yield code, self.data[offset : offset + length]
            offset += length + (-length & 3)

    def section(self, offset: int, end: int) -> None:
        self._numbers("IHHq", offset, end)
        self.first_interface = len(self.contents.interfaces)
        self.clocks = []
        comments = (
            value.decode("utf-8", "replace")
            for code, value in self._options(offset + 16, end)
            if code == COMMENT
        )
        self.contents.comments.append(tuple(comments))

    def interface(self, offset: int, end: int) -> None:
        linktype, _, snaplen = self._numbers("HHI", offset, end)
        options = dict(self._options(offset + 8, end))
        name = options.get(INTERFACE_NAME, b"").rstrip(b"\0").decode("utf-8", "replace")
        # Added first: packets count interfaces by position, whatever else is wrong with this one.
        self.contents.interfaces.append(Interface(name, linktype, snaplen))
        self.clocks.append(_Clock())
        resolution = options.get(INTERFACE_TSRESOL, b"\x06")[0]
        base, power = (2, resolution & 0x7F) if resolution & 0x80 else (10, resolution)
        clock = self.clocks[-1]
        clock.multiplier, clock.divisor = 1_000_000_000, base**power
        if base == 10 and power <= 9:
            clock.multiplier, clock.divisor = 10 ** (9 - power), 1
        if INTERFACE_TSOFFSET in options:
            seconds = Struct(self.order + "q").unpack(options[INTERFACE_TSOFFSET])[0]
            clock.offset_ns = seconds * 1_000_000_000

    def enhanced_packet(self, offset: int, end: int) -> None:
        """A packet that ``plain_packets`` did not take: damaged, or it would have."""
        raise IndexError("the packet goes beyond its block, its interfaces or its clock")

    def old_packet(self, offset: int, end: int) -> None:
        index, _, high, low, captured, original = self._numbers("HHIIII", offset, end)
        start = offset + 20
        stop = start + captured
        if stop > end:
            raise IndexError("the packet is longer than its block")
        direction = self._direction(stop + (-captured & 3), end)
        clock = self.clocks[index]
        time_ns = clock.nanoseconds(high << 32 | low)
        place = self.first_interface + index
        data = self.data[start:stop]
        self.contents.frames.append(Frame(time_ns, place, data, max(original, captured), direction))
        self.latest_ns = time_ns

    def simple_packet(self, offset: int, end: int) -> None:
        """A packet of the first interface with no time: it stands at the latest one seen."""
        (original,) = self._numbers("I", offset, end)
        interface = self.contents.interfaces[self.first_interface]
        captured = min(original, interface.snaplen or original)
        if offset + 4 + captured > end:
            raise IndexError("the packet is longer than its block")
        packet = self.data[offset + 4 : offset + 4 + captured]
        frame = Frame(self.latest_ns, self.first_interface, packet, original)
        self.contents.frames.append(frame)

    def _direction(self, offset: int, end: int) -> Direction:
        if offset + 8 <= end and self._option(self.data, offset) == (PACKET_FLAGS, 4):
            # Where the observatory writes it: there is nothing to search.
            value = self.data[offset + 4 : offset + 8]
        else:
            value = dict(self._options(offset, end)).get(PACKET_FLAGS, b"")
        if len(value) != 4:
            return Direction.UNKNOWN
        return DIRECTIONS[value[0 if self.order == "<" else 3] & 3]

    def statistics(self, offset: int, end: int) -> None:
        index, _, _ = self._numbers("III", offset, end)
        place = self.first_interface + index
        interface = self.contents.interfaces[place]
        counts = {
            code: int.from_bytes(value, "little" if self.order == "<" else "big")
            for code, value in self._options(offset + 12, end)
            if len(value) == 8
        }
        received = counts.get(STATISTICS_RECEIVED)
        dropped = counts.get(STATISTICS_DROPPED)
        captured = counts.get(STATISTICS_DELIVERED)
        if captured is None and received is not None:
            captured = max(received - (dropped or 0), 0)
        self.contents.interfaces[place] = Interface(
            interface.name, interface.linktype, interface.snaplen, captured, dropped
        )

    def journal_entry(self, offset: int, end: int) -> None:
        section = len(self.contents.comments) - 1
        self.contents.entries.append((section, self.data[offset:end]))


READERS: dict[int, Callable[[_Reader, int, int], None]] = {
    SECTION_HEADER: _Reader.section,
    INTERFACE_DESCRIPTION: _Reader.interface,
    OLD_PACKET: _Reader.old_packet,
    SIMPLE_PACKET: _Reader.simple_packet,
    INTERFACE_STATISTICS: _Reader.statistics,
    ENHANCED_PACKET: _Reader.enhanced_packet,
    JOURNAL_ENTRY: _Reader.journal_entry,
}


# --- writing -------------------------------------------------------------------------------------


def section_header(options: Iterable[tuple[int, bytes]]) -> bytes:
    """A Section Header of unknown length, so that blocks can be appended as they come."""
    fixed = Struct("<IHHq").pack(0x1A2B3C4D, 1, 0, -1)
    return _block(SECTION_HEADER, fixed + _encoded(options))


def interface_description(interface: Interface) -> bytes:
    """An Interface Description whose times are nanoseconds."""
    options = [(INTERFACE_NAME, text(interface.name)), (INTERFACE_TSRESOL, b"\x09")]
    fixed = Struct("<HHI").pack(interface.linktype, 0, interface.snaplen)
    return _block(INTERFACE_DESCRIPTION, fixed + _encoded(options))


def enhanced_packet(frame: Frame, comments: Iterable[str] = ()) -> bytes:
    """An Enhanced Packet with its direction, where known, and a comment for each annotation."""
    options = [(COMMENT, text(comment)) for comment in comments]
    if frame.direction is not Direction.UNKNOWN:  # first, as readers of many packets look for it
        options.insert(0, (PACKET_FLAGS, DIRECTION_BITS[frame.direction].to_bytes(4, "little")))
    high, low = frame.time_ns >> 32, frame.time_ns & 0xFFFFFFFF
    length = len(frame.data)
    fixed = _packet_fields(frame.interface, high, low, length, frame.original_length)
    padded = frame.data + bytes(-length & 3)
    return _block(ENHANCED_PACKET, fixed + padded + _encoded(options))


def interface_statistics(index: int, interface: Interface, time_ns: int) -> bytes:
    """What the interface received, delivered to the capture and dropped; empty if not known."""
    captured, dropped = interface.captured, interface.dropped
    counts = {
        STATISTICS_RECEIVED: None if captured is None else captured + (dropped or 0),
        STATISTICS_DROPPED: dropped,
        STATISTICS_DELIVERED: captured,
    }
    options = [(code, Struct("<Q").pack(n)) for code, n in counts.items() if n is not None]
    fixed = Struct("<III").pack(index, time_ns >> 32, time_ns & 0xFFFFFFFF)
    return _block(INTERFACE_STATISTICS, fixed + _encoded(options)) if options else b""


def journal_entry(entry: bytes) -> bytes:
    """A systemd Journal Export block around one entry in the Journal Export Format."""
    return _block(JOURNAL_ENTRY, entry + bytes(-len(entry) & 3))


def text(value: str) -> bytes:
    """UTF-8 for an option, cut at a character where it is longer than an option can be."""
    encoded = value.encode("utf-8", "backslashreplace")
    if len(encoded) <= LONGEST_OPTION:
        return encoded
    return encoded[:LONGEST_OPTION].decode("utf-8", "ignore").encode()


_packet_fields = Struct("<IIIII").pack
_block_start = Struct("<II").pack
_option_start = Struct("<HH").pack


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + SMALLEST_BLOCK
    return _block_start(kind, length) + body + length.to_bytes(4, "little")


def _encoded(options: Iterable[tuple[int, bytes]]) -> bytes:
    parts = [
        _option_start(code, len(value)) + value + bytes(-len(value) & 3) for code, value in options
    ]
    return b"".join(parts) + bytes(4) if parts else b""
