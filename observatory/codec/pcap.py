"""The classic capture file (draft-ietf-opsawg-pcap): both byte orders, micro- and nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import TYPE_CHECKING

from observatory.codec.contents import Contents, cut_short, damaged_at
from observatory.errors import BadFile
from observatory.model.quick import quick
from observatory.model.segments import Frame
from observatory.model.trace import Interface

if TYPE_CHECKING:
    from observatory.codec.contents import Data

MICROSECONDS = 0xA1B2C3D4
NANOSECONDS = 0xA1B23C4D

# magic as it stands in the file -> (byte order, nanoseconds per unit)
MAGICS = {
    Struct(order + "I").pack(number): (order, unit)
    for number, unit in ((MICROSECONDS, 1000), (NANOSECONDS, 1))
    for order in "<>"
}

quick_frame = quick(Frame)

FILE_HEADER_LENGTH = 24
RECORD_HEADER_LENGTH = 16
# What libpcap takes as a sign of damage (MAXIMUM_SNAPLEN of the largest link types is 128 MiB).
LONGEST_RECORD = 128 * 1024 * 1024


def is_pcap(data: Data) -> bool:
    """True if ``data`` starts as a classic capture file does."""
    return data[:4] in MAGICS


def read_pcap(data: Data) -> Contents:
    """The frames of a classic capture file, in file order.

    What follows a cut or damaged record is left out, with the reason in ``ending``. Raises
    BadFile if not even the file header is whole.
    """
    order, unit = MAGICS[data[:4]]
    if len(data) < FILE_HEADER_LENGTH:
        raise BadFile(
            f"the file ends inside its header (it has {len(data)} bytes, a header has "
            f"{FILE_HEADER_LENGTH}): copy it again from where it was made, or make it again"
        )
    snaplen, network = Struct(order + "II").unpack_from(data, 16)
    # The upper bits of the last field are about a checksum behind each frame.
    contents = Contents(interfaces=[Interface("", network & 0xFFFF, snaplen)])
    record = Struct(order + "IIII").unpack_from
    add = contents.frames.append
    offset, size = FILE_HEADER_LENGTH, len(data)
    while offset < size:
        if offset + RECORD_HEADER_LENGTH > size:
            contents.ending = cut_short(offset, size)
            break
        seconds, fraction, captured, original = record(data, offset)
        start = offset + RECORD_HEADER_LENGTH
        end = start + captured
        if captured > LONGEST_RECORD:
            contents.ending = damaged_at(offset, f"a packet of {captured} bytes")
            break
        if end > size:
            contents.ending = cut_short(offset, size)
            break
        time_ns = seconds * 1_000_000_000 + fraction * unit
        add(quick_frame(time_ns, 0, data[start:end], max(original, captured)))
        offset = end
    return contents


def write_pcap(frames: Iterable[Frame], linktype: int, snaplen: int = 0) -> Iterator[bytes]:
    """A classic capture file with nanoseconds, little-endian, in chunks.

    Raises ValueError for a time beyond the year 2106, which the format cannot hold.
    """
    yield Struct("<IHHiIII").pack(NANOSECONDS, 2, 4, 0, 0, snaplen or 262144, linktype)
    header = Struct("<IIII").pack
    for frame in frames:
        seconds, nanoseconds = divmod(frame.time_ns, 1_000_000_000)
        if seconds > 0xFFFFFFFF:
            raise ValueError(f"the time {frame.time_ns} ns does not fit a pcap file")
        yield header(seconds, nanoseconds, len(frame.data), frame.original_length) + frame.data
