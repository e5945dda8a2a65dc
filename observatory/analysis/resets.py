"""Why a RST was sent: an abort by a call, the answer to a segment, or a timer that gave up.

Linux sends two kinds that the wire tells apart. An active reset (tcp_send_active_reset) carries
ACK and its own next number: a call or a timer of its socket sent it. A reply
(tcp_v4_send_reset) to a segment that had ACK takes its number from there and carries no ACK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from observatory.analysis.fin_wait import FIN_TIMEOUT, given_up
from observatory.analysis.lives import SocketLife
from observatory.analysis.patience import patience_of, unanswered_probes
from observatory.analysis.scene import Scene, by_call, during, ends_during, reply_to, unknown
from observatory.analysis.unread import unread_at_end
from observatory.analysis.wire import Sighting
from observatory.model import Call, Cause, CauseKind, Confidence

ABORT_ON_OVERFLOW = "net.ipv4.tcp_abort_on_overflow"


@dataclass(frozen=True, slots=True)
class ResetRow:
    """One mechanism. ``cause`` answers None where the row does not speak of the segment.
    ``mechanism`` is a row of the evidence table, or empty where none can be named; a cause may
    name a more particular one."""

    mechanism: str
    cause: Callable[[Scene, Sighting], Cause | None]
    reference: str


def cause_of_reset(scene: Scene, sighting: Sighting) -> Cause:
    """The first mechanism of ``RESETS`` that accounts for the RST."""
    for row in RESETS:
        cause = row.cause(scene, sighting)
        if cause is not None:
            return cause if cause.mechanism else replace(cause, mechanism=row.mechanism)
    return unknown("RST: nothing recorded accounts for it")


def lingers_zero(life: SocketLife) -> bool:
    """The last SO_LINGER that was set asks for an abort (socket(7): on, with timeout 0)."""
    values = [call.args.get("value") for call in life.set("SO_LINGER")]
    last = values[-1] if values else None
    return isinstance(last, (tuple, list)) and len(last) == 2 and bool(last[0]) and last[1] == 0


def _is_active(sighting: Sighting, arrival: Sighting | None) -> bool:
    """Carries ACK although the segment it might answer had one too, or a number of its own: no
    reply looks so (RFC 9293 3.5.2, which has sequence number 0 where the segment had no ACK)."""
    answers_ackless = arrival is not None and arrival.ack is None and not sighting.segment.seq
    return sighting.ack is not None and not answers_ackless


def _sent(scene: Scene, call: Call, sighting: Sighting, reason: str, sure: bool = True) -> Cause:
    scene.findings.sent.setdefault(call.id, []).append(sighting.id)
    sure = sure and not scene.may_not_be_last(call, sighting.half)
    confidence = scene.confidence(sighting.half) if sure else Confidence.LIKELY
    return by_call(call, reason, confidence)


def _nobody_listens(scene: Scene, sighting: Sighting) -> Cause | None:
    arrival = scene.side(sighting.half).arrival
    if arrival is None or "S" not in arrival.segment.flags or "A" in arrival.segment.flags:
        return None
    if sighting.half.syns and not scene.conversation.is_self_connected:
        return None
    at = sighting.segment.src
    listening = scene.matching.listeners.at(at, arrival.time_ns)
    reason = f"RST: {at} refuses the SYN" if listening else f"RST: nobody listens on {at}"
    return reply_to(arrival, reason, scene.by_order())


def _aborting_close(scene: Scene, sighting: Sighting) -> Cause | None:
    life = scene.life(sighting.half)
    if life is None or not ends_during(life, sighting.time_ns):
        return None
    if not _is_active(sighting, scene.side(sighting.half).arrival):
        return None
    call = scene.calls.get(life.closed_by) if life.closed_by is not None else None
    name = f"{call.name}()" if call else "the end of its process"
    incoming = scene.streams[sighting.other]
    own, at_ns = sighting.half, sighting.time_ns
    unread = unread_at_end(life, scene.conversation, own, incoming, at_ns)
    if unread.count:  # asked first by Linux __tcp_close
        reason = f"RST: {name} with {unread.count} bytes unread aborts"
        mechanism = "rst-unread-data"
    elif lingers_zero(life):
        mechanism, reason = "rst-linger-zero", f"RST: {name} with SO_LINGER 0 aborts"
    else:
        mechanism, reason = "rst-while-closing", f"RST: sent while {name} ended the socket"
    if call is None:
        cause = by_call(None, reason, Confidence.LIKELY)
    else:
        sure = unread.sure and mechanism != "rst-while-closing"
        cause = _sent(scene, call, sighting, reason, sure)
    return replace(cause, mechanism=mechanism)


def _dissolving_connect(scene: Scene, sighting: Sighting) -> Cause | None:
    if not _is_active(sighting, scene.side(sighting.half).arrival):
        return None
    for call in scene.matching.calls_of.get(sighting.half, []):
        dissolves = call.name == "connect" and call.args.get("address") == "AF_UNSPEC"
        if dissolves and during(call, sighting.time_ns):
            return _sent(scene, call, sighting, "RST: connect() to AF_UNSPEC dissolves it")
    return None


def _closing_listener(scene: Scene, sighting: Sighting) -> Cause | None:
    """Of several listeners that share the port, the one that ended at that moment."""
    if sighting.half.socket is not None or sighting.half is not scene.conversation.server:
        return None
    ended = [_stopped(scene, life, sighting.time_ns) for life in _listeners(scene)]
    calls = [call for call in ended if call is not None]
    if len(calls) != 1:
        return None
    reason = "RST: the listener closed with this connection still in its queue"
    return _sent(scene, calls[0], sighting, reason)


def _listeners(scene: Scene) -> list[SocketLife]:
    """The connection's listener, or all those whose it may be."""
    known = scene.listener()
    if known is not None:
        return [known]
    conversation = scene.conversation
    began = conversation.sightings[0].time_ns
    found = scene.matching.listeners.at(conversation.server.sender, began)
    return [scene.descriptors.sockets[one.socket] for one in found]


