"""Rules for a send() that failed or never returned: why nothing could be sent."""

from __future__ import annotations

from itertools import islice

from observatory.analysis.asked import answer
from observatory.analysis.callsets import RECEIVING, SENDING
from observatory.analysis.holding import scaled_window
from observatory.analysis.room import memory_said
from observatory.analysis.rule import Rule
from observatory.analysis.rules_transfer import (
    dissolved,
    flags,
    icmp_came,
    kept_alive_in_vain,
    no_peer,
    ok,
    refused_late_data,
    reset_came,
    returned,
    timed_out,
    timed_wait,
)
from observatory.analysis.view import YES, Because, View, counted, ids
from observatory.analysis.wire import Half
from observatory.model import Segment


def _broken(view: View) -> Because | None:
    """EPIPE: the sending direction is over, by a RST that came or by our own shutdown."""
    other = view.other
    resets = [r.id for r in other.resets if r.arrived_ns <= returned(view)] if other else []
    told = _told_reset(view)
    if not resets:
        return None
    facts = {"reset": f"#{resets[0]}", "told": told}
    return Because(facts, segments=(resets[0],))


def _told_reset(view: View) -> str:
    told = [c for c in view.earlier(*SENDING, *RECEIVING) if c.errno in ("ECONNRESET", "EPIPE")]
    if told:
        return f" ({told[-1].name}() c{told[-1].id} was told {told[-1].errno} already)"
    return ""


def _shut_down(view: View) -> Because | None:
    shut = [c for c in view.earlier("shutdown") if c.args.get("how") != "SHUT_RD" and c.succeeded]
    return Because({"shutdown": f"c{shut[0].id}"}, (shut[0].id,)) if shut else None


def _peer_gone_locally(view: View) -> Because | None:
    life = view.life
    return YES if life and not (life.is_tcp or life.is_udp) else None


def _last_window(half: Half, other: Half, segment: Segment) -> str:
    window = scaled_window(other, half, segment)
    if window is None:
        return ""
    return f" The peer's last window was {counted(window, 'byte')} (#{segment.id})."


def _no_room(view: View) -> Because | None:
    by, half = view.nonblocking, view.half
    asked = "MSG_DONTWAIT" in flags(view)
    if by is None and not asked:
        return None
    why = f"since {by.name}() c{by.id}" if by else "by MSG_DONTWAIT"
    calls = (by.id,) if by else ()
    if half is None:
        return Because({"why": why, "peer": "", "kernel": ""}, calls)
    other = view.other
    before = view.conversation.before(view.decided_ns) if view.conversation else ()
    closed = list(islice((s.id for s in before if s.half is other and s.ack is not None), 1))
    told = _last_window(half, other, view.segment(closed[0])) if closed and other else ""
    facts = {"why": why, "peer": told, "kernel": memory_said(view)}
    return Because(facts, calls, tuple(closed))


def _opening(view: View) -> Because | None:
    """The connection was not established yet (Linux sk_stream_wait_connect)."""
    half, other = view.half, view.other
    if half is None or other is None or half is other or not half.syns:
        return None
    answered = any(syn.arrived_ns <= returned(view) for syn in other.syns)
    state = answer(view.call, "after").get("state")
    if answered and state not in ("SYN-SENT", "SYN-RECEIVED"):
        return None
    said = f" Asked right after, the kernel said: {state}." if state else ""
    return Because({"syn": f"#{half.syns[0].id}", "kernel": said}, segments=(half.syns[0].id,))


def _killed_by_sigpipe(view: View) -> Because | None:
    """The default action of SIGPIPE ended the process inside the call."""
    process = view.joined.processes.get(view.call.pid)
    if process is None or process.signal != "SIGPIPE":
        return None
    broken = _broken(view) or _shut_down(view)
    if broken is None:
        return None
    what = broken.facts.get("reset") or broken.facts.get("shutdown")
    return Because({"what": what}, broken.calls, broken.segments)


def _cut_off(view: View) -> Because | None:
    if view.outgoing is None:
        return None
    sent = f"; what it had handed over went out as {ids(view.sent)}" if view.sent else ""
    return Because({"handed": sent})


