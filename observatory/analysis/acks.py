"""Why an end sent a segment with nothing in it but an ACK: an answer, a delayed one, a window."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from operator import attrgetter

from observatory.analysis.callsets import RECEIVING, ends_sending
from observatory.analysis.scene import (
    AT_ONCE_NS,
    BURST_NS,
    DELAYED_ACK_NS,
    Scene,
    Side,
    by_call,
    during,
    reply_to,
    unknown,
    unrecorded,
)
from observatory.analysis.wire import Conversation, Half, Kind, Sighting
from observatory.model import Cause, CauseKind, Confidence


def acknowledge(scene: Scene, sighting: Sighting) -> Cause:
    """A segment with nothing in it but an ACK: an answer, or a window that a recv reopened."""
    side, half = scene.side(sighting.half), sighting.half
    if sighting.ack is None:
        return unknown("an empty segment without ACK")
    if sighting.ack > side.ack:
        return _advance(scene, sighting)
    syn, answered = side.arrival, any(s.id < sighting.id for s in half.syns[:1])
    if syn is not None and syn.kind is Kind.SYN and not answered and sighting.ack < 1:
        what = "challenge ACK: these ports still have an older connection at this end"
        return reply_to(syn, what, scene.by_order())
    reset = side.arrival
    up_to_date = sighting.seq >= side.sent_until
    if reset is not None and reset.kind is Kind.RESET and side.heard and up_to_date:
        what = "challenge ACK: the RST's number is not the one expected (RFC 5961 3.2)"
        return reply_to(reset, what, scene.by_order())
    asking = _asking(side, sighting)
    if _makes_room(scene, sighting, asking):
        return _window_update(scene, sighting, half)
    if asking is not None:
        return reply_to(asking, _why_repeated(asking, sighting), scene.by_order())
    late = _late(scene, side, sighting)
    if late is not None:
        return late
    if sighting.seq < side.sent_until:
        return overtaken(sighting)
    if side.window not in (-1, sighting.segment.window):
        return _window_update(scene, sighting, half)
    return unknown("an ACK that acknowledges nothing new and changes nothing")


def _late(scene: Scene, side: Side, sighting: Sighting) -> Cause | None:
    """The answer to an empty segment that others had overtaken, or that the path delivered twice:
    a number before the one expected draws an ACK (RFC 9293 3.10.7.4), if not each time."""
    old, merged = side.outdated, side.merged
    side.outdated = side.merged = None
    if old is not None and sighting.time_ns - old.arrived_ns < DELAYED_ACK_NS:
        return reply_to(old, "ACK again: an older segment came late", scene.by_order())
    if merged is not None and sighting.time_ns - merged.arrived_ns < DELAYED_ACK_NS:
        return reply_to(merged, _why_repeated(merged, sighting), Confidence.LIKELY)
    return None


def overtaken(sighting: Sighting) -> Cause:
    covered = _carrier_up_to(sighting.other, sighting.ack or 0)
    what = "ACK again, overtaken on its way by what was sent after it"
    return reply_to(covered, what, Confidence.LIKELY)


def _asking(side: Side, sighting: Sighting) -> Sighting | None:
    """The arrival that draws an ACK for the same number again: each that repeats bytes, or comes
    after missing ones, gets its own at once (RFC 9293 3.10.7.4, RFC 5681 4.2)."""
    owed = side.owed
    asking = [a for a in owed if a.seq > side.ack or (not a.fresh and a.seq != side.ack)]
    # One for which there was no room is not answered by what made room: a window update.
    shut = sighting.segment.window <= side.window
    asking += [a for a in owed if a.seq == side.ack and shut]
    # What came long before was not answered: such answers are limited (Linux
    # tcp_invalid_ratelimit), and it may not have come at all.
    prompt = (a for a in asking if sighting.time_ns - a.arrived_ns < AT_ONCE_NS)
    found = next(prompt, None) or next(iter(asking), None)
    if found is not None:
        owed.remove(found)
    return found


def _advance(scene: Scene, sighting: Sighting) -> Cause:
    """The ACK number moved: the answer to the newest arrival that it covers."""
    side = scene.side(sighting.half)
    covered = side.wanting
    if covered is None or covered.end > (sighting.ack or 0):
        # Of those that no ACK has answered the latest, which may be one that was sent again.
        owed = (a for a in reversed(side.owed) if a.end == (sighting.ack or 0))
        covered = next(owed, None) or _carrier_up_to(sighting.other, sighting.ack or 0)
    if covered is None:
        return reply_to(None, "ACK of what the capture did not show", Confidence.LIKELY)
    if not covered.fresh and covered in side.owed:
        side.owed.remove(covered)
        side.merged = covered
    what = _acknowledged(covered)
    if _waits_for_tick(scene, sighting, covered):
        what += ", delayed to the next tick: nothing had come before it"
        sure = Confidence.LIKELY if _just_ended(scene, sighting) else scene.by_order()
        return Cause(CauseKind.TIMER, what, sure, segment=covered.id)
    late = _late_answer(scene, sighting, covered)
    asking = _asking_for_more(scene, sighting, covered)
    if asking is not None and (late is not None or asking.seq > (sighting.ack or 0)):
        side.owed.remove(asking)
        burst = asking.arrived_ns - covered.arrived_ns < BURST_NS
        sure = Confidence.LIKELY if burst else scene.by_order()
        return reply_to(asking, f"{what} before it; {_why_repeated(asking, sighting)}", sure)
    if late is None:
        newest = side.arrival
        crossed = newest is not None and newest is not covered and newest.id > covered.id
        return reply_to(covered, what, Confidence.LIKELY if crossed else scene.by_order())
    life = scene.life(sighting.half)
    for call in life.set("TCP_QUICKACK") if life is not None else ():
        if call.entered_ns <= sighting.time_ns <= (call.returned_ns or sighting.time_ns):
            cause = reply_to(covered, f"{what}, put off until TCP_QUICKACK", Confidence.LIKELY)
            return replace(cause, call=call.id)
    stream = scene.streams[sighting.other]
    reader = stream.read_at(sighting.time_ns)
    took = stream.reads.get(reader.id) if reader is not None else None
    if reader is not None and (took is None or took[0] < covered.end):
        cause = reply_to(covered, f"{what}, delayed until recv took the data", Confidence.LIKELY)
        return replace(cause, call=reader.id)
    if late < DELAYED_ACK_NS and "F" not in covered.segment.flags:
        return reply_to(covered, what, Confidence.LIKELY)
    shorter = sighting.time_ns - covered.arrived_ns < DELAYED_ACK_NS
    doubtful = shorter or not near(scene.conversation) or _began_to_receive(scene, sighting)
    sure = Confidence.LIKELY if doubtful else scene.by_order()
    return Cause(CauseKind.TIMER, f"{what}, delayed", sure, segment=covered.id)


def _began_to_receive(scene: Scene, sighting: Sighting) -> bool:
    """A receive was entered just before, and acknowledges what it finds, whatever it returns."""
    calls = scene.matching.calls_of.get(sighting.half, [])
    until = bisect_right(calls, sighting.time_ns, key=attrgetter("entered_ns"))
    since_ns = sighting.time_ns - AT_ONCE_NS
    return any(
        call.name in RECEIVING and call.entered_ns >= since_ns
        for call in calls[max(until - 4, 0) : until]
    )


def _asking_for_more(scene: Scene, sighting: Sighting, covered: Sighting) -> Sighting | None:
    """An arrival after the one that is acknowledged, which draws an ACK at once, and with it the
    acknowledgement that was still put off: of bytes after missing ones, or that had come before."""
    side = scene.side(sighting.half)
    newest = side.owed[-1] if side.owed else None
    if newest is None or newest is covered or not near(scene.conversation):
        return None
    if newest.arrived_ns < covered.arrived_ns:
        return None
    at_once = sighting.time_ns - newest.arrived_ns < AT_ONCE_NS
    out_of_order = newest.seq > (sighting.ack or 0) or newest.probe or not newest.fresh
    return newest if at_once and out_of_order else None


def _late_answer(scene: Scene, sighting: Sighting, covered: Sighting) -> int | None:
    """How long the first of what it acknowledges has waited, where it was not sent at once.

    One timer serves all that comes until it goes off: the newest may have waited for less.
    """
    waited_ns = sighting.time_ns - covered.arrived_ns
    if waited_ns < (AT_ONCE_NS if _is_ours(scene, sighting.half) else DELAYED_ACK_NS):
        return None
    side = scene.side(sighting.half)
    first = (a for a in side.owed if a.fresh and side.ack <= a.seq < covered.end)
    return sighting.time_ns - min((a.arrived_ns for a in first), default=covered.arrived_ns)


def _is_ours(scene: Scene, half: Half) -> bool:
    """This end is one of the run's, and so Linux, and nothing lies between the two. Without a
    socket it may still be in the queue of one of the run's listeners."""
    recorded = scene.life(half) is not None or scene.listener() is not None
    return recorded and near(scene.conversation)


