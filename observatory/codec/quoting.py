"""Which packet an ICMP error quotes, told by the quoted bytes.

A SYN that was sent again has the ports and the number of the first. But the quoted IP header has
its packet's own identification (IPv4) or flow label (IPv6, new after a timeout), and so tells
which of them it was, where these differ. A packet draws one error at most, for it goes no further:
one that was quoted before is not meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from struct import Struct, error

from observatory.codec.headers import behind_extensions
from observatory.codec.links import LINKS
from observatory.model.segments import Segment
from observatory.model.trace import Interface

Name = tuple[bytes, bytes]
"""What a packet and its quotation have in common: of the IP header, and of the transport's."""

UDP = 17
QUOTED_BYTES = 8  # as many of the transport are in every quotation (RFC 792)
UDP_BYTES = 6  # without the checksum, which may be filled in only on the way
_ipv6_next = Struct("!6xB").unpack_from


def with_quotes(
    segments: Sequence[Segment], interfaces: Sequence[Interface]
) -> tuple[Segment, ...]:
    """The segments, each ICMP error with the id of the one it quotes, where just one that was
    sent before has the bytes that it quotes."""
    if not any(_quotes(segment) for segment in segments):
        return tuple(segments)
    linktypes = [interface.linktype for interface in interfaces]
    sent: dict[Name, list[int]] = defaultdict(list)
    named = []
    for segment in segments:
        frame = segment.frame
        if frame is None:
            named.append(segment)
            continue
        start, _ = LINKS[linktypes[segment.interface]](frame.data)
        if segment.icmp is not None and _quotes(segment):
            name = _name(frame.data, _quotation(frame.data, start))
            found = sent.get(name, []) if name else []
            told = found.pop() if len(found) == 1 else None
            named.append(replace(segment, icmp=replace(segment.icmp, quoted=told)))
            continue
        name = _name(frame.data, start)
        if name is not None:
            sent[name].append(segment.id)
        named.append(segment)
    return tuple(named)


def _quotes(segment: Segment) -> bool:
    return segment.icmp is not None and segment.icmp.quoted_src is not None


def _quotation(data: bytes, start: int) -> int:
    """Where the quoted IP header begins: behind the outer headers and eight bytes of ICMP's."""
    if data[start] >> 4 == 4:
        return start + (data[start] & 15) * 4 + 8
    _, offset, _ = behind_extensions(data, start + 40, _ipv6_next(data, start)[0])
    return offset + 8


def _name(data: bytes, start: int) -> Name | None:
    try:
        if data[start] >> 4 == 4:
            transport = start + (data[start] & 15) * 4
            protocol = data[start + 9]
            own = data[start + 4 : start + 6] + data[start + 9 : start + 10]
            own += data[start + 12 : start + 20]
        else:
            following = _ipv6_next(data, start)[0]
            protocol, transport, _ = behind_extensions(data, start + 40, following)
            label = int.from_bytes(data[start : start + 4], "big") & 0xFFFFF
            own = label.to_bytes(3, "big") + data[start + 8 : start + 40]
    except (error, IndexError):
        return None
    size = UDP_BYTES if protocol == UDP else QUOTED_BYTES
    return own, data[transport : transport + size]
