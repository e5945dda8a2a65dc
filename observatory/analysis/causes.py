"""What put each TCP segment on the wire: a call, a reply, a timer, or nothing we can show.

``ROWS`` has a row for each kind of segment. Matching is by sequence space and by descriptor
lifetimes; time decides only where a row says so, and then the confidence is no more than
``likely``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from observatory.analysis.acks import acknowledge, near, overtaken
from observatory.analysis.callsets import ends_sending
from observatory.analysis.lost import why_sent_again
from observatory.analysis.narrowed import asked_for_smaller
from observatory.analysis.on_path import copied, forged_reset
from observatory.analysis.resets import cause_of_reset
from observatory.analysis.scene import (
    AT_ONCE_NS,
    BURST_NS,
    Scene,
    Side,
    by_call,
    reply_to,
    unknown,
    unrecorded,
)
from observatory.analysis.wire import Conversation, Kind, Sighting
from observatory.model import Call, Cause, CauseKind, Confidence, Segment

# A send hands its segments to the device before it returns; later than this it was held back.
HELD_BACK_NS = 200_000

# Linux TCP_RTO_MIN is 200 ms; the capture's stamps are a little off.
_LEAST_TIMEOUT_NS = 190_000_000
_SOON_NS = 5_000_000

# Three duplicate ACKs ask for a segment again (RFC 5681 3.2).
_FAST_RETRANSMIT = 3
SAID_MISSING = "sent again: duplicate ACKs say it is missing"


@dataclass(frozen=True, slots=True)
class Row:
    """What puts segments of one kind on the wire, and where that is specified."""

    cause: Callable[[Scene, Sighting], Cause]
    reference: str


def attribute(scene: Scene) -> None:
    """Find the cause of every segment of the scene's conversation, in capture order."""
    conversation, causes = scene.conversation, scene.findings.causes
    scene.sides = {half: Side() for half in (conversation.client, conversation.server)}
    known = conversation.arrivals is not None
    under_way = deque(conversation.arrivals or ())
    for sighting in conversation.sightings:
        while under_way and under_way[0].arrived_ns <= sighting.time_ns:
            scene.came(under_way.popleft())
        # Segments of raw sockets have their cause already.
        if sighting.id not in causes:
            causes[sighting.id] = ROWS[sighting.kind].cause(scene, sighting)
        scene.left(sighting)
        if not known:  # one place sees the wire: it is taken to come at once
            scene.came(sighting)


def _open(scene: Scene, sighting: Sighting) -> Cause:
    call = scene.matching.opened_by.get(sighting.id)
    if call is not None:
        scene.findings.sent.setdefault(call.id, []).append(sighting.id)
        size = sighting.segment.length
        what = f"SYN with {size} bytes of data, Fast Open" if size else "SYN, active open"
        return by_call(call, what, scene.confidence(sighting.half))
    return unrecorded(scene, sighting.half, "SYN, active open")


def _accepting(scene: Scene, sighting: Sighting) -> Cause:
    """SYN-ACK: the kernel answers a SYN, or its timer repeats the answer."""
    side = scene.side(sighting.half)
    syn = side.asked
    first = next(s for s in sighting.half.syns if s.kind is Kind.SYN_ACK) is sighting
    if syn is not None:
        # What came after the SYN may have overtaken the answer to it.
        sure = first or syn is side.arrival
        again = "" if first else " again"
        confidence = scene.by_order() if sure else Confidence.LIKELY
        return reply_to(syn, f"SYN-ACK{again}, passive open", confidence)
    if sighting.original is None:
        return reply_to(None, "SYN-ACK, passive open (its SYN was not seen)", Confidence.LIKELY)
    last_ack = scene.conversation.establishing
    acked = last_ack is not None and last_ack.id < sighting.id
    unheard = "the handshake's last ACK did not count" if acked else "no answer yet"
    why = why_sent_again(sighting) or unheard
    return Cause(
        CauseKind.TIMER,
        f"SYN-ACK sent again: {why}",
        scene.by_order(),
        segment=sighting.original.id,
    )


def _again(scene: Scene, sighting: Sighting) -> Cause:
    """A retransmission goes back to the call that put the bytes, SYN or FIN there first."""
    original = sighting.original
    assert original is not None
    first = scene.findings.causes.get(original.id)
    owners = _owners(scene, sighting)
    for call in owners:
        scene.findings.retransmitted.setdefault(call.id, []).append(sighting.id)
    call_id = first.call if first and first.kind is not CauseKind.REPLY else None
    call_id = owners[0].id if owners else call_id
    kind, reason = _why_again(scene, sighting)
    why = why_sent_again(sighting)
    reason = f"{reason} ({why})" if why else reason
    sure = Confidence.LIKELY if _neither_at_once_nor_late(scene, sighting) else scene.by_order()
    if call_id is not None and scene.confidence(sighting.half) is not Confidence.CERTAIN:
        sure = Confidence.LIKELY
    return Cause(kind, reason, sure, call=call_id, segment=original.id)


