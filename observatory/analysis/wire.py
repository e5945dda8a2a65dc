"""From segments to conversations: what the wire alone says about each TCP connection.

A conversation is one incarnation of a four-tuple: a SYN with a new ISN begins a new one
(RFC 9293 3.4.1). Each of its two halves is one direction's sequence space, counted from the
ISN (the SYN is 0, the first byte 1), unwrapped past 2**32. A segment is fresh where it shows
bytes of that space for the first time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping

from observatory.analysis.arrivals import NEVER, Arrival, Arrivals
from observatory.analysis.conversations import (
    Conversation,
    Half,
    Kind,
    Sighting,
    Spans,
    Wire,
    arrived,
)
from observatory.model import Endpoint, Protocol, Segment

__all__ = ["Conversation", "Half", "Kind", "Sighting", "Wire", "follow", "unwrap"]

_SPACE = 1 << 32
_HALF_SPACE = 1 << 31
# A SYN-ACK is sent again after a second (TCP_TIMEOUT_INIT); a copy of it comes sooner.
_SYN_ACK_TIMER_NS = 500_000_000
# "Fragmentation needed" (RFC 792, RFC 1191) and "packet too big" (RFC 4443 3.2)
_TOO_BIG = frozenset({(Protocol.ICMP, 3, 4), (Protocol.ICMPV6, 2, 0)})
_SAME = ("flags", "seq", "ack", "length", "window", "urgent", "options")


def unwrap(number: int, base: int, near: int) -> int:
    """The offset of a 32-bit sequence number from ``base`` that lies nearest to ``near``."""
    return ((number - base - near + _HALF_SPACE) % _SPACE) - _HALF_SPACE + near


def follow(
    segments: Iterable[Segment],
    listening: Collection[int] = (),
    arrivals: Arrivals | None = None,
) -> Wire:
    """Sort TCP segments (in capture order) into conversations. Linear in the segments.

    ``listening`` are ports at which calls are known to listen: where no SYN was seen they tell
    the server, and else the lower port is taken for it. ``arrivals`` tells what came, where that
    is known.
    """
    known = arrivals if arrivals is not None and arrivals.are_known else None
    current: dict[tuple[Endpoint, Endpoint], tuple[Conversation, Half, Half]] = {}
    older: dict[tuple[Endpoint, Endpoint], Half] = {}
    conversations: list[Conversation] = []
    sightings: dict[int, Sighting] = {}
    for segment in segments:
        if segment.protocol is not Protocol.TCP:
            _keep_error(segment, current)
            continue
        place = current.get((segment.src, segment.dst))
        if place is None or _begins_anew(segment, place[1], place[2]):
            conversation = _open(segment, len(conversations) + 1, listening)
            conversations.append(conversation)
            client, server = conversation.client, conversation.server
            if place is not None:
                older[(segment.src, segment.dst)] = place[1]
            current[(client.sender, server.sender)] = (conversation, client, server)
            if client is not server:
                current[(server.sender, client.sender)] = (conversation, server, client)
            place = current[(segment.src, segment.dst)]
        arrival = known.of(segment) if known else None
        sighting = sightings[segment.id] = _place(segment, *place, arrival)
        if "R" in segment.flags and segment.ack == 0 and place[1].isn_seen:
            _reset_older(sighting, older.get((segment.src, segment.dst)))
    for conversation in conversations:
        if known:
            _deliver(conversation, known)
        conversation.establishing = _establishing(conversation)
    return Wire(tuple(conversations), sightings)


def _keep_error(
    message: Segment, current: Mapping[tuple[Endpoint, Endpoint], tuple[Conversation, Half, Half]]
) -> None:
    """An ICMP error belongs to the conversation of the segment that it quotes; that one was too
    big for the path is no error to its connection, but a wish."""
    icmp = message.icmp
    if icmp is None or icmp.quoted_src is None or icmp.quoted_dst is None:
        return
    place = current.get((icmp.quoted_src, icmp.quoted_dst))
    if place is None:
        return
    too_big = (message.protocol, icmp.type, icmp.code) in _TOO_BIG
    kept = place[0].too_big if too_big else place[0].errors
    kept.setdefault(place[1], []).append(message)


def _reset_older(reset: Sighting, older: Half | None) -> None:
    """A SYN whose ports an older connection still has at the other end is answered by that one's
    ACK, and this by a RST with the number that the ACK asks for: it ends the older connection
    (RFC 9293 3.5.1, half-open discovery)."""
    if older is None or older.base is None or reset.seq == reset.half.next:
        return
    if reset.segment.seq == (older.base + older.next) % _SPACE:
        reset.ends_older = True
        older.resets.append(reset)


def _establishing(conversation: Conversation) -> Sighting | None:
    """The segment that completed the passive side's handshake: the client's first ACK after the
    last SYN-ACK (an ACK that the server ignored is followed by another SYN-ACK)."""
    answers = conversation.server.syns
    if not answers or conversation.is_self_connected:
        return None
    came = conversation.sightings if conversation.arrivals is None else conversation.arrivals
    asked = (answers[-1].time_ns, answers[-1].id)
    for sighting in came:
        if sighting.half is not conversation.client:
            continue
        if (sighting.arrived_ns, sighting.id) <= asked:
            continue
        if (sighting.ack or 0) >= 1 and "R" not in sighting.segment.flags:
            return sighting
    return None


def _deliver(conversation: Conversation, known: Arrivals) -> None:
    """Order the segments as they came, and find what brought each byte first."""
    came = [one for one in conversation.sightings if one.arrived_ns < NEVER]
    conversation.arrivals = sorted(came, key=arrived)
    for half in (conversation.client, conversation.server):
        half.delivered = Spans()
        half.host = known.host_of(half.sender.address)
    ignored = _ignored_until(conversation)
    for one in conversation.arrivals:
        if one.half is conversation.client and one.arrived_ns < ignored:
            continue
        if one.segment.length and one.half.delivered is not None:
            first = one.seq + ("S" in one.segment.flags)
            one.half.delivered.enter(first, first + one.segment.length, one)


def _ignored_until(conversation: Conversation) -> int:
    """Until when a listener took no data: what had come when its timer sent the SYN-ACK again
    found an accept queue without room, and was dropped (tcp_check_req). Not with Fast Open."""
    answers = conversation.server.syns
    if conversation.is_self_connected or not answers or (answers[0].ack or 0) != 1:
        return 0
    waited = answers[-1].time_ns - answers[0].time_ns
    return answers[-1].time_ns if waited >= _SYN_ACK_TIMER_NS else 0


def _begins_anew(segment: Segment, half: Half, other: Half) -> bool:
    """A SYN whose number is not this direction's ISN opens a new incarnation."""
    if "S" not in segment.flags:
        return False
    if half.isn_seen:
        return half.base != segment.seq
    if not other.isn_seen:
        return True
    # The first SYN of this direction: the answer to the other's, the other half of a
    # simultaneous open, or a stranger to old traffic.
    if "A" in segment.flags:
        # A Fast Open answer covers the SYN's data as well (RFC 7413 4.2.2).
        return not 1 <= (segment.ack - (other.base or 0)) % _SPACE <= max(other.next, 1)
    return half.base is not None


