"""Which states of RFC 9293 the segments of a connection show.

``state_paths`` replays one connection through the machine (``machine.py``). Where it sees the wire
from one place, that a segment was sent is a fact, and that it was received is an inference; in a
lab it is told what came, and when, and infers only that what came was accepted:

* what an endpoint acknowledges, it has received: a SYN or FIN counts as received when it is
  answered, and a SYN that nobody answers moves no listener;
* an ACK and a RST are never answered. They count as received until their receiver behaves as if
  it had not got them (sends its SYN-ACK or FIN again; goes on sending after a RST), and then
  the states that rested on them are taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from observatory.analysis.machine import (
    CLOSE,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    LAST_ACK,
    LISTEN,
    NEXT,
    OPEN_ACTIVE,
    OPEN_PASSIVE,
    RECEIVED_ACK_OF_FIN,
    RECEIVED_ACK_OF_SYN,
    RECEIVED_FIN,
    RECEIVED_RST,
    RECEIVED_RST_ACTIVE,
    RECEIVED_SYN,
    RECEIVED_SYN_ACK,
    SENT_FIN,
    SENT_RST,
    SYN_RECEIVED,
    SYN_SENT,
    TWO_MSL,
    USER_TIMEOUT,
    advance,
    next_state,
)
from observatory.model import Segment

__all__ = ["TWO_MSL", "USER_TIMEOUT", "StatePaths", "Step", "advance", "next_state", "state_paths"]

# States in which an endpoint waits for an answer of its peer, so that every ACK matters.
_WAITING: Final = frozenset({SYN_SENT, SYN_RECEIVED, FIN_WAIT_1, CLOSING, LAST_ACK, LISTEN})
_AWAITS_ACK_OF_FIN: Final = frozenset({FIN_WAIT_1, CLOSING, LAST_ACK})
# Captured so soon after another, a segment may have been sent before that came.
CROSSING_NS: Final = 100_000
_SEQUENCE_SPACE: Final = 1 << 32
_HALF_SPACE: Final = 1 << 31


class Step(NamedTuple):
    """A segment of the connection and who sent it: that it left, that it came, or both at once
    where one place sees the wire."""

    from_client: bool
    segment: Segment
    left: bool = True
    came: bool = True


@dataclass(frozen=True, slots=True)
class StatePaths:
    """The states of both endpoints, in order; a failed look-up adds none.

    ``client_events[i]`` led from ``client[i]`` to ``client[i + 1]``, and so for the server.
    ``midstream`` says that the capture began after the connection: the paths then begin with
    ESTABLISHED, which is assumed. A socket connected to itself has one path, the client's.
    """

    client: tuple[str, ...]
    server: tuple[str, ...]
    client_events: tuple[str, ...] = ()
    server_events: tuple[str, ...] = ()
    midstream: bool = False


class _Side:
    """One endpoint during the replay. ``path[:proven]`` is what later segments cannot undo."""

    __slots__ = (
        "accepted",
        "ack",
        "active",
        "asked_again",
        "awaits_new_ack",
        "before_reset",
        "events",
        "fin",
        "fin_before_ack",
        "fin_came",
        "heard",
        "heard_ns",
        "ignored_ack",
        "isn",
        "path",
        "peer_fin_received",
        "proven",
        "sent",
    )

    def __init__(self) -> None:
        self.path = [CLOSED]
        self.events: list[str] = []
        self.proven = 1
        self.isn: int | None = None
        self.fin: int | None = None  # sequence number of the FIN it sent
        self.ack: int | None = None  # highest acknowledgement it sent
        self.heard: int | None = None  # highest acknowledgement that came to it
        self.heard_ns = -CROSSING_NS  # when that came
        self.fin_came = False  # the peer's FIN came to it
        self.sent = False  # has sent anything
        self.active = False  # opened with a SYN of its own
        self.asked_again = False  # the peer's SYN came once more after its SYN-ACK
        self.accepted = False  # accept() returned it, so its handshake was completed
        self.peer_fin_received = False
        self.fin_before_ack = False  # its FIN left before its ACK of the peer's FIN
        self.ignored_ack = False  # sent its SYN-ACK again after the ACK of it
        self.awaits_new_ack = False  # sent a control bit again: older ACKs have not arrived
        self.before_reset = 0  # length of the path before a RST assumed to have arrived, or 0

    @property
    def state(self) -> str:
        return self.path[-1]

    def on(self, *events: str, proven: bool = True) -> None:
        """Take the arcs of ``events``; those without a row change nothing."""
        for event in events:
            following = NEXT.get((self.path[-1], event))
            if following is not None:
                self.path.append(following)
                self.events.append(event)
        if proven:
            self.proven = len(self.path)

    def take_back(self, length: int) -> None:
        """Forget the states after the first ``length``: what they rested on did not happen."""
        del self.path[length:]
        del self.events[length - 1 :]
        self.proven = min(self.proven, length)

    def had_been_established(self) -> None:
        """It was accepted: what no segment showed, a call did."""
        if ESTABLISHED in self.path or SYN_RECEIVED not in self.path:
            return
        at = self.path.index(SYN_RECEIVED) + 1
        if self.path[at : at + 1] != [LISTEN]:
            self.path.insert(at, ESTABLISHED)
            self.events.insert(at - 1, RECEIVED_ACK_OF_SYN)

    def assumes(self, event: str) -> bool:
        """Whether ``event`` is among what was assumed and not shown yet."""
        return event in self.events[self.proven - 1 :]

    def acknowledges(self, number: int | None) -> bool:
        """Whether an acknowledgement sent by this side covers sequence number ``number``."""
        return number is not None and self.ack is not None and _follows(self.ack, number)

    def is_told(self, number: int | None) -> bool:
        """Whether an acknowledgement that came to this side covers its ``number``."""
        return number is not None and self.heard is not None and _follows(self.heard, number)


def state_paths(
    steps: Iterable[Step],
    *,
    same_endpoint: bool = False,
    listening: bool = True,
    accepted: bool = False,
) -> StatePaths:
    """The states that both endpoints of one connection went through.

    ``steps`` are the TCP segments of one incarnation of a four-tuple in time order.
    ``same_endpoint`` is a socket that connected to itself; ``listening`` says whether a SYN that
    is never answered may be taken to have met a listener, and ``accepted`` that accept() returned
    the server's end: it was established, whatever it answered later. Linear; a data or ACK segment
    in an open connection costs a fraction of a microsecond.
    """
    client = _Side()
    server = client if same_endpoint else _Side()
    server.accepted = accepted and not same_endpoint
    began = midstream = quiet = False
    for from_client, segment, left, came in steps:
        flags = segment.flags
        if quiet and (flags == "A" or flags == "PA"):
            continue
        side, peer = (client, server) if from_client else (server, client)
        if not began:
            began = True
            midstream = "S" not in flags or "A" in flags
            if midstream:
                _begin_midstream(side, peer, segment)
        if left:
            _leave(side, peer, segment)
        if came:
            _come(peer, side, segment)
        quiet = not (_unsettled(client, server) or _unsettled(server, client))
    if server.accepted:
        server.had_been_established()
    if listening and began and not (midstream or server.sent or same_endpoint):
        server.on(OPEN_PASSIVE)
    return StatePaths(
        tuple(client.path),
        () if same_endpoint else tuple(server.path),
        tuple(client.events),
        () if same_endpoint else tuple(server.events),
        midstream,
    )


def _unsettled(side: _Side, peer: _Side) -> bool:
    """Whether a mere ACK could still change the path of ``side``."""
    return (
        side.path[-1] in _WAITING
        or (len(side.path) == 1 and side.path[0] == CLOSED)
        or side.proven != len(side.path)
        or (peer.fin is not None and not side.peer_fin_received)
    )


def _begin_midstream(side: _Side, peer: _Side, segment: Segment) -> None:
    """Give both sides the state that the first captured segment allows."""
    if "S" in segment.flags:  # a SYN-ACK: the SYN before it is missing
        peer.active = True
        peer.isn = (segment.ack - 1) % _SEQUENCE_SPACE
        peer.on(OPEN_ACTIVE)
        return
    side.path[:] = peer.path[:] = [ESTABLISHED]


def _leave(side: _Side, peer: _Side, segment: Segment) -> None:
    """What a segment sent by ``side`` shows of it."""
    flags = segment.flags
    if side.before_reset:
        # Whoever goes on sending has not been reset.
        side.take_back(side.before_reset)
        side.before_reset = 0
    if "R" in flags:
        _reset(side, peer, segment)
        side.sent = True
        return
    side.sent = True
    repeats = _repeats_control_bit(side, segment)
    # What crossed the ACK on its way tells nothing of it.
    if repeats and segment.time_ns - side.heard_ns >= CROSSING_NS:
        _not_received(side, peer, segment)
    if "S" in flags:
        _synchronize(side, segment)
    if "A" in flags:
        _acknowledge(side, peer, segment, repeats)
    if "F" in flags and side.fin is None:
        side.fin = (segment.seq + segment.length + ("S" in flags)) % _SEQUENCE_SPACE
        side.on(SENT_FIN)


def _come(side: _Side, peer: _Side, segment: Segment) -> None:
    """What a segment of ``peer`` does to ``side``, to which it comes."""
    flags = segment.flags
    if "R" in flags:
        _receive_reset(side, peer, segment)
        return
    if "A" in flags:
        side.awaits_new_ack = False
        if side.heard is None or _follows(segment.ack, side.heard):
            side.heard = segment.ack
            side.heard_ns = segment.time_ns
    elif "S" in flags and SYN_RECEIVED in side.path:
        side.asked_again = True
    side.fin_came = side.fin_came or "F" in flags
    _settle(side, peer)
    _settle(peer, side)


def _repeats_control_bit(side: _Side, segment: Segment) -> bool:
    """Whether ``side`` sends a SYN-ACK or FIN once more of its own accord."""
    if "S" in segment.flags:
        answers, side.asked_again = side.asked_again, False
        return "A" in segment.flags and SYN_RECEIVED in side.path and not answers
    return "F" in segment.flags and side.fin is not None


def _not_received(side: _Side, peer: _Side, segment: Segment) -> None:
    """A control bit is sent again: no ACK of it has arrived, and maybe it had not either."""
    side.awaits_new_ack = True
    if len(side.path) > side.proven:
        side.take_back(side.proven)
        # A listener that ignores the handshake's last ACK ignores the next one as well, until
        # its accept queue has room: from here on only its answers show that it went on.
        side.ignored_ack = "S" in segment.flags
    if "F" in segment.flags:
        side.fin_before_ack = False
        if peer.assumes(RECEIVED_FIN):
            peer.take_back(peer.proven)


def _synchronize(side: _Side, segment: Segment) -> None:
    """A SYN opens actively; a SYN-ACK shows that a SYN was received."""
    if side.isn is None:
        side.isn = segment.seq
    if "A" not in segment.flags:
        side.active = side.active or side.state == CLOSED
        side.on(OPEN_ACTIVE)
        return
    if not side.active and side.state == CLOSED:
        side.on(OPEN_PASSIVE)
    if side.state in (LISTEN, SYN_SENT):
        side.on(RECEIVED_SYN)


def _acknowledge(side: _Side, peer: _Side, segment: Segment, repeats: bool) -> None:
    """What an endpoint acknowledges it has received."""
    if side.ack is None or _follows(segment.ack, side.ack):
        side.ack = segment.ack
    if "S" not in segment.flags and (peer.isn is None or side.acknowledges(peer.isn)):
        if side.state == SYN_SENT:
            side.on(RECEIVED_SYN_ACK)
            if side.fin is not None:
                side.on(SENT_FIN)
        elif side.state == CLOSED and len(side.path) == 1:
            # Its SYN-ACK is missing from the capture.
            side.on(OPEN_PASSIVE, RECEIVED_SYN, RECEIVED_ACK_OF_SYN)
        elif side.ignored_ack and side.state == SYN_RECEIVED:
            side.on(RECEIVED_ACK_OF_SYN)
        elif not repeats:
            side.proven = len(side.path)
    if not side.peer_fin_received and side.acknowledges(peer.fin):
        side.peer_fin_received = True
        side.fin_before_ack = side.fin is not None
        side.on(RECEIVED_FIN)


def _settle(side: _Side, peer: _Side) -> None:
    """Assume that ``side`` accepted the ACKs of its SYN and FIN that came to it."""
    if side.awaits_new_ack:
        return
    if side.state == SYN_RECEIVED and not side.ignored_ack and side.is_told(side.isn):
        side.on(RECEIVED_ACK_OF_SYN, proven=False)
    if side.state in _AWAITS_ACK_OF_FIN and side.is_told(side.fin):
        if peer.fin_before_ack and side.fin_came and not side.peer_fin_received:
            # Simultaneous close: the peer's FIN travelled ahead of this ACK.
            side.on(RECEIVED_FIN, proven=False)
        side.on(RECEIVED_ACK_OF_FIN, proven=False)


def _reset(side: _Side, peer: _Side, segment: Segment) -> None:
    """A RST ends the connection for its sender and, where it is acceptable, for its receiver."""
    answers = "A" not in segment.flags  # RFC 9293 3.10.7.1: a reply to an ACK carries none
    greeted = not answers and peer.isn is not None and _follows(segment.ack, peer.isn)
    if side.state == SYN_SENT and greeted:
        side.on(RECEIVED_SYN_ACK, SENT_RST)  # the ACK of it was put off, and never sent
    elif side.state == SYN_SENT:
        # A reset for the right SYN-ACK shows that the connect was given up before; any other
        # is the refusal of an old peer's ACK, and the attempt goes on (3.5.1).
        if peer.state == SYN_RECEIVED and segment.seq == peer.ack:
            side.on(CLOSE)
    elif answers and not side.sent and side.path == [ESTABLISHED]:
        side.path[:] = [CLOSED]  # never knew this connection
    else:
        refuses = side.state == ESTABLISHED and side.assumes(RECEIVED_ACK_OF_SYN)
        if answers and refuses and not side.accepted:
            side.take_back(side.proven)  # the ACK it answers is the one it refuses
        tells = not answers and peer.fin is not None and _follows(segment.ack, peer.fin)
        if tells and not side.peer_fin_received:
            # An abort acknowledges what had come, as every segment of its socket does.
            side.peer_fin_received = True
            side.on(RECEIVED_FIN)
        side.on(SENT_RST)


def _receive_reset(side: _Side, peer: _Side, segment: Segment) -> None:
    """Take a RST to have arrived, if its numbers are ones ``side`` would accept."""
    if side.state == SYN_SENT:
        acceptable = (
            side.isn is not None and "A" in segment.flags and _follows(segment.ack, side.isn)
        )
    else:
        acceptable = side.ack is None or not _follows(side.ack, segment.seq)
    if not acceptable:
        return
    length = len(side.path)
    after_fin = peer.fin is not None and _follows(segment.seq, peer.fin)
    if after_fin and not side.peer_fin_received:
        # It is taken only where its number is the next expected (RFC 5961 3.2): the FIN had come.
        side.on(RECEIVED_FIN, proven=False)
    opened_actively = side.active and side.state == SYN_RECEIVED
    side.on(RECEIVED_RST_ACTIVE if opened_actively else RECEIVED_RST, proven=False)
    side.before_reset = length if len(side.path) > length else 0


def _follows(number: int, other: int) -> bool:
    """Whether sequence number ``number`` is after ``other``, modulo 2**32 (RFC 9293 3.4)."""
    return 0 < (number - other) % _SEQUENCE_SPACE < _HALF_SPACE