def _waits_for_tick(scene: Scene, sighting: Sighting, fin: Sighting) -> bool:
    """Linux does not acknowledge a FIN at once that ends an established connection's other
    direction, but when its timer for delayed ACKs goes off; and where no bytes have come before
    that would tell how long to wait, that is at the next tick (tcp_fin, tcp_send_delayed_ack with
    an ato of 0). An end that has sent a FIN of its own answers at once (FIN-WAIT-1 and 2); if it
    had sent that after the other's came, it would have acknowledged it."""
    half, life = sighting.half, scene.life(sighting.half)
    alone = "F" in fin.segment.flags and fin.fresh and fin.seq == 1 and fin.end == 2
    if not (alone and _is_ours(scene, half)) or half is sighting.other:
        return False
    ender = scene.calls.get(ends_sending(life) or 0) if life is not None else None
    if ender is not None and ender.entered_ns <= sighting.time_ns:
        return False  # its FIN may only wait behind bytes for which there is no window
    if any(own.id < sighting.id for own in half.fins):
        return False
    asked = life.set("TCP_QUICKACK") if life is not None else ()
    return not any(during(call, sighting.time_ns) for call in asked)


def _just_ended(scene: Scene, sighting: Sighting) -> bool:
    """Its own end closed at that moment, and strace stamps a call only when it has stopped it:
    which was first, the ACK or the close, is hard to tell."""
    life = scene.life(sighting.half)
    ended = ends_sending(life) if life is not None else None
    return ended is not None and not scene.streams[sighting.other].exact