def _stopped(scene: Scene, listener: SocketLife, time_ns: int) -> Call | None:
    """The close or shutdown by which a listener ended at that moment."""
    shutdown = next(
        (c for c in listener.calls if c.name == "shutdown" and during(c, time_ns)), None
    )
    if shutdown is None and ends_during(listener, time_ns) and listener.closed_by is not None:
        return scene.calls[listener.closed_by]
    return shutdown


def _accept_queue_full(scene: Scene, sighting: Sighting) -> Cause | None:
    """Linux tcp_check_req with tcp_abort_on_overflow: the handshake's last ACK is reset."""
    listener = scene.listener()
    arrival = scene.side(sighting.half).arrival
    if listener is None or arrival is None or sighting.half.socket is not None:
        return None
    if sighting.half is not scene.conversation.server or not sighting.half.syns:
        return None
    still_open = listener.closed_ns is None or listener.closed_ns > sighting.time_ns
    if not still_open or sighting.ack is not None or scene.conversation.establishing is None:
        return None
    own = f"{sighting.half.host}:{ABORT_ON_OVERFLOW}"  # as settings of one host in a lab are named
    setting = scene.settings.get(own, scene.settings.get(ABORT_ON_OVERFLOW))
    if setting == "0":
        return None
    # It would have completed the handshake, and nothing but a full queue refuses that.
    sure = setting is not None and arrival is scene.conversation.establishing
    reason = "RST: the accept queue was full (tcp_abort_on_overflow)"
    return reply_to(arrival, reason, scene.by_order() if sure else Confidence.LIKELY)


def _for_no_connection(scene: Scene, sighting: Sighting) -> Cause | None:
    arrival = scene.side(sighting.half).arrival
    if arrival is None or _is_active(sighting, arrival):
        return None
    answers = arrival.ack is None or arrival.segment.ack == sighting.segment.seq
    confidence = scene.by_order() if answers else Confidence.LIKELY
    mechanism, reason = _why_no_connection(scene, sighting, arrival)
    return replace(reply_to(arrival, reason, confidence), mechanism=mechanism)