def _open(segment: Segment, number: int, listening: Collection[int]) -> Conversation:
    flags = segment.flags
    client, server = segment.src, segment.dst
    is_answer = "S" in flags and "A" in flags
    # A known listener is the server; the lower port where neither end, or each, is one.
    ranks = [(one.port not in listening, one.port) for one in (client, server)]
    if is_answer or ("S" not in flags and ranks[0] < ranks[1]):
        client, server = server, client
    client_half = Half(client, number)
    server_half = client_half if client == server else Half(server, number)
    return Conversation(number, client_half, server_half, "S" in flags)


def _place(
    segment: Segment,
    conversation: Conversation,
    half: Half,
    other: Half,
    arrival: Arrival | None = None,
) -> Sighting:
    """Enter one segment into its conversation and both sequence spaces."""
    flags, length = segment.flags, segment.length
    syn, fin, rst = "S" in flags, "F" in flags, "R" in flags
    if syn and not half.isn_seen:
        half.base, half.isn_seen, half.next = segment.seq, True, 0
    elif half.base is None:
        # No SYN was seen: count as if the byte before this segment had been the SYN.
        half.base, half.next = (segment.seq - 1) % _SPACE, 1
    seq = unwrap(segment.seq, half.base or 0, half.next)
    ack = _acknowledged(segment, other, conversation)
    end = seq + length + syn + fin
    sighting = Sighting(
        segment, conversation, half, other, seq, end, ack, False, segment.id, segment.time_ns
    )
    sighting.arrived_ns = segment.time_ns
    conversation.sightings.append(sighting)
    if arrival is not None:
        sighting.arrived_ns = arrival.at_ns
        sighting.lost_after, sighting.made_at = arrival.lost_after, arrival.made_at
        if arrival.made_at and _is_copy(sighting):
            return sighting
    if rst:
        half.resets.append(sighting)
        sighting.fresh, sighting.kind = True, Kind.RESET
        return sighting
    if syn:
        _repeatable(sighting, half.syns)
        half.next = max(half.next, seq + 1)
    if fin:
        _repeatable(sighting, half.fins)
        half.fin_at = end - 1
    if length:
        _show(sighting, seq + syn, seq + syn + length)
    elif seq > half.next:
        _skip(sighting, seq)
    if end > seq or seq < half.next:
        sighting.kind = _kind(sighting, syn, fin)
    if end > half.next:
        half.next = end
    return sighting