def _why_again(scene: Scene, sighting: Sighting) -> tuple[CauseKind, str]:
    side = scene.side(sighting.half)
    if "S" in sighting.segment.flags:
        error = _survived(sighting)
        why = f"ICMP #{error.id} had not ended the attempt" if error else "no answer yet"
        return CauseKind.TIMER, f"SYN sent again: {why}"
    arrival = side.arrival
    latest = side.last is None or side.heard
    asks = arrival is not None and latest and arrival.ack == sighting.seq
    prompt = asks and arrival is not None and _is_prompt(scene.conversation, arrival, sighting)
    sacked = asks and arrival is not None and bool(arrival.segment.options.sack)
    reordered = prompt and sacked and _neither_at_once_nor_late(scene, sighting)
    if prompt and not reordered and (sacked or side.duplicate_acks >= _FAST_RETRANSMIT):
        return CauseKind.REPLY, SAID_MISSING
    if reordered or (sacked and _waits_for_late(scene.conversation, arrival, sighting)):
        return CauseKind.TIMER, f"{SAID_MISSING}, and it did not come late"
    if prompt and side.last is not None and side.last.kind is Kind.REPEATED:
        return CauseKind.REPLY, "sent again: the ACK of what was sent again shows more missing"
    if scene.side(sighting.other).window == 0:
        return CauseKind.TIMER, "sent again as a window probe"
    if (message := asked_for_smaller(sighting, _patience(scene.conversation))) is not None:
        return CauseKind.REPLY, f"sent again in smaller segments, as ICMP #{message.id} asks"
    what = "FIN" if "F" in sighting.segment.flags and not sighting.segment.length else "data"
    return CauseKind.TIMER, f"{what} sent again: not acknowledged in time"


def _survived(again: Sighting) -> Segment | None:
    """The latest ICMP error about this end's SYNs that had come when it sent one again."""
    for message in reversed(again.conversation.errors.get(again.half, ())):
        came_ns = message.sightings[-1].time_ns if message.sightings else message.time_ns
        if came_ns < again.time_ns:
            return message
    return None


def _is_prompt(conversation: Conversation, arrival: Sighting, again: Sighting) -> bool:
    """An ACK asks at once; what is sent again a timeout later (Linux waits 200 ms at least), or on
    a path without delay some milliseconds later, was not asked for by it."""
    return again.time_ns - arrival.arrived_ns < _patience(conversation)


def _neither_at_once_nor_late(scene: Scene, again: Sighting) -> bool:
    """Some milliseconds after the ACK that shows it to be missing: a kernel that was busy, or its
    timer for what may only have been overtaken (Linux tcp_rack_reo_timeout, 2 ticks at least)."""
    arrival = scene.side(again.half).arrival
    if arrival is None or arrival.ack != again.seq or not near(scene.conversation):
        return False
    return AT_ONCE_NS <= again.time_ns - arrival.arrived_ns < _SOON_NS


def _waits_for_late(conversation: Conversation, arrival: Sighting | None, again: Sighting) -> bool:
    """What SACK shows to be missing may only have been overtaken: RACK waits for it a part of a
    round trip, no timeout (RFC 8985 6.2)."""
    if arrival is None or conversation.arrivals is None:
        return False
    return again.time_ns - arrival.arrived_ns < _LEAST_TIMEOUT_NS


def _patience(conversation: Conversation) -> int:
    """How long an answer may take that comes at once."""
    return _SOON_NS if near(conversation) else _LEAST_TIMEOUT_NS


def _owners(scene: Scene, sighting: Sighting) -> list[Call]:
    """The calls whose SYN, bytes or FIN a segment carries."""
    segment = sighting.segment
    owners: list[Call] = []
    if "S" in segment.flags:
        opener = scene.matching.opened_by.get(sighting.half.syns[0].id)
        owners += [opener] if opener else []
    if segment.length:
        first = sighting.seq + ("S" in segment.flags)
        owners += scene.streams[sighting.half].senders(first, first + segment.length)
    return owners + _closer(scene, sighting)


def _new_owners(scene: Scene, sighting: Sighting) -> list[Call]:
    """Those whose bytes or FIN it carries for the first time, where it repeats others."""
    stream = scene.streams[sighting.half]
    owners = {call.id: call for part in sighting.parts for call in stream.senders(*part)}
    fin_is_new = "F" in sighting.segment.flags and sighting.half.fins[0] is sighting
    return [*owners.values(), *(_closer(scene, sighting) if fin_is_new else ())]


def _closer(scene: Scene, sighting: Sighting) -> list[Call]:
    owners: list[Call] = []
    if "F" in sighting.segment.flags:
        life = scene.life(sighting.half)
        closer = scene.calls.get(ends_sending(life) or 0) if life else None
        owners += [closer] if closer else []
    return owners