def _why_no_connection(scene: Scene, sighting: Sighting, arrival: Sighting) -> tuple[str, str]:
    """The mechanism, and the reason in words."""
    life = scene.life(sighting.half)
    if sighting.ends_older:
        old = "RST: in SYN-SENT, an ACK that is not of its SYN but of an older connection"
        return "rst-old-ack", old
    what = "data" if arrival.segment.length else "a segment"
    closer = scene.calls.get(life.closed_by) if life and life.closed_by else None
    if closer is not None and life and (life.closed_ns or 0) <= sighting.time_ns:
        gone = f"RST: {what} for a socket that {closer.name}() c{closer.id} had closed"
        setting = scene.settings.get(
            f"{sighting.half.host}:{FIN_TIMEOUT}", scene.settings.get(FIN_TIMEOUT)
        )
        if given_up(scene.conversation, sighting.half, life, setting, sighting.time_ns):
            gone += ", and that FIN-WAIT-2 had kept for no longer than tcp_fin_timeout"
        return "rst-closed-socket", gone
    shut = life.shut_reading(sighting.time_ns) if life else None
    mine = [r for r in sighting.half.resets if r.id < sighting.id]
    if shut is not None and arrival.segment.length and sighting.half.fins and not mine:
        # Linux tcp_rcv_state_process: in FIN-WAIT-1 and 2 nobody will read it any more.
        deaf = f"RST: data for a socket that shutdown() c{shut.id} had closed for receiving too"
        return "rst-shut-receiving", deaf
    if any(r.id < sighting.id for r in (*arrival.half.resets, *sighting.half.resets)):
        return "rst-was-reset", f"RST: {what} for a connection that was reset before"
    if scene.conversation.began_with_syn and scene.conversation.establishing is not None:
        lost = f"RST: {what} for a connection that this end does not have any more"
        return "rst-no-connection", lost
    return "rst-no-connection", f"RST: {what} for no connection"


def _gave_up(scene: Scene, sighting: Sighting) -> Cause | None:
    """Keepalive or TCP_USER_TIMEOUT ended a connection whose peer was silent (tcp(7))."""
    half = sighting.half
    arrival = scene.side(half).arrival
    life = scene.life(half)
    if life is None or not _is_active(sighting, arrival):
        return None
    asked = patience_of(life)
    probes = unanswered_probes(scene.conversation, half, sighting.time_ns)
    if asked.keepalive and probes:
        enough = asked.probes is not None and len(probes) >= asked.probes
        sure = scene.by_order() if enough else Confidence.LIKELY
        many = f"{len(probes)} keepalive probes were" if len(probes) > 1 else "a probe was"
        return Cause(CauseKind.TIMER, f"RST: {many} not answered", sure, segment=probes[-1].id)
    waits = asked.keepalive or asked.user_timeout
    last = scene.side(half).last
    silent = last is not None and (arrival is None or arrival.id < last.id)
    if silent and waits:
        return Cause(CauseKind.TIMER, "RST: the peer did not answer in time", Confidence.LIKELY)
    return None


def _unrecorded_abort(scene: Scene, sighting: Sighting) -> Cause | None:
    life = scene.life(sighting.half)
    if life is not None and life.closed_ns is not None and life.closed_by is None:
        # A program that was executed, and not recorded, held it to its end.
        return by_call(None, "RST: an abort, as its process ended", Confidence.LIKELY)
    if life is not None:
        return None
    return by_call(None, "RST: an abort (the call was not recorded)", Confidence.LIKELY)


RESETS: tuple[ResetRow, ...] = (
    ResetRow("rst-nobody-listens", _nobody_listens, "RFC 9293 3.10.7.1"),
    ResetRow("rst-while-closing", _aborting_close, "RFC 1122 4.2.2.13, RFC 2525 2.17, socket(7)"),
    ResetRow("rst-af-unspec", _dissolving_connect, "connect(2), Linux tcp_disconnect"),
    ResetRow("rst-listener-closed", _closing_listener, "Linux inet_csk_listen_stop"),
    ResetRow("rst-queue-full", _accept_queue_full, "Linux tcp_check_req, tcp(7)"),
    ResetRow("rst-no-connection", _for_no_connection, "RFC 9293 3.10.7.1"),
    ResetRow("rst-peer-silent", _gave_up, "RFC 1122 4.2.3.6, RFC 5482"),
    ResetRow("", _unrecorded_abort, "RFC 9293 3.10.5"),
)