def _is_copy(copy: Sighting) -> bool:
    """Whether a segment that its sender did not send is one that it did: the path sent it twice,
    or cut it in parts, of which this is one."""
    for one in reversed(copy.conversation.sightings[:-1]):
        if one.half is not copy.half or one.made_at:
            continue
        part = copy.end > copy.seq and one.seq <= copy.seq and copy.end <= one.end
        if part and one.lost_after:
            one.arrived_ns, one.lost_after = copy.arrived_ns, ""
        elif not _is_like(one.segment, copy.segment):
            continue
        copy.kind, copy.original = Kind.COPY, one
        return True
    return False


def _is_like(one: Segment, other: Segment) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _SAME)


def _kind(sighting: Sighting, syn: bool, fin: bool) -> Kind:
    """The kind of a segment that is no RST; its half's next number is still the one before it."""
    if syn and sighting.ack is not None:
        return Kind.SYN_ACK
    nothing_new = not (syn or fin or sighting.fresh) and sighting.segment.length <= 1
    if nothing_new and sighting.seq == sighting.half.next - 1:
        return Kind.PROBE
    if sighting.original is not None and not sighting.fresh:
        return Kind.REPEATED
    if syn:
        return Kind.SYN
    return Kind.FRESH if sighting.fresh else Kind.ACK


def _acknowledged(segment: Segment, other: Half, conversation: Conversation) -> int | None:
    if "A" not in segment.flags:
        return None
    if other.base is None:
        other.base, other.next = (segment.ack - 1) % _SPACE, 1
    ack = unwrap(segment.ack, other.base, other.next)
    if ack > other.next and "R" not in segment.flags:
        conversation.gaps = True
        other.holes.append((other.next, ack))
        other.next = ack
    return ack


def _repeatable(sighting: Sighting, earlier: list[Sighting]) -> None:
    """SYN and FIN stand at one place of the sequence space: any further one is a repetition."""
    if earlier:
        sighting.original = earlier[0]
    else:
        sighting.fresh = True
    earlier.append(sighting)


def _skip(sighting: Sighting, to: int) -> None:
    """Bytes before this segment were not shown: they are missing, or come later."""
    half = sighting.half
    half.holes.append((half.next, to))
    sighting.conversation.gaps = True


def _show(sighting: Sighting, first: int, last: int) -> None:
    """Enter payload from ``first`` up to ``last`` into its half: what is new of it is shown by
    this segment, for the rest it is a repetition."""
    half = sighting.half
    if first >= half.next:
        if first > half.next:
            _skip(sighting, first)
        _insert(sighting, len(half.starts), first, last)
        return
    parts = _fill(sighting, first, last) if half.holes else []
    if not half.isn_seen and (not half.starts or first < half.starts[0]):
        # From before the capture began, or its end: shown first here all the same.
        parts.append((first, min([last, *half.starts[:1]])))
    if last > half.next:
        parts.append((half.next, last))
    if sum(end - start for start, end in parts) < last - first and half.carriers:
        sighting.original = half.carriers[max(bisect_right(half.starts, first) - 1, 0)]
        sighting.parts = tuple(parts)
    for start, end in parts:
        _insert(sighting, bisect_right(half.starts, start), start, end)


def _fill(sighting: Sighting, first: int, last: int) -> list[tuple[int, int]]:
    """The bytes that were skipped or acknowledged before they are shown here."""
    half = sighting.half
    filled: list[tuple[int, int]] = []
    left: list[tuple[int, int]] = []
    for start, end in half.holes:
        low, high = max(first, start), min(last, end)
        if low >= high:
            left.append((start, end))
            continue
        filled.append((low, high))
        left += [part for part in ((start, low), (high, end)) if part[0] < part[1]]
    if filled:
        half.holes[:] = left
        sighting.conversation.gaps = bool(left or sighting.other.holes)
        sighting.out_of_order = True
    return filled


def _insert(sighting: Sighting, index: int, first: int, last: int) -> None:
    half = sighting.half
    half.starts.insert(index, first)
    half.ends.insert(index, last)
    half.carriers.insert(index, sighting)
    sighting.fresh = True