def _push(scene: Scene, sighting: Sighting) -> Cause:
    """New bytes, a FIN, or both: sends by their offsets, the FIN by the descriptor's life."""
    segment, half = sighting.segment, sighting.half
    what = _what(sighting)
    life = scene.life(half)
    if life is None:
        return unrecorded(scene, half, what)
    owners = _owners(scene, sighting)
    if sighting.original is not None:
        repeated, owners = owners, _new_owners(scene, sighting)
        for call in repeated:
            if call.id not in {owner.id for owner in owners}:
                scene.findings.retransmitted.setdefault(call.id, []).append(sighting.id)
    if not owners:
        if "F" in segment.flags and life.closed_ns is not None:
            return by_call(None, f"{what}: its process ended", Confidence.LIKELY)
        return unknown(f"{what}: no recorded call of this socket accounts for it")
    late = [call for call in owners if call.entered_ns > segment.time_ns]
    if late:
        return unknown(f"{what}: the call that should account for it came later")
    for call in owners:
        scene.findings.sent.setdefault(call.id, []).append(sighting.id)
    first = owners[0]
    if len(owners) > 1 and segment.length:
        what += f", {len(owners)} calls in one segment"
    crossed = any(call.id in scene.streams[half].crossed for call in owners)
    cause = by_call(first, what, Confidence.LIKELY if crossed else scene.confidence(half))
    delayed = not segment.length and _left_late(scene, sighting, first)
    if delayed or ("F" in segment.flags and scene.may_not_be_last(owners[-1], half)):
        cause = replace(cause, confidence=Confidence.LIKELY)
    return _held_back(scene, sighting, owners[-1], cause)


def _left_late(scene: Scene, sighting: Sighting, closer: Call) -> bool:
    """A FIN leaves inside the call that ends the sending, unless it waits behind bytes. One that
    came after, with nothing before it, may be the work of a close that was not recorded."""
    if closer.returned_ns is None or sighting.time_ns <= closer.returned_ns:
        return False
    if closer.name == "kill":
        return False  # returns before what it killed is gone
    last = scene.side(sighting.half).last
    return last is None or not last.segment.length or last.time_ns < closer.entered_ns


def _held_back(scene: Scene, sighting: Sighting, call: Call, cause: Cause) -> Cause:
    """Bytes that left after their call had returned waited: for an ACK, for window, for Nagle."""
    if call.name == "kill":
        return replace(cause, reason=f"{cause.reason}, as the kernel closed what was killed")
    if call.returned_ns is None or sighting.time_ns <= call.returned_ns + HELD_BACK_NS:
        return cause
    release = scene.side(sighting.half).arrival
    if release is None or release.arrived_ns < call.returned_ns:
        return replace(cause, reason=f"{cause.reason}, sent later from the send buffer")
    cause = replace(
        cause, reason=f"{cause.reason}, held back until #{release.id} came", segment=release.id
    )
    before = scene.side(sighting.half).before
    if before is not None and release.arrived_ns - before.arrived_ns < BURST_NS:
        return replace(cause, confidence=Confidence.LIKELY)  # it may have been the one before
    return cause


def _what(sighting: Sighting) -> str:
    parts = []
    if sighting.segment.length:
        size = sighting.segment.length
        parts.append(f"data, {size} byte{'s' if size > 1 else ''}")
    if "F" in sighting.segment.flags:
        parts.append("FIN")
    return " and ".join(parts) or "segment"


def _probe(scene: Scene, sighting: Sighting) -> Cause:
    if sighting.original is not None and scene.side(sighting.other).ack < sighting.end:
        return _again(scene, sighting)  # the last byte, which nobody has acknowledged yet
    life = scene.life(sighting.half)
    keeps_alive = life is not None and bool(life.set("SO_KEEPALIVE"))
    if scene.side(sighting.other).window == 0:
        return Cause(CauseKind.TIMER, "probe of a closed window", scene.by_order())
    if life is not None and not keeps_alive:
        return overtaken(sighting)
    confidence = scene.by_order() if keeps_alive else Confidence.LIKELY
    return Cause(CauseKind.TIMER, "keepalive probe", confidence)


def _reset(scene: Scene, sighting: Sighting) -> Cause:
    return forged_reset(scene, sighting) or cause_of_reset(scene, sighting)


ROWS: Mapping[Kind, Row] = {
    Kind.RESET: Row(_reset, "RFC 9293 3.10.7"),
    Kind.SYN_ACK: Row(_accepting, "RFC 9293 3.5"),
    Kind.REPEATED: Row(_again, "RFC 6298, RFC 5681 3.2"),
    Kind.SYN: Row(_open, "RFC 9293 3.10.1"),
    Kind.FRESH: Row(_push, "RFC 9293 3.10.2, 3.10.4"),
    Kind.PROBE: Row(_probe, "RFC 9293 3.8.4, 3.8.6.1"),
    Kind.ACK: Row(acknowledge, "RFC 9293 3.10.7.4"),
    Kind.COPY: Row(copied, "RFC 9293 3.10.7.4, where the path may duplicate"),
}
