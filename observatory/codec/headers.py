"""Packet headers: the bytes of a captured frame become a validated :class:`Segment`, once.

IPv4 (RFC 791), IPv6 with extension headers (RFC 8200), TCP (RFC 9293), UDP (RFC 768), ICMP
(RFC 792), ICMPv6 (RFC 4443), behind the link layers of ``codec.links``.

Nothing here raises on hostile bytes. What is no segment is a :class:`Skipped`, which says why, so
that a reader can count what it could not see. Lengths come from the IP header, as the bytes that
were captured may be fewer (snapshot length) or more (Ethernet padding) than the packet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from socket import AF_INET6, inet_ntop  # text of an address only: nothing is opened
from struct import Struct, error

from observatory.codec.links import ETHERTYPE_IPV4, ETHERTYPE_IPV6, LINKS
from observatory.codec.options import parse_options
from observatory.model.addresses import Endpoint
from observatory.model.quick import quick
from observatory.model.segments import NO_OPTIONS, Frame, Icmp, Protocol, Segment
from observatory.model.trace import Interface


class Skipped(StrEnum):
    """Why a frame is no segment."""

    OTHER = "neither TCP, UDP nor ICMP"
    FRAGMENT = "a later fragment of a TCP segment"
    TRUNCATED = "captured too short for its headers"
    MALFORMED = "a header contradicts itself"
    LINKTYPE = "a link layer that is not read"


# Extension headers to step over (RFC 8200 4; IANA "IPv6 Extension Header Types"), with the unit
# and the base of their length field: (length + base) * unit bytes.
EXTENSION_HEADERS = {
    0: (8, 1),  # hop-by-hop options
    43: (8, 1),  # routing
    51: (4, 2),  # authentication (RFC 4302)
    60: (8, 1),  # destination options
    135: (8, 1),  # mobility
    139: (8, 1),  # host identity
    140: (8, 1),  # shim6
}
FRAGMENT_HEADER = 44

ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
ICMPV6_ERRORS = frozenset({1, 2, 3, 4})
# What keeps a link going, as ARP and IGMP do for IPv4, and is nobody's segment: multicast listeners
# (RFC 2710, RFC 3810), neighbour discovery (RFC 4861).
ICMPV6_ON_LINK = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})

quick_segment = quick(Segment)
TCP = Protocol.TCP  # looking a member up in its enumeration takes longer than unpacking a header

FLAG_LETTERS = dict(zip((0x02, 0x01, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80), "SFRPAUEC", strict=True))
FLAGS = tuple(
    "".join(letter for bit, letter in FLAG_LETTERS.items() if value & bit) for value in range(256)
)

_short = Struct("!H").unpack_from
_ports = Struct("!HH").unpack
_ipv4_fixed = Struct("!BxHxxHxB").unpack_from
_ipv6_fixed = Struct("!4xHB").unpack_from
_tcp_fixed = Struct("!IIBBHxxH").unpack_from
_udp_length = Struct("!4xH").unpack_from
_sequence = Struct("!4xI").unpack_from


def decode(frame: Frame, linktype: int, id: int) -> Segment | None:  # noqa: A002
    """The segment in ``frame``, numbered ``id``; None if it holds none that can be read."""
    found = examine(frame, linktype, id)
    return found if found.__class__ is Segment else None


def decode_all(
    frames: Iterable[Frame], interfaces: Sequence[Interface]
) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The segments of ``frames``, numbered from 1 in their order, and sentences about the frames
    that should have been segments and could not be read."""
    linktypes = [interface.linktype for interface in interfaces]
    segments: list[Segment] = []
    skipped: Counter[tuple[Skipped, int]] = Counter()
    add = segments.append
    number = 1
    for frame in frames:
        found = examine(frame, linktypes[frame.interface], number)
        if isinstance(found, Segment):
            add(found)
            number += 1
        else:
            skipped[found, frame.interface] += 1
    return tuple(segments), tuple(_sentences(skipped, interfaces))


