"""Datagrams on their way, and who sent and got them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from observatory.analysis.arrivals import NEVER, Arrival
from observatory.model import Cause, CauseKind, Confidence, Segment


@dataclass(slots=True)
class Mail:
    """``received`` maps a receive to the datagrams it returned, ``sender``/``receiver`` a
    datagram to sockets, ``quotes`` an ICMP error to the segment it quotes, ``errors`` a socket
    to the ICMP errors about its own datagrams in time order."""

    received: dict[int, list[int]] = field(default_factory=dict)
    sender: dict[int, int] = field(default_factory=dict)
    receiver: dict[int, int] = field(default_factory=dict)
    quotes: dict[int, int] = field(default_factory=dict)
    errors: dict[int, list[Segment]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram and what became of it on its way."""

    segment: Segment
    arrival: Arrival

    @property
    def came_ns(self) -> int:
        """When it came to its receiver's host; NEVER if it was lost."""
        return self.arrival.at_ns


def duplicated(datagram: Datagram, before: Sequence[Datagram], mail: Mail) -> Cause | None:
    """The cause of a copy that the path made of a datagram before, of several that are alike the
    latest that came; None if it is none."""
    host, segment = datagram.arrival.made_at, datagram.segment
    if not host:
        return None
    ends = (segment.src, segment.dst, segment.length)
    for one in sorted(before, key=lambda each: (each.came_ns == NEVER, -each.segment.id)):
        other = one.segment
        if not one.arrival.made_at and (other.src, other.dst, other.length) == ends:
            if other.id in mail.sender:
                mail.sender[segment.id] = mail.sender[other.id]
            what = f"duplicated on the path, seen first at {host}"
            return Cause(CauseKind.PATH, what, Confidence.LIKELY, segment=other.id)
    return None
