"""What is known at one moment of a conversation, while its segments are gone through in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.analysis.descriptors import Descriptors
from observatory.analysis.lives import SocketLife
from observatory.analysis.matching import SLACK_NS, Matching
from observatory.analysis.streams import Stream
from observatory.analysis.wire import Conversation, Half, Sighting
from observatory.model import Call, Cause, CauseKind, Confidence
from observatory.model.quick import quick

quick_cause = quick(Cause)

# Linux delays an ACK by at least TCP_DELACK_MIN, HZ/25 = 40 ms (include/net/tcp.h); one that
# follows its data sooner than this was sent at once.
DELAYED_ACK_NS = 30_000_000
# What is answered at once is answered in microseconds where no path lies between; a millisecond
# later a timer or a call may have done it (a tick is 1 to 10 ms, Linux CONFIG_HZ).
AT_ONCE_NS = 1_000_000
# What comes so soon after the other may have been under way before the other was looked at.
BURST_NS = 100_000


@dataclass(slots=True, eq=False)
class Side:
    """One end as it stands: what it sent last, and which arrivals still want an answer.

    ``wanting`` is the latest arrival that TCP must acknowledge and that was not yet; ``owed``
    are all those that no ACK has answered, oldest first; ``before`` came before ``arrival``;
    ``duplicate_acks`` counts the ACKs that arrived in a row for the same number; what it sent
    reaches up to ``sent_until``. ``heard`` says that something came after it sent last.
    ``outdated`` is the latest empty arrival with a number that was no longer expected; ``merged``
    an arrival that asked for an ACK of its own and may have got it together with another's.
    ``asked`` is the latest SYN that came since it sent a SYN-ACK.
    """

    last: Sighting | None = None
    ack: int = 0
    window: int = -1
    arrival: Sighting | None = None
    before: Sighting | None = None
    wanting: Sighting | None = None
    owed: deque[Sighting] = field(default_factory=deque)
    duplicate_acks: int = 0
    probes: int = 0
    sent_until: int = 0
    heard: bool = False
    outdated: Sighting | None = None
    merged: Sighting | None = None
    asked: Sighting | None = None


@dataclass(slots=True, eq=False)
class Findings:
    """Causes by segment id, and the segments that each call sent or had sent again."""

    causes: dict[int, Cause] = field(default_factory=dict)
    sent: dict[int, list[int]] = field(default_factory=dict)
    retransmitted: dict[int, list[int]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Scene:
    """A conversation with all that is known of its sockets and calls."""

    conversation: Conversation
    streams: dict[Half, Stream]
    matching: Matching
    descriptors: Descriptors
    calls: Mapping[int, Call]
    have_calls: bool
    lossy: bool
    findings: Findings
    settings: Mapping[str, str] = field(default_factory=dict)
    sides: dict[Half, Side] = field(default_factory=dict)

    def side(self, half: Half) -> Side:
        return self.sides[half]

    def life(self, half: Half) -> SocketLife | None:
        return self.descriptors.sockets.get(half.socket) if half.socket is not None else None

    def listener(self) -> SocketLife | None:
        number = self.conversation.listener
        return self.descriptors.sockets.get(number) if number is not None else None

    def confidence(self, half: Half) -> Confidence:
        """How sure a match by this half's descriptors and sequence numbers can be."""
        weak = half in self.matching.tie_broken or self.streams[half].missing_sends
        return Confidence.LIKELY if weak else Confidence.CERTAIN

    def may_not_be_last(self, call: Call, half: Half) -> bool:
        """Another call gave up a descriptor of the half's socket at the same time."""
        socket = half.socket or self.conversation.listener
        return socket in self.descriptors.doubtful.get(call.id, ())

    def by_order(self) -> Confidence:
        """How sure a conclusion can be that takes the latest arrival for the cause: a packet
        that the capture lost may have been the real one."""
        weak = self.lossy or self.conversation.gaps
        return Confidence.LIKELY if weak else Confidence.CERTAIN

    def left(self, sighting: Sighting) -> None:
        """Step past a segment that was sent: its sender has spoken."""
        if sighting.made_at:
            return
        sender = self.sides[sighting.half]
        sender.last = sighting
        sender.heard = False
        sender.sent_until = max(sender.sent_until, sighting.end)
        if sighting.ack is not None:
            self._answered(sender, sighting)
            if "S" in sighting.segment.flags:
                sender.asked = None

    def came(self, sighting: Sighting) -> None:
        """Step past an arrival: its receiver has something to answer."""
        receiver = self.sides[sighting.other]
        receiver.heard = sighting.other is not sighting.half
        self._arrived(receiver, sighting)

    def _answered(self, sender: Side, sighting: Sighting) -> None:
        ack, before = sighting.ack or 0, sender.ack
        sender.ack = max(before, ack)
        sender.window = sighting.segment.window
        owed = sender.owed
        while owed and (_covers(ack, before, owed[0]) or _is_stale(owed[0], sighting)):
            before = max(before, owed.popleft().end)
        wanted = sender.wanting
        if wanted is not None and (wanted.end <= ack or not wanted.fresh):
            sender.wanting = None

    def _arrived(self, receiver: Side, sighting: Sighting) -> None:
        flags = sighting.segment.flags
        previous = receiver.arrival
        receiver.arrival, receiver.before = sighting, previous
        if "S" in flags and sighting.ack is None:
            receiver.asked = sighting
        takes_space = sighting.end > sighting.seq and "R" not in flags
        if takes_space or sighting.probe:
            receiver.owed.append(sighting)
            receiver.wanting = sighting
        elif sighting.seq < receiver.ack and "R" not in flags:
            receiver.outdated = sighting
        repeats_ack = previous is not None and previous.ack == sighting.ack and not takes_space
        receiver.duplicate_acks = receiver.duplicate_acks + 1 if repeats_ack else 0


