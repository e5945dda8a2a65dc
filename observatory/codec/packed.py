"""Which capture format some bytes are, through gzip where they are packed."""

from __future__ import annotations

import zlib
from gzip import GzipFile
from io import BytesIO
from typing import TYPE_CHECKING

from observatory.codec.contents import Contents
from observatory.codec.pcap import is_pcap, read_pcap
from observatory.codec.pcapng import is_pcapng, read_pcapng
from observatory.errors import BadFile

if TYPE_CHECKING:
    from observatory.codec.contents import Data

GZIP = b"\x1f\x8b"
LARGEST_UNPACKED = 1 << 30
PIECE = 1 << 20

# How files start that are taken for captures by mistake (in lower case), and what to do.
OTHERS = (
    (b"\x28\xb5\x2f\xfd", "it is packed with zstd: unpack it first (zstd -d FILE)"),
    (b"\xfd7zxz\0", "it is packed with xz: unpack it first (xz -d FILE)"),
    (b"bzh", "it is packed with bzip2: unpack it first (bzip2 -d FILE)"),
    (b"pk\x03\x04", "it is a zip archive: unpack it first (unzip FILE)"),
    (b"\x04\x22\x4d\x18", "it is packed with lz4: unpack it first (lz4 -d FILE)"),
    (b"<!doctype", "it is a web page: download the capture itself"),
    (b"<html", "it is a web page: download the capture itself"),
    (b"snoop\0", "it is a snoop capture: convert it first (editcap -F pcapng FILE OUT.pcapng)"),
    (b"\xa1\xb2\xcd\x34", "it is a modified pcap: convert it first (editcap -F pcapng FILE OUT)"),
    (b"\x34\xcd\xb2\xa1", "it is a modified pcap: convert it first (editcap -F pcapng FILE OUT)"),
    (b"\x7felf", "it is a program"),
    (b"{", "it is JSON: give the .pcapng file of the run"),
)
WANTED = "give a file written by observatory, tcpdump, dumpcap or Wireshark"


def is_packed(data: Data) -> bool:
    """True if ``data`` is gzipped."""
    return data[:2] == GZIP


def read_contents(data: Data) -> Contents:
    """What is in a pcap or pcapng file. Raises BadFile."""
    if is_pcapng(data):
        return read_pcapng(data)
    if is_pcap(data):
        return read_pcap(data)
    if not len(data):
        raise BadFile("it is empty: nothing was ever written to it")
    start = bytes(data[:16]).lower()
    for known, what in OTHERS:
        if start.startswith(known):
            raise BadFile(what)
    if len(data) < 12 and _may_become(bytes(data[:4])):
        raise BadFile("it ends inside its header: copy it again, or make it again")
    raise BadFile(f"it starts neither as a pcapng nor as a pcap file does: {WANTED}")


def _may_become(start: bytes) -> bool:
    return b"\x0a\x0d\x0d\x0a".startswith(start)


def read_packed(data: Data) -> Contents:
    """What is in a gzipped capture; of one that is cut short, what could be unpacked."""
    unpacked, problem = _unpack(data)
    if problem is not None and not unpacked:
        raise BadFile(f"it is gzipped and cannot be unpacked: {problem}")
    contents = read_contents(unpacked)
    if problem is not None:
        contents.ending = f"the file is gzipped and {problem}; what comes after is missing"
    return contents


def _unpack(data: Data) -> tuple[bytes, str | None]:
    """The bytes of all members, and why they ended early if they did."""
    unpacked = BytesIO()
    with GzipFile(fileobj=BytesIO(data)) as packed:
        try:
            while piece := packed.read1(PIECE):
                unpacked.write(piece)
                if unpacked.tell() > LARGEST_UNPACKED:
                    return unpacked.getvalue(), "holds over a gigabyte: unpack it first (gunzip)"
        except EOFError:
            return unpacked.getvalue(), "is cut short: copy it again"
        except (OSError, zlib.error) as problem:
            return unpacked.getvalue(), f"is damaged ({problem}): copy it again"
    return unpacked.getvalue(), None