def examine(frame: Frame, linktype: int, number: int) -> Segment | Skipped:
    """The segment in ``frame``, or why there is none."""
    data = frame.data
    try:
        link = LINKS.get(linktype)
        if link is None:
            return Skipped.LINKTYPE
        start, ethertype = link(data)
        if ethertype == ETHERTYPE_IPV4:
            return _ipv4(frame, data, start, number)
        if ethertype == ETHERTYPE_IPV6:
            return _ipv6(frame, data, start, number)
    except (error, IndexError):
        # A field lies beyond the captured bytes. Was it on the wire and left out by the capture?
        return Skipped.TRUNCATED if frame.original_length > len(data) else Skipped.MALFORMED
    return Skipped.OTHER


# --- the internet layer --------------------------------------------------------------------------


def _ipv4(frame: Frame, data: bytes, start: int, number: int) -> Segment | Skipped:
    first, total, fragment, protocol = _ipv4_fixed(data, start)
    header = (first & 15) * 4
    on_wire = frame.original_length - start
    # 0: a large segment that was never cut for the wire (GSO over 64 KiB).
    length = total if 0 < total < on_wire else on_wire
    if first >> 4 != 4 or header < 20 or header > length:
        return Skipped.MALFORMED
    transport = TRANSPORTS.get(protocol)
    if transport is None or protocol == 58:
        return Skipped.OTHER
    if fragment & 0x1FFF:
        return Skipped.FRAGMENT if protocol == 6 else Skipped.OTHER
    addresses = data[start + 12 : start + 20]
    return transport(frame, data, start + header, start + length, addresses, number)


def _ipv6(frame: Frame, data: bytes, start: int, number: int) -> Segment | Skipped:
    payload, protocol = _ipv6_fixed(data, start)
    if data[start] >> 4 != 6:
        return Skipped.MALFORMED
    on_wire = frame.original_length - start
    # 0: a jumbogram (RFC 2675) or a large segment that was never cut for the wire (BIG TCP).
    length = payload + 40 if 0 < payload < on_wire - 40 else on_wire
    protocol, offset, later_fragment = behind_extensions(data, start + 40, protocol)
    transport = TRANSPORTS.get(protocol)
    if transport is None or protocol == 1:
        return Skipped.OTHER
    if later_fragment:
        return Skipped.FRAGMENT if protocol == 6 else Skipped.OTHER
    addresses = data[start + 8 : start + 40]
    return transport(frame, data, offset, start + length, addresses, number)


def behind_extensions(data: bytes, offset: int, protocol: int) -> tuple[int, int, bool]:
    """The transport protocol, where it starts, and whether this is not the first fragment."""
    while True:
        if protocol == FRAGMENT_HEADER:
            if _short(data, offset + 2)[0] & 0xFFF8:
                return data[offset], offset + 8, True
            protocol, offset = data[offset], offset + 8
        elif protocol in EXTENSION_HEADERS:
            unit, base = EXTENSION_HEADERS[protocol]
            protocol, offset = data[offset], offset + (data[offset + 1] + base) * unit
        else:
            return protocol, offset, False


# --- transports: data[start:end] is the transport header and payload as it was on the wire -------


@lru_cache(maxsize=65536)
def _endpoints(addresses: bytes, ports: bytes) -> tuple[Endpoint, Endpoint]:
    source, destination = _ports(ports)
    half = len(addresses) // 2
    return (
        Endpoint(_address(addresses[:half]), source),
        Endpoint(_address(addresses[half:]), destination),
    )


def _address(packed: bytes) -> str:
    return "{}.{}.{}.{}".format(*packed) if len(packed) == 4 else inet_ntop(AF_INET6, packed)


def _tcp(
    frame: Frame, data: bytes, start: int, end: int, addresses: bytes, number: int
) -> Segment | Skipped:
    seq, ack, offset, flags, window, urgent = _tcp_fixed(data, start + 4)
    header = (offset >> 4) * 4
    if header < 20 or start + header > end:
        return Skipped.MALFORMED
    src, dst = _endpoints(addresses, data[start : start + 4])
    return quick_segment(
        number,
        frame.time_ns,
        frame.interface,
        TCP,
        src,
        dst,
        end - start - header,
        FLAGS[flags],
        seq,
        ack,
        window,
        urgent,
        parse_options(data[start + 20 : start + header]) if header > 20 else NO_OPTIONS,
        None,
        frame,
    )