def near(conversation: Conversation) -> bool:
    """Each end answered the handshake at once: what comes late after that was held back by its
    sender, and not under way for so long. Where the way is seen, or there is none, that is not in
    question."""
    ends = (conversation.client.sender.address, conversation.server.sender.address)
    if conversation.arrivals is not None or ends[0] == ends[1]:
        return True
    if all(end.startswith("127.") for end in ends):
        return True
    first, answer = conversation.client.syns[:1], conversation.server.syns[:1]
    last = conversation.establishing
    if not first or not answer or last is None:
        return False
    gaps = (answer[0].time_ns - first[0].arrived_ns, last.time_ns - answer[0].arrived_ns)
    return max(gaps) < DELAYED_ACK_NS // 10


def _carrier_up_to(half: Half, offset: int) -> Sighting | None:
    found = half.delivering(max(offset - 1, 0), offset)
    if found:
        return found[-1]
    if half.fins and half.fin_at is not None and half.fin_at < offset:
        return half.fins[0]
    return half.syns[0] if half.syns and offset >= 1 else None


def _acknowledged(covered: Sighting) -> str:
    flags = covered.segment.flags
    if "S" in flags:
        return "ACK of SYN-ACK, handshake complete" if "A" in flags else "ACK of SYN"
    if "F" in flags:
        return "ACK of data and FIN" if covered.segment.length else "ACK of FIN"
    return "ACK of data"


def _why_repeated(arrival: Sighting, answer: Sighting) -> str:
    if arrival.probe:
        return "ACK of a probe"
    if arrival.seq == answer.ack:
        return "ACK again: the segment was not taken, there was no room for it"
    if not arrival.fresh:
        return "ACK again: the segment had come before"
    return "ACK again: a segment before this one is missing"


def _makes_room(scene: Scene, sighting: Sighting, asking: Sighting | None) -> bool:
    """A recv is under way and the window has grown; an arrival that wanted an ACK for the same
    number would have had it at once (RFC 5681 4.2)."""
    side = scene.side(sighting.half)
    if not 0 <= side.window < sighting.segment.window or not near(scene.conversation):
        return False
    if asking is not None and sighting.time_ns - asking.arrived_ns < AT_ONCE_NS:
        return False
    reader = scene.streams[sighting.other].read_at(sighting.time_ns)
    return reader is not None and (reader.returned_ns or sighting.time_ns) >= sighting.time_ns


def _window_update(scene: Scene, sighting: Sighting, half: Half) -> Cause:
    what = f"window update to {sighting.segment.window}"
    reader = scene.streams[sighting.other].read_at(sighting.time_ns)
    if reader is None:
        return unrecorded(scene, half, what)
    scene.findings.sent.setdefault(reader.id, []).append(sighting.id)
    return by_call(reader, f"{what}: recv made room", scene.confidence(half))