UNSENT_RULES: tuple[Rule, ...] = (
    Rule(
        "send-broken-by-reset", SENDING, ok("EPIPE"),
        "RST {reset} had ended the connection{told}: nothing can be sent on it any more. The "
        "kernel also raises SIGPIPE unless MSG_NOSIGNAL or SIG_IGN holds it off. Nothing was sent.",
        "send(2); UNP 5.13", _broken),
    Rule(
        "send-after-shutdown", SENDING, ok("EPIPE"),
        "This end shut its sending direction down itself ({shutdown}): nothing can be sent after "
        "the FIN. The kernel also raises SIGPIPE unless it is held off. Nothing was sent.",
        "send(2); shutdown(2)", _shut_down),
    Rule(
        "send-broken-locally", SENDING, ok("EPIPE", "ECONNRESET", "ENOTCONN", "ECONNREFUSED",
                                             "EAGAIN", "ENOENT"),
        "The peer inside this host is gone or takes no more ({errno}). No packet is involved.",
        "unix(7); send(2)", _peer_gone_locally),
    Rule(
        "send-reset", SENDING, ok("ECONNRESET"),
        "RST {reset} had come{why}; this is the first call to be told. Nothing was sent.",
        "send(2); RFC 9293 3.10.7.4; UNP 5.12", reset_came),
    Rule(
        "send-reset-by-own-kernel", SENDING, ok("ECONNRESET"),
        "Data {data} came after shutdown() {shutdown} had ended receiving here and a FIN had gone "
        "out: nobody can read it, so this kernel answered with RST {reset} and gave the connection "
        "up. Nothing was sent.",
        "Linux tcp_rcv_state_process; RFC 1122 4.2.2.13", refused_late_data),
    Rule(
        "send-dissolved", SENDING, ok("ECONNRESET"),
        "connect() {dissolve} to AF_UNSPEC had taken the connection away{reset}. Linux tells that "
        "as {errno}, once, to whoever uses the socket next. Nothing was sent.",
        "connect(2); Linux tcp_disconnect", dissolved),
    Rule(
        "send-refused-by-icmp", SENDING, ok("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"),
        "ICMP {icmp} ({says}) had answered {quoted}, an earlier datagram of this connected "
        "socket; the first call after it is told, and sends nothing.",
        "udp(7); icmp(7); UNP 8.11", icmp_came),
    Rule(
        "send-while-opening", SENDING, ok("EAGAIN", "EWOULDBLOCK"),
        "The connection was not established yet: SYN {syn} had no answer. A send waits for that, "
        "and this one must not wait.{kernel} Nothing was taken.",
        "send(2); connect(2); Linux sk_stream_wait_connect", _opening),
    Rule(
        "send-no-room", SENDING, ok("EAGAIN", "EWOULDBLOCK"),
        "The send buffer is full and the socket does not wait ({why}).{peer}{kernel} Nothing was "
        "taken.",
        "send(2); RFC 9293 3.8.6", _no_room),
    Rule(
        "send-timeout", SENDING, ok("EAGAIN", "EWOULDBLOCK"),
        "The time set by SO_SNDTIMEO ({option}) passed before there was room.",
        "socket(7) SO_SNDTIMEO", timed_wait),
    Rule(
        "send-not-connected", SENDING, ok("ENOTCONN", "EPIPE", "EDESTADDRREQ"),
        "The socket has no peer: nothing says where the bytes should go. Nothing was sent.",
        "send(2); UNP 4.3", no_peer),
    Rule(
        "send-keepalive-timed-out", SENDING, ok("ETIMEDOUT"),
        "Nothing had come for so long that keepalive asked (SO_KEEPALIVE, {option}): {probes} "
        "{were} not answered{count}, and the kernel gave the connection up.{way}{reset}",
        "tcp(7) TCP_KEEPCNT; RFC 9293 3.8.4; UNP 7.5", kept_alive_in_vain, by_absence=True),
    Rule(
        "send-timed-out", SENDING, ok("ETIMEDOUT", "EHOSTUNREACH"),
        "What was sent last ({last}) was never acknowledged, and the kernel gave the connection "
        "up{limit}.{way} Nothing was sent now.",
        "tcp(7) tcp_retries2, TCP_USER_TIMEOUT; RFC 9293 3.8.3", timed_out, by_absence=True),
    Rule(
        "send-refused", SENDING,
        ok("EMSGSIZE", "EISCONN", "EOPNOTSUPP", "EINVAL", "EACCES", "EPERM", "ENOBUFS",
            "EAFNOSUPPORT", "EDESTADDRREQ", "ENETUNREACH", "EINPROGRESS", "EFAULT"),
        "The kernel refused with {errno} before sending anything.", "send(2)", certain=True),
    Rule(
        "send-killed-by-sigpipe", SENDING, ok("never"),
        "Nothing could be sent any more ({what}): the call would have failed with EPIPE, but first "
        "the kernel raised SIGPIPE, and its default action ended the process. Nothing was sent.",
        "send(2); signal(7); UNP 5.13", _killed_by_sigpipe),
    Rule(
        "send-cut-off", SENDING, ok("never"),
        "send() was still waiting for room in its buffer when {end}{handed}.",
        "send(2)", _cut_off),
)  # fmt: skip
