"""Rules for close()."""

from __future__ import annotations

from observatory.analysis.callsets import RECEIVING, SENDING
from observatory.analysis.closing import (
    aborts_queue,
    fin_before,
    fin_unseen,
    gave_up_before,
    listener,
    no_sockets,
    queued_behind,
    reset_before,
    sends_fin,
    untold,
    with_flag,
)
from observatory.analysis.lives import SocketLife
from observatory.analysis.queue_words import why_dropped
from observatory.analysis.resets import lingers_zero
from observatory.analysis.rule import Rule, names, outcomes
from observatory.analysis.tables import MOST_TOLD
from observatory.analysis.unread import Unread, unread_at_end
from observatory.analysis.view import YES, Because, View, counted, ids

_CLOSE = names("close")

# With these an attempt to connect is over, or a connection given up; with EINTR it goes on.
ERRORS_THAT_END = frozenset(
    {"ETIMEDOUT", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPROTO"}
)


def _ended(view: View) -> SocketLife | None:
    """The socket whose last descriptor this call gave up."""
    ended = view.joined.descriptors.ended.get(view.call.id, ())
    return view.joined.descriptors.sockets[ended[0]] if ended else None


def _unread(view: View, reset: int) -> Unread:
    """What was unread when the call sent this RST."""
    life, half, conversation, stream = _ended(view), view.half, view.conversation, view.incoming
    if life is None or half is None or conversation is None or stream is None:
        return Unread(0)
    return unread_at_end(life, conversation, half, stream, view.segment(reset).time_ns)


def _aborts_unread(view: View) -> Because | None:
    resets, life, stream = with_flag(view, "R"), _ended(view), view.incoming
    unread = _unread(view, resets[0]) if resets else Unread(0)
    if not unread.count or life is None or stream is None:
        return None
    aborted_ns = view.segment(resets[0]).time_ns
    unread_from, shown = stream.taken_by(aborted_ns), stream.shown_by(aborted_ns)
    brought = [s.id for s in stream.half.carrying(unread_from, shown)]
    option = view.option("SO_LINGER") if lingers_zero(life) else None
    facts = {
        "reset": ids(resets),
        "unread": counted(unread.count, "byte"),
        "brought": f"that {ids(brought)} had brought " if brought else "",
        "were": "was" if unread.count == 1 else "were",
        "asked": _told_unread(unread),
        "linger": f" SO_LINGER 0 (c{option.id}) would have done the same." if option else "",
        "untold": untold(view, resets),
    }
    calls = (option.id,) if option else ()
    return Because(facts, calls, tuple(brought), likely=not unread.sure)


def _told_unread(unread: Unread) -> str:
    if unread.asked is None:
        return ""
    told = counted(unread.asked, "byte") if unread.asked else "none yet"
    return f" (asked just before, the kernel said: {told})"


def _aborts_linger(view: View) -> Because | None:
    resets, life = with_flag(view, "R"), _ended(view)
    if not resets or life is None or not lingers_zero(life):
        return None
    option = view.option("SO_LINGER")
    calls = (option.id,) if option else ()
    facts = {
        "reset": ids(resets),
        "option": f"c{calls[0]}" if calls else "",
        "untold": untold(view, resets),
    }
    return Because(facts, calls)


def _aborts_somehow(view: View) -> Because | None:
    resets = with_flag(view, "R")
    if not resets:
        return None
    denied = _unread(view, resets[0]).denied
    why = (
        " Bytes had come that no call is seen to have read, yet the kernel, asked just before, "
        "had none unread: those were not why."
    )
    return Because({"reset": ids(resets), "why": why if denied else ""}, likely=True)


def _active_close(view: View) -> Because | None:
    """This end's FIN was the first."""
    because, half, other = sends_fin(view), view.half, view.other
    if because is None or half is None or other is None or other is half:
        return None
    if other.fins and other.fins[0].id < half.fins[0].id:
        return None
    resets = sorted(s.id for s in (*half.resets, *other.resets))
    waits = " and goes through TIME-WAIT" if other.fins and not resets else ""
    if resets:
        waits = f"; RST #{resets[0]} came before it could reach TIME-WAIT"
    return Because({**because.facts, "waits": waits}, segments=tuple(resets[:1]))


def _closes_at_once(view: View) -> Because | None:
    """Both ends sent their FIN before the other's had come."""
    because, other, conversation = sends_fin(view), view.other, view.conversation
    if because is None or other is None or conversation is None:
        return None
    if not conversation.closes_crossed:
        return None
    peers = other.fins[0]
    return Because({**because.facts, "peers": f"#{peers.id}"}, segments=(peers.id,))


def _lingered(view: View) -> Because | None:
    because = sends_fin(view)
    return because if because is not None and view.completed_by else None


def _still_held(view: View) -> Because | None:
    """Other descriptors name the socket still, in this process or another."""
    life = view.life
    if life is None or _ended(view) is not None:
        return None
    at = view.call.entered_ns
    holders = view.joined.descriptors.left.get(view.call.id, ())
    if not holders:
        return None
    names_left = (
        "this process" if pid == view.call.pid else view.joined.who(pid) for pid in holders
    )
    told = list(names_left)
    where = "in " + " and ".join([*told[:MOST_TOLD], *(["others"] if told[MOST_TOLD:] else [])])
    ender = life.closed_by
    calls = (ender,) if ender is not None and (life.closed_ns or 0) >= at else ()
    later = f"; c{ender} will end it" if calls else ""
    return Because({"where": where, "later": later}, calls)


def _fin_under_way(view: View) -> Because | None:
    half = view.half
    if half is None or not half.fins:
        return None
    shut = [c for c in view.earlier("shutdown") if c.args.get("how") != "SHUT_RD" and c.succeeded]
    facts = {"shutdown": f"c{shut[0].id}"} if shut else {}
    return Because(facts, (shut[0].id,), (half.fins[0].id,)) if shut else None


def _repaired(view: View) -> Because | None:
    """Linux tcp_close of a socket in repair mode: it vanishes, and the peer is not told."""
    option, half = view.option("TCP_REPAIR"), view.half
    if option is None or half is None or not option.args.get("value") or view.sent:
        return None
    return Because({"repair": f"c{option.id}"}, (option.id,))


def _failed_before(view: View) -> Because | None:
    """The attempt to connect was over, or the kernel had given the connection up."""
    before = [
        c
        for c in (view.life.named("connect", *SENDING, *RECEIVING) if view.life else ())
        if c.entered_ns < view.call.entered_ns and (c.name == "connect" or c.errno == "ETIMEDOUT")
    ]
    if not before or before[-1].errno not in ERRORS_THAT_END:
        return None
    last = before[-1]
    return Because({"told": f"c{last.id}", "failure": last.errno}, (last.id,))


def _broke_off(view: View) -> Because | None:
    """Given up before it opened; and why its SYN had no answer, where that is known."""
    because, half, conversation = gave_up_before(view), view.half, view.conversation
    if because is None or half is None or conversation is None or not half.syns:
        return because and Because({**because.facts, "why": ""}, because.calls, because.segments)
    dropped = why_dropped(view, conversation, half.syns[0])
    if dropped is None:
        return Because({**because.facts, "why": ""}, segments=because.segments)
    facts, likely = {**because.facts, **dropped.facts}, dropped.likely or view.lossy
    return Because(facts, dropped.calls, because.segments, likely=likely)


def _unconnected(view: View) -> Because | None:
    life = view.life
    if life is None or (life.created_by is None and not life.is_udp):
        return None  # it may have had a connection before the trace began
    if life.listener is not None and view.call.peer is None and life.is_tcp:
        return None  # accept() made it: it had one, whosever
    return YES if view.half is None else None


CLOSE_RULES: tuple[Rule, ...] = (
    Rule(
        "close-aborts-queue", _CLOSE, outcomes(),
        "The listener closed with {number} in its accept queue, already established to the "
        "client: RST ({reset}) aborted each.",
        "Linux inet_csk_listen_stop; UNP 4.5", aborts_queue),
    Rule(
        "close-unread-data", _CLOSE, outcomes(),
        "{unread} {brought}{were} never read{asked}: closing then is data loss, so the kernel "
        "tells the peer by RST {reset} instead of FIN.{linger}{untold}",
        "RFC 1122 4.2.2.13; RFC 2525 2.17; Linux __tcp_close", _aborts_unread),
    Rule(
        "close-linger-zero", _CLOSE, outcomes(),
        "SO_LINGER was set to on with 0 seconds ({option}): close() aborted the connection with "
        "RST {reset}, threw away what was unsent and skipped TIME-WAIT.{untold}",
        "socket(7) SO_LINGER; RFC 9293 3.10.5; UNP 7.5", _aborts_linger),
    Rule(
        "close-aborted", _CLOSE, outcomes(),
        "RST {reset} went out while the socket was closed.{why}", "RFC 9293 3.10.5",
        _aborts_somehow, certain=False),
    Rule(
        "close-lingered", _CLOSE, outcomes(),
        "SO_LINGER made close() wait: FIN {fin} went out, and the call returned when {completed} "
        "acknowledged it.", "socket(7) SO_LINGER; UNP 7.5", _lingered),
    Rule(
        "close-simultaneous", _CLOSE, outcomes(),
        "The last descriptor was given up, so FIN {fin} went out, and the peer's FIN {peers} "
        "crossed it on the path: each end closed before it had heard of the other's close. Each "
        "goes through CLOSING to TIME-WAIT.",
        "RFC 9293 3.6, figure 13; close(2); UNP 2.6", _closes_at_once),
    Rule(
        "close-active", _CLOSE, outcomes(),
        "The last descriptor was given up, so FIN {fin} went out. It was the first FIN: this end "
        "closes actively{waits}.",
        "close(2); RFC 9293 3.6; UNP 2.7", _active_close, plain=True),
    Rule(
        "close", _CLOSE, outcomes(),
        "The last descriptor was given up, so FIN {fin} went out, after the peer's: a passive "
        "close.", "close(2); RFC 9293 3.6", sends_fin, plain=True),
    Rule(
        "close-not-last", _CLOSE, outcomes(),
        "Nothing was sent: the socket has another descriptor {where}{later}. Only the last close "
        "ends it.", "close(2); fork(2); dup(2); UNP 4.8", _still_held),
    Rule(
        "close-in-repair", _CLOSE, outcomes(),
        "The socket was in repair mode (TCP_REPAIR, {repair}), so close() destroyed it without a "
        "segment. The peer was not told: to it the connection is open, which makes it half-open.",
        "Linux __tcp_close; RFC 9293 3.5.1; UNP 5.15", _repaired),
    Rule(
        "close-after-reset", _CLOSE, outcomes(),
        "RST {reset} had ended the connection; only the descriptor was left to give up. Nothing "
        "was sent.", "close(2)", reset_before, plain=True),
    Rule(
        "close-after-fin", _CLOSE, outcomes(),
        "FIN {fin} had gone out already ({by}); close() gave up the descriptor and sent nothing.",
        "close(2); shutdown(2)", fin_before, plain=True),
    Rule(
        "close-fin-on-its-way", _CLOSE, outcomes(),
        "shutdown() {shutdown} had ended the sending already; its FIN waited behind bytes that "
        "could not leave yet. close() gave up the descriptor and sent nothing.",
        "close(2); shutdown(2); RFC 9293 3.6", _fin_under_way),
    Rule(
        "close-after-failure", _CLOSE, outcomes(),
        "There was no connection any more ({told} had failed with {failure}); nothing was sent.",
        "close(2)", _failed_before, plain=True),
    Rule(
        "close-unopened", _CLOSE, outcomes(),
        "The connection was not open: {syn} had got no SYN-ACK. close() broke the attempt off; "
        "nothing was sent.{why}", "close(2); RFC 9293 3.10.4", _broke_off),
    Rule(
        "close-listener", _CLOSE, outcomes(),
        "The listener closed; nobody waited in its queue, and nothing was sent.", "close(2)",
        listener, plain=True),
    Rule(
        "close-fin-waits", _CLOSE, outcomes(),
        "The FIN waits behind {unsent} of data that had not left when the capture ended.",
        "RFC 9293 3.6; close(2)", queued_behind, by_absence=True),
    Rule(
        "close-unconnected", _CLOSE, outcomes(),
        "The socket had no connection: closing it sends nothing.", "close(2)", _unconnected,
        plain=True),
    Rule(
        "close-not-captured", _CLOSE, outcomes(),
        "What closing sent was not captured.", "close(2)", fin_unseen, certain=False),
    Rule(
        "close-no-socket", _CLOSE, outcomes(),
        "The descriptor named no socket that was seen, and no segment is seen to go back to it.",
        "close(2)", no_sockets, plain=True, certain=False),
)  # fmt: skip
