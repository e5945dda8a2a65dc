"""A TCP connection as the wire shows it: two halves, each a sequence space, and their segments."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from observatory.analysis.arrivals import NEVER
from observatory.model import Endpoint, Segment


class Kind(StrEnum):
    """What a segment is in its conversation: the row of the cause table that speaks of it."""

    RESET = "reset"
    SYN_ACK = "syn-ack"
    REPEATED = "retransmission"
    SYN = "syn"
    FRESH = "data or FIN"
    PROBE = "probe"
    ACK = "ack"
    COPY = "copy"


@dataclass(slots=True, eq=False)
class Half:
    """One direction of a conversation. Offsets are relative to the ISN.

    ``starts``, ``ends`` and ``carriers`` are the first transmissions of payload in sequence
    order: ``carriers[i]`` showed bytes ``starts[i]`` to ``ends[i]`` first. ``delivered`` are the
    first arrivals of payload, where those are known and are others; ``host`` is the lab's host
    that it belongs to.
    """

    sender: Endpoint
    conversation: int
    base: int | None = None
    isn_seen: bool = False
    next: int = 0
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    carriers: list[Sighting] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    syns: list[Sighting] = field(default_factory=list)
    fins: list[Sighting] = field(default_factory=list)
    resets: list[Sighting] = field(default_factory=list)
    fin_at: int | None = None
    socket: int | None = None
    delivered: Spans | None = None
    host: str = ""

    @property
    def payload(self) -> int:
        """Bytes of payload shown so far, holes not counted."""
        return sum(self.ends) - sum(self.starts)

    def carrying(self, first: int, last: int) -> list[Sighting]:
        """The first transmissions that show any byte from ``first`` up to ``last``."""
        return _carrying(self.starts, self.ends, self.carriers, first, last)

    def delivering(self, first: int, last: int) -> list[Sighting]:
        """The segments that brought bytes from ``first`` up to ``last`` to the receiver first."""
        if self.delivered is None:
            return self.carrying(first, last)
        spans = self.delivered
        return _carrying(spans.starts, spans.ends, spans.carriers, first, last)

    @property
    def deliveries(self) -> Iterable[tuple[int, int, Sighting]]:
        """What came first with each stretch of the payload, in sequence order."""
        spans = self.delivered or self
        return zip(spans.starts, spans.ends, spans.carriers, strict=True)


@dataclass(slots=True, eq=False)
class Spans:
    """Stretches of a sequence space in its order, none over another."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    carriers: list[Sighting] = field(default_factory=list)

    def enter(self, first: int, last: int, carrier: Sighting) -> None:
        """Give ``carrier`` what nobody has between ``first`` and ``last``."""
        index = max(bisect_right(self.starts, first) - 1, 0)
        while first < last:
            if index < len(self.starts) and self.ends[index] <= first:
                index += 1
                continue
            until = min(last, self.starts[index]) if index < len(self.starts) else last
            if first < until:
                self.starts.insert(index, first)
                self.ends.insert(index, until)
                self.carriers.insert(index, carrier)
                index += 1
            first = self.ends[index] if index < len(self.starts) else last


def _carrying(
    starts: list[int], ends: list[int], carriers: list[Sighting], first: int, last: int
) -> list[Sighting]:
    index = max(bisect_right(starts, first) - 1, 0)
    found = []
    while index < len(starts) and starts[index] < last:
        if ends[index] > first:
            found.append(carriers[index])
        index += 1
    return found


@dataclass(slots=True, eq=False)
class Sighting:
    """A TCP segment in its conversation. ``seq`` and ``end`` are offsets; ``ack`` is the
    other direction's, None without the flag. ``original`` is the first transmission that this
    one repeats; ``fresh`` says that it shows something new, and where it does both ``parts`` is
    the new payload. ``ends_older`` marks a RST with the number of the connection before, on the
    same ports: that is the one it ends. It left at ``time_ns`` and came at ``arrived_ns``: NEVER if
    it did not, and was lost behind ``lost_after``. ``made_at`` is the host on the path that sent
    it in its sender's place."""

    segment: Segment
    conversation: Conversation
    half: Half
    other: Half
    seq: int
    end: int
    ack: int | None
    fresh: bool
    id: int
    time_ns: int
    original: Sighting | None = None
    out_of_order: bool = False
    kind: Kind = Kind.ACK
    ends_older: bool = False
    parts: tuple[tuple[int, int], ...] = ()
    arrived_ns: int = NEVER
    lost_after: str = ""
    made_at: str = ""

    @property
    def probe(self) -> bool:
        """A keepalive or window probe: it shows nothing and stands one before the next number
        (RFC 9293 3.8.4)."""
        return self.kind is Kind.PROBE


@dataclass(slots=True, eq=False)
class Conversation:
    """One incarnation of a four-tuple, in capture order. ``gaps`` says that bytes were
    acknowledged or skipped that the capture never showed. ``arrivals`` are the segments that
    came, in the order in which they did, where that is known. ``too_big`` are the ICMP messages
    about segments that the path could not take whole, by the half whose they were, and ``errors``
    all other ICMP errors."""

    id: int
    client: Half
    server: Half
    began_with_syn: bool
    sightings: list[Sighting] = field(default_factory=list)
    gaps: bool = False
    listener: int | None = None
    establishing: Sighting | None = None
    arrivals: list[Sighting] | None = None
    too_big: dict[Half, list[Segment]] = field(default_factory=dict)
    errors: dict[Half, list[Segment]] = field(default_factory=dict)

    @property
    def is_self_connected(self) -> bool:
        return self.client is self.server

    def opposite(self, half: Half) -> Half:
        """The other direction; the same one when a socket is connected to itself."""
        return self.server if half is self.client else self.client

    def between(self, first_ns: int, last_ns: int) -> Sequence[Sighting]:
        """The segments of a stretch of time, ends included."""
        begin = bisect_left(self.sightings, first_ns, key=lambda s: s.time_ns)
        end = bisect_right(self.sightings, last_ns, key=lambda s: s.time_ns)
        return self.sightings[begin:end]

    def arriving(self, at: Half, first_ns: int, last_ns: int) -> list[Sighting]:
        """The segments that came to one end in a stretch of time, ends included."""
        came = self.sightings if self.arrivals is None else self.arrivals
        begin = bisect_left(came, first_ns, key=arrived)
        end = bisect_right(came, last_ns, key=arrived)
        return [one for one in came[begin:end] if one.other is at]

    def before(self, time_ns: int) -> Iterator[Sighting]:
        """The segments up to a moment, newest first."""
        end = bisect_right(self.sightings, time_ns, key=lambda s: s.time_ns)
        return (self.sightings[index] for index in range(end - 1, -1, -1))

    @property
    def closes_crossed(self) -> bool:
        """Each end sent its FIN before the other's had come: neither acknowledges the other."""
        if self.is_self_connected or not (self.client.fins and self.server.fins):
            return False
        one, other = self.client.fins[0], self.server.fins[0]
        came = max(one.arrived_ns, other.arrived_ns) < NEVER
        unheard = (one.ack or 0) < other.end and (other.ack or 0) < one.end
        return came and unheard and self.began_with_syn

    @property
    def handshake_done(self) -> bool:
        """Both SYNs were shown and acknowledged."""
        return self.establishing is not None


@dataclass(frozen=True, slots=True)
class Wire:
    """All conversations of a trace, and the sighting of each TCP segment by its id."""

    conversations: tuple[Conversation, ...]
    sightings: dict[int, Sighting]


def arrived(sighting: Sighting) -> int:
    return sighting.arrived_ns