def _udp(
    frame: Frame, data: bytes, start: int, end: int, addresses: bytes, number: int
) -> Segment | Skipped:
    length = _udp_length(data, start)[0]
    if end - start < 8 or 0 < length < 8:
        return Skipped.MALFORMED
    src, dst = _endpoints(addresses, data[start : start + 4])
    # The datagram's own length, also where only its first fragment is here; 0 is a jumbogram.
    payload = (length or end - start) - 8
    return quick_segment(
        number, frame.time_ns, frame.interface, Protocol.UDP, src, dst, payload, frame=frame
    )


def _icmp(
    frame: Frame, data: bytes, start: int, end: int, addresses: bytes, number: int
) -> Segment | Skipped:
    version4 = len(addresses) == 8
    protocol, errors = (
        (Protocol.ICMP, ICMP_ERRORS) if version4 else (Protocol.ICMPV6, ICMPV6_ERRORS)
    )
    kind, code = data[start], data[start + 1]
    if end - start < 4:
        return Skipped.MALFORMED
    if not version4 and kind in ICMPV6_ON_LINK:
        return Skipped.OTHER
    message = Icmp(kind, code)
    if kind in errors:
        message = _quoting(kind, code, data, start + 8, version4)
    src, dst = _endpoints(addresses, b"\0\0\0\0")
    return Segment(
        number,
        frame.time_ns,
        frame.interface,
        protocol,
        src,
        dst,
        max(end - start - 8, 0),
        icmp=message,
        frame=frame,
    )


def _quoting(kind: int, code: int, data: bytes, start: int, version4: bool) -> Icmp:
    """An ICMP error with what can be read of the packet that it quotes (RFC 792: at least the IP
    header and eight bytes, which are TCP's ports and sequence number)."""
    try:
        if version4:
            first, _, fragment, protocol = _ipv4_fixed(data, start)
            offset = start + (first & 15) * 4
            addresses = data[start + 12 : start + 20]
            unreadable = first >> 4 != 4 or first & 15 < 5 or bool(fragment & 0x1FFF)
        else:
            _, protocol = _ipv6_fixed(data, start)
            protocol, offset, unreadable = behind_extensions(data, start + 40, protocol)
            addresses = data[start + 8 : start + 40]
            unreadable = unreadable or data[start] >> 4 != 6
        if unreadable or protocol not in QUOTED:
            return Icmp(kind, code)
        ports = data[offset : offset + 4] if protocol in (6, 17) else b"\0\0\0\0"
        src, dst = _endpoints(addresses, ports)
        seq = _sequence(data, offset)[0] if protocol == 6 else None
        return Icmp(kind, code, QUOTED[protocol], src, dst, seq)
    except (error, IndexError, ValueError):
        return Icmp(kind, code)


QUOTED = {6: Protocol.TCP, 17: Protocol.UDP, 1: Protocol.ICMP, 58: Protocol.ICMPV6}

Transport = Callable[[Frame, bytes, int, int, bytes, int], Segment | Skipped]
TRANSPORTS: dict[int, Transport] = {6: _tcp, 17: _udp, 1: _icmp, 58: _icmp}


# --- what could not be read, in words ------------------------------------------------------------

SENTENCES = {
    Skipped.TRUNCATED: "{count} on {name} captured too short for the headers: "
    "capture with a larger snapshot length (tcpdump -s 0)",
    Skipped.MALFORMED: "{count} on {name} with headers that contradict themselves",
    Skipped.FRAGMENT: "{count} on {name} are later fragments of TCP segments and are not read",
    Skipped.LINKTYPE: "{count} on {name} have link type {linktype}, which is not read",
}


def _sentences(
    skipped: Counter[tuple[Skipped, int]], interfaces: Sequence[Interface]
) -> Iterable[str]:
    for (why, index), count in sorted(skipped.items()):
        if why in SENTENCES:
            interface = interfaces[index]
            yield SENTENCES[why].format(
                count=f"{count} packet{'' if count == 1 else 's'}",
                name=interface.name or f"interface {index}",
                linktype=interface.linktype,
            )