def _covers(ack: int, before: int, arrival: Sighting) -> bool:
    """The ACK is the first for the arrival's end; one that repeats what was acknowledged before
    still draws an ACK of its own."""
    return arrival.end <= ack and (arrival.fresh or arrival.end > before)


def _is_stale(arrival: Sighting, ack: Sighting) -> bool:
    return ack.time_ns - arrival.arrived_ns > DELAYED_ACK_NS


def during(call: Call, time_ns: int) -> bool:
    """The moment lies inside the call, or within a stamp's error after it: the wire shows a
    packet a little later than the call sent it, never earlier."""
    if time_ns < call.entered_ns:
        return False
    return call.returned_ns is None or time_ns <= call.returned_ns + SLACK_NS


def ends_during(life: SocketLife, time_ns: int) -> bool:
    """The moment lies inside the call, exit or death that ended the socket."""
    if life.closed_ns is None or time_ns < life.closed_ns:
        return False
    return life.close_end_ns is None or time_ns <= life.close_end_ns + SLACK_NS


def by_call(call: Call | None, reason: str, confidence: Confidence) -> Cause:
    return quick_cause(CauseKind.CALL, reason, confidence, call.id if call else None)


def reply_to(sighting: Sighting | None, reason: str, confidence: Confidence) -> Cause:
    segment = sighting.id if sighting else None
    return quick_cause(CauseKind.REPLY, reason, confidence, None, segment)


def unknown(reason: str) -> Cause:
    return Cause(CauseKind.UNKNOWN, reason, Confidence.UNEXPLAINED)


def unrecorded(scene: Scene, half: Half, what: str) -> Cause:
    """Only a call sends this, but none was recorded: the process was not watched."""
    if half.socket is not None:
        return unknown(f"{what}: no recorded call of this socket accounts for it")
    return by_call(None, f"{what} (the call was not recorded)", Confidence.LIKELY)
