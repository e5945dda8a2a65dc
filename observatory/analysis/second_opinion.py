"""Where tshark's view of the same packets differs from ours.

Compared for each segment: whether it is TCP, its time, flags, payload, relative numbers, whether
it is a retransmission; for each connection: that exactly the same segments belong together, and how
complete it is. Both count relative numbers from the ISN, or from the first segment seen where
there was no SYN. What Wireshark calls these things is in its packet-tcp.c; where its words and
ours differ by definition, the definition is stated here and its own is applied to our segments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from observatory.model import Analysis, AttributedSegment, CauseKind, Endpoint, Protocol, Segment
from observatory.model.opinions import Disagreement, SharkRow

SPACE = 1 << 32
IN_ORDER, REPEATED, LATE = "in order", "repeats what was shown before", "shown late"
RETRANSMISSIONS = frozenset({"retransmission", "fast_retransmission", "spurious_retransmission"})
KEEP_ALIVE = "keep_alive"
OUT_OF_PLACE = RETRANSMISSIONS | {"out_of_order"}
"""Wireshark's marks for a segment that begins below what was sent or acknowledged before it.

Which of them it sets is a guess from the time that has passed, because it does not keep which
bytes were shown; we do. So each of them agrees with both REPEATED and LATE: a segment that
fills a gap of the capture is a retransmission to Wireshark if it comes a round trip later.
"""

SYN, SYN_ACK, ACK, DATA, FIN, RST = 1, 2, 4, 8, 16, 32
"""The bits of tcp.completeness."""
PHASES = ("SYN", "SYN-ACK", "ACK", "DATA", "FIN", "RST")


def compare(analysis: Analysis, rows: Sequence[SharkRow]) -> tuple[Disagreement, ...]:
    """Every disagreement, those about the file first, then by segment.

    ``rows`` are of the file that the analyzed trace was read from.
    """
    frames = analysis.trace.frames
    if len(frames) != len(rows):
        # Nothing can be told which row is which packet.
        return (Disagreement(None, "packets in the file", str(len(frames)), str(len(rows))),)
    pairs = list(_pairs(analysis, rows))
    found = [each for one, row in pairs for each in _segment(one, row)]
    found += _order(pairs)
    found += _grouping(pairs)
    found += _completeness(pairs)
    return tuple(sorted(found, key=lambda each: each.segment or 0))


def _pairs(
    analysis: Analysis, rows: Iterable[SharkRow]
) -> Iterator[tuple[AttributedSegment, SharkRow]]:
    """Each TCP segment that either of us sees, with tshark's row of the same frame."""
    by_frame = {id(one.segment.frame): one for one in analysis.segments}
    # A trace is in time order, a file in the order it was written.
    in_time = sorted(rows, key=lambda row: row.time_ns)
    for frame, row in zip(analysis.trace.frames, in_time, strict=True):
        one = by_frame.get(id(frame))
        if one is not None:
            yield one, row


def _segment(one: AttributedSegment, row: SharkRow) -> Iterator[Disagreement]:
    segment = one.segment
    is_tcp = segment.protocol is Protocol.TCP
    if is_tcp != (row.stream is not None):
        yield Disagreement(
            segment.id, "protocol", segment.protocol, "TCP" if row.stream is not None else "not TCP"
        )
        return
    if not is_tcp:
        return
    # Without the ACK flag the acknowledgment number means nothing (RFC 9293 3.1).
    ack = row.relative_ack if "A" in segment.flags else None
    rows = (
        ("time", segment.time_ns, row.time_ns),
        ("flags", segment.flags, row.flags),
        ("payload bytes", segment.length, row.length),
        ("relative sequence number", _wrapped(one.relative_seq), row.relative_seq),
        ("relative acknowledgment number", _wrapped(one.relative_ack), ack),
    )
    # An ACK of before the ISN answers a new SYN for an older connection: whose numbers its own
    # count from, each program decides for itself.
    older = one.relative_ack is not None and one.relative_ack < 0
    for what, ours, theirs in rows:
        if ours != theirs and not (older and what.startswith("relative")):
            yield Disagreement(segment.id, what, str(ours), str(theirs))


class _Space:
    """Which sequence numbers of one direction were shown, counted in ours."""

    def __init__(self) -> None:
        self.lowest: int | None = None
        self.next = 0
        self.gaps: list[tuple[int, int]] = []

    def acknowledged(self, number: int) -> None:
        if self.lowest is not None and number > self.next:
            self.gaps.append((self.next, number))
            self.next = number

    def shown(self, first: int, last: int) -> bool:
        """Enters numbers from ``first`` up to ``last``; whether any of them is new."""
        if self.lowest is None:
            self.lowest, self.next = first, first
        if first == self.next:
            self.next = last
            return True
        filled = [gap for gap in self.gaps if gap[0] < last and first < gap[1]]
        new = bool(filled) or last > self.next or first < self.lowest
        for left, right in filled:
            self.gaps.remove((left, right))
            self.gaps += [part for part in ((left, first), (last, right)) if part[0] < part[1]]
        if first > self.next:
            self.gaps.append((self.next, first))
        if last < self.lowest:
            self.gaps.append((last, self.lowest))
        self.next = max(self.next, last)
        self.lowest = min(self.lowest, first)
        return new


