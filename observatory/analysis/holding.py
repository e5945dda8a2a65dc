"""Why bytes that send() took stayed in its buffer: Nagle's algorithm, the peer's window, a cork."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from observatory.analysis.view import View, counted
from observatory.analysis.wire import Half, Sighting
from observatory.model import Segment

_MEMORY = 64  # segments: a loss further back has been made up for
_DEFAULT_MSS = 536  # RFC 9293 3.7.1: what holds where the SYNs say nothing


def scaled_window(sender: Half, other: Half, segment: Segment) -> int | None:
    """The window in bytes that a segment of ``sender`` advertises (RFC 7323 2.2): both SYNs must
    offer scaling, and a SYN's own window is never scaled. None where no SYN tells the scale."""
    if "S" in segment.flags:
        return segment.window
    if not sender.syns or not other.syns:
        return None
    scales = [half.syns[0].segment.options.window_scale for half in (sender, other)]
    return segment.window if None in scales else segment.window << (scales[0] or 0)


@dataclass(frozen=True, slots=True)
class Hold:
    """``why`` in words; ``sure`` False where the wire leaves room for something else."""

    why: str
    sure: bool


def why_held(view: View, first: Segment) -> Hold:
    """What kept the call's bytes, whose first segment is ``first``, from leaving at once."""
    asked = view.option("TCP_CORK")
    if (asked and asked.args.get("value")) or "MSG_MORE" in str(view.call.args.get("flags")):
        return Hold("TCP_CORK or MSG_MORE asks for full segments", True)
    unknown = Hold("Nagle's algorithm, a full window, or the congestion window", False)
    half, other, told = view.half, view.other, _last_told(view)
    if half is None or other is None or told is None or told.ack is None:
        return unknown
    room = scaled_window(other, half, told.segment)
    if room is None:
        return unknown
    outgoing = view.outgoing
    shown = outgoing.sent_by(view.call.returned_ns or 0) if outgoing else 1
    in_flight = shown - told.ack
    if room - in_flight <= 0:
        return Hold(f"the peer's window of {counted(room, 'byte')} (#{told.id}) was full", True)
    if room - in_flight < first.length:
        left = counted(room - in_flight, "byte")
        return Hold(f"the peer's window (#{told.id}) had only {left} left", False)
    option = view.option("TCP_NODELAY")
    nagle = option is None or not option.args.get("value")
    if nagle and in_flight > 0 and first.length < _mss(half, other):
        return Hold(
            f"Nagle's algorithm lets no segment out that is not full while {in_flight} sent "
            "before are unacknowledged",
            not _lost(view),
        )
    return unknown


def _last_told(view: View) -> Sighting | None:
    """The peer's last word on what it had and could take, before the call returned."""
    until = view.call.returned_ns or 0
    came = (s for s in _before(view) if s.half is view.other and s.arrived_ns <= until)
    return next((s for s in came if s.ack is not None), None)


def _before(view: View) -> Iterator[Sighting]:
    """The connection's segments before the call returned, newest first, as far back as counts."""
    conversation = view.conversation
    if conversation is None:
        return
    end = bisect_right(conversation.sightings, view.call.returned_ns or 0, key=lambda s: s.time_ns)
    for index in range(end - 1, max(end - _MEMORY, 0) - 1, -1):
        yield conversation.sightings[index]


def _mss(half: Half, other: Half) -> int:
    told = [s.segment.options.mss for end in (half, other) for s in end.syns[:1]]
    return min((mss for mss in told if mss), default=_DEFAULT_MSS)


def _lost(view: View) -> bool:
    """Something was sent again lately: then the congestion window may be one segment."""
    return any(s.original is not None for s in _before(view))
