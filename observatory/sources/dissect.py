"""A segment's frame as scapy sees it, with only the layers that it needs loaded."""

from __future__ import annotations

from typing import Any

from observatory.codec.headers import decode
from observatory.codec.links import LINKS
from observatory.model.segments import Segment

# Tried in this order: the commonest first.
LIKELIEST = (1, 113, 276, 0)


def dissect(segment: Segment) -> Any:
    """The scapy packet of ``segment``, with its capture time in ``packet.time`` (seconds).

    A frame does not say what link layer it has: it is the one under which the frame reads as
    this very segment. Raises ValueError if the segment has no frame, or none that reads so.
    """
    frame = segment.frame
    if frame is None:
        raise ValueError("this segment has no captured frame to dissect")
    for linktype in dict.fromkeys((*LIKELIEST, *LINKS)):
        if decode(frame, linktype, segment.id) == segment:
            packet = _layer(linktype, frame.data)(frame.data)
            packet.time = frame.time_ns / 1e9
            return packet
    raise ValueError("this segment's frame does not read as the segment: was it edited?")


def _layer(linktype: int, data: bytes) -> Any:
    # scapy.all takes 0.9 s; these modules 0.2 s. inet6 binds IPv6 to the link layers.
    from scapy.layers import inet, inet6, l2

    layers = {
        0: l2.Loopback,
        1: l2.Ether,
        108: l2.Loopback,
        113: l2.CookedLinux,
        276: l2.CookedLinuxV2,
    }
    raw = inet6.IPv6 if data[0] >> 4 == 6 else inet.IP
    return layers.get(linktype, raw)
