"""What makes two frames the same packet: all its bytes but those that its way changes.

A router changes TTL or hop limit, the DSCP and ECN bits perhaps, and the MSS option of a SYN where
it clamps it. Checksums follow all that, and with checksum offload they are not there yet where a
packet leaves its host. A router may also cut an IPv4 packet into fragments.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from observatory.codec.headers import behind_extensions
from observatory.codec.links import ETHERTYPE_IPV4, LINKS
from observatory.model.segments import Frame

Header = tuple[int, bytes, bytes]
"""The protocol, the IP header's part and the transport header without what the way changes."""

MORE_FRAGMENTS = 0x2000
TCP, UDP = 6, 17
CHECKSUMS = {TCP: slice(16, 18), UDP: slice(6, 8), 1: slice(2, 4), 58: slice(2, 4)}
END, NOTHING, MSS = 0, 1, 2

_ipv4 = Struct("!BxHHHxB").unpack_from
_ipv6 = Struct("!IHB").unpack_from


@dataclass(frozen=True, slots=True)
class Identity:
    """``header`` is equal for all sightings of a packet, and so is ``payload`` unless a router
    cut the packet: then ``fragment`` is set on those that were seen behind it."""

    header: Header
    payload: bytes
    fragment: bool = False

    def same(self, other: Identity) -> bool:
        """Whether two frames can be one packet."""
        if self.header != other.header:
            return False
        return self.payload == other.payload or self.fragment or other.fragment


def identify(frame: Frame, linktype: int) -> Identity:
    """The identity of a frame that holds a segment. Raises struct.error or IndexError if it does
    not."""
    data = frame.data
    start, ethertype = LINKS[linktype](data)
    if ethertype == ETHERTYPE_IPV4:
        first, total, number, fragment, protocol = _ipv4(data, start)
        end = start + total if total else len(data)
        named = data[start + 4 : start + 6] + data[start + 12 : start + 20]
        header, payload = _transport(data[start + (first & 15) * 4 : end], protocol)
        # Who may cut a packet has numbered it; a number of 0 names none.
        cut = bool(fragment & MORE_FRAGMENTS) and number != 0
        return Identity((protocol, named, header), payload, cut)
    word, length, protocol = _ipv6(data, start)
    end = start + 40 + length if length else len(data)
    flow = (word & 0xFFFFF).to_bytes(3, "big")  # a new one after a timeout, so it tells more
    protocol, transport, _ = behind_extensions(data, start + 40, protocol)
    header, payload = _transport(data[transport:end], protocol)
    return Identity((protocol, flow + data[start + 8 : transport], header), payload)


def _transport(data: bytes, protocol: int) -> tuple[bytes, bytes]:
    """The transport's header without its checksum, and what comes behind it."""
    length = _header_length(data, protocol)
    header = bytearray(data[:length])
    if protocol == TCP:
        _forget_mss(header)
    checksum = CHECKSUMS.get(protocol)
    if checksum is not None:
        header[checksum] = b""
    return bytes(header), data[length:]


def _header_length(data: bytes, protocol: int) -> int:
    if protocol == TCP:
        return (data[12] >> 4) * 4
    return 8


def _forget_mss(header: bytearray) -> None:
    """Zeroes the value of an MSS option (RFC 9293 3.2)."""
    at = 20
    while at + 1 < len(header) and header[at] != END:
        if header[at] == NOTHING:
            at += 1
            continue
        length = header[at + 1]
        if length < 2:
            return
        if header[at] == MSS and length == 4:
            header[at + 2 : at + 4] = b"\0\0"
        at += length