def _order(pairs: Iterable[tuple[AttributedSegment, SharkRow]]) -> Iterator[Disagreement]:
    """Retransmissions, and segments that are otherwise not in their place."""
    spaces: dict[tuple[int | None, Endpoint], _Space] = defaultdict(_Space)
    for one, row in pairs:
        segment = one.segment
        if segment.protocol is not Protocol.TCP or row.stream is None:
            continue
        if one.cause.kind is CauseKind.PATH:
            continue  # Wireshark knows senders only, and takes a copy for sent again
        ours = _place(one, spaces[one.connection, segment.src])
        if one.relative_ack is not None and "R" not in segment.flags:
            spaces[one.connection, segment.dst].acknowledged(one.relative_ack)
        if not _agrees(ours, segment, row.marks):
            marks = row.marks & (OUT_OF_PLACE | {KEEP_ALIVE})
            theirs = ", ".join(sorted(marks)) or IN_ORDER
            yield Disagreement(segment.id, "retransmission", ours, theirs)


def _place(one: AttributedSegment, space: _Space) -> str:
    segment, first = one.segment, one.relative_seq
    size = segment.length + ("S" in segment.flags) + ("F" in segment.flags)
    if first is None or not size or "R" in segment.flags:
        return REPEATED if one.retransmission else IN_ORDER
    begins_below = space.lowest is not None and first < space.next
    new = space.shown(first, first + size)
    if one.retransmission:
        return REPEATED
    return LATE if begins_below and new else IN_ORDER


def _agrees(ours: str, segment: Segment, marks: frozenset[str]) -> bool:
    if ours is IN_ORDER:
        return not marks & OUT_OF_PLACE
    # One byte below the next one to be sent is a keepalive to Wireshark, whether or not that
    # byte was sent before (RFC 1122 4.2.3.6 allows such a probe one garbage byte).
    return bool(marks & OUT_OF_PLACE) or (segment.length <= 1 and KEEP_ALIVE in marks)


def _grouping(pairs: Iterable[tuple[AttributedSegment, SharkRow]]) -> Iterator[Disagreement]:
    """Connections and streams have to be the same sets of segments, whatever their numbers.

    Told once for each way of differing, at the first segment that shows it.
    """
    stream_of: dict[int | None, int | None] = {}
    connection_of: dict[int | None, int | None] = {}
    told = set()
    for one, row in pairs:
        if one.segment.protocol is not Protocol.TCP or row.stream is None:
            continue
        stream = stream_of.setdefault(one.connection, row.stream)
        connection = connection_of.setdefault(row.stream, one.connection)
        difference = (one.connection, row.stream)
        if (stream, connection) != (row.stream, one.connection) and difference not in told:
            told.add(difference)
            yield Disagreement(
                one.segment.id,
                "grouping",
                f"connection {one.connection}, until now tcp.stream {stream}",
                f"tcp.stream {row.stream}, until now connection {connection}",
            )


def _completeness(pairs: Iterable[tuple[AttributedSegment, SharkRow]]) -> Iterator[Disagreement]:
    ours: dict[int | None, int] = defaultdict(int)
    theirs: dict[int | None, int] = {}
    last: dict[int | None, int] = {}
    for one, row in pairs:
        if one.segment.protocol is Protocol.TCP and row.completeness is not None:
            ours[one.connection] |= completeness_bits(one.segment)
            theirs[one.connection] = row.completeness
            last[one.connection] = one.segment.id
    for connection, bits in theirs.items():
        if ours[connection] != bits:
            yield Disagreement(
                last[connection],
                f"completeness of connection {connection}",
                phases(ours[connection]),
                phases(bits),
            )


def completeness_bits(segment: Segment) -> int:
    """What one segment adds to its conversation's completeness, by Wireshark's definition.

    An ACK without payload counts as ACK, one with payload as DATA; the ACK flag of a FIN or an
    RST counts too, so that a refused connection has an ACK in it.
    """
    flags = segment.flags
    bits = FIN if "F" in flags else 0
    bits |= RST if "R" in flags else 0
    if "S" in flags:
        return bits | (SYN_ACK if "A" in flags else SYN)
    if "A" in flags:
        return bits | (DATA if segment.length else ACK)
    return bits


def phases(bits: int) -> str:
    """Completeness bits in words: 7 is ``SYN SYN-ACK ACK``."""
    return " ".join(name for index, name in enumerate(PHASES) if bits & 1 << index)


def _wrapped(number: int | None) -> int | None:
    return None if number is None else number % SPACE
