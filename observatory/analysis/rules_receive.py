"""Rules for receiving: what a recv() took, waited for, or was told instead."""

from __future__ import annotations

from observatory.analysis.callsets import RECEIVING, SENDING, ends_sending
from observatory.analysis.rule import Rule, names
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
    unix,
)
from observatory.analysis.streams import Stream
from observatory.analysis.view import YES, Because, View, counted
from observatory.model import Call


def _nothing_there(view: View) -> Because | None:
    by = view.nonblocking
    if by is None and "MSG_DONTWAIT" not in flags(view):
        return None
    why = f"since {by.name}() c{by.id}" if by else "by MSG_DONTWAIT"
    return Because({"why": why}, (by.id,) if by else ())


def _peeked(view: View) -> Because | None:
    return YES if "MSG_PEEK" in flags(view) else None


def _out_of_band(view: View) -> Because | None:
    return YES if "MSG_OOB" in flags(view) and view.completed_by else None


def _received(view: View) -> Because | None:
    if not view.completed_by:
        return None
    latest = max(view.came_ns(number) for number in view.completed_by)
    waiting = latest >= view.call.entered_ns
    told = "recv was waiting for it" if waiting else "it was in the receive buffer already"
    return Because({"waited": told})


def _received_although_shut(view: View) -> Because | None:
    """Linux goes on queueing after SHUT_RD, and a receive looks at the queue first."""
    shut = [c for c in view.earlier("shutdown") if c.args.get("how") != "SHUT_WR" and c.succeeded]
    because, life = _received(view), view.life
    if not shut or because is None or life is None or not life.is_tcp:
        return None
    came = min(view.came_ns(number) for number in view.completed_by)
    if came < shut[0].entered_ns:
        return None
    return Because({"shutdown": f"c{shut[0].id}"}, (shut[0].id,))


def _received_datagram(view: View) -> Because | None:
    life = view.life
    return _received(view) if life and life.is_udp else None


def _urgent_ahead(view: View, stream: Stream) -> int:
    """Urgent bytes among the unread ones: an ordinary receive steps over them."""
    inline = view.option("SO_OOBINLINE")
    if inline is not None and inline.args.get("value"):
        return 0
    unread = range(stream.taken_by(returned(view)), stream.shown_by(view.decided_ns))
    return sum(offset in unread for offset in stream.urgent)


def _received_part(view: View) -> Because | None:
    """Fewer bytes were taken than the segments brought: the rest stays."""
    stream = view.incoming
    because = _received(view)
    if stream is None or because is None:
        return None
    there = stream.shown_by(view.decided_ns) - stream.taken_by(returned(view))
    left = there - _urgent_ahead(view, stream)
    if left <= 0:
        return None
    return Because({**because.facts, "left": counted(left, "byte")})


def _nothing_asked(view: View) -> Because | None:
    return YES if view.call.result == 0 else None


def _fin_came(view: View) -> Because | None:
    if not view.completed_by:
        return None
    fin = view.completed_by[-1]
    half, other = view.half, view.other
    life = view.joined.descriptors.sockets.get(other.socket) if other and other.socket else None
    ender = ends_sending(life) if life else None
    by = f" (sent by c{ender})" if ender is not None else ""
    sent = [s.time_ns for s in (*half.fins, *half.resets)] if half else []
    came = [s.arrived_ns for s in other.resets] if other else []
    shut = any(at_ns <= returned(view) for at_ns in (*sent, *came))
    more = "" if shut else " This end can go on sending."
    facts = {"fin": f"#{fin}", "by": by, "more": more}
    return Because(facts, (ender,) if ender else ())


def _own_shutdown(view: View) -> Because | None:
    shut = [c for c in view.earlier("shutdown") if c.args.get("how") != "SHUT_WR"]
    life = view.life
    if not shut and life:
        meanwhile = (
            c for c in life.calls if c.name == "shutdown" and c.args.get("how") != "SHUT_WR"
        )
        shut = [c for c in meanwhile if c.entered_ns <= returned(view)]
    return Because({"shutdown": f"c{shut[-1].id}"}, (shut[-1].id,)) if shut else None


def _until_returned(view: View, *names: str) -> list[Call]:
    """The socket's other calls begun before this one returned: another process may have been
    told first."""
    found = view.life.named(*names) if view.life is not None else []
    return [c for c in found if c.id != view.call.id and c.entered_ns <= returned(view)]


def _eof_after_reset(view: View) -> Because | None:
    """The RST was told to an earlier call; from then on the socket is at its end."""
    other = view.other
    told = [
        c
        for c in _until_returned(view, *SENDING, *RECEIVING, "getsockopt")
        if c.errno in ("ECONNRESET", "EPIPE")
        or (c.args.get("option") == "SO_ERROR" and c.args.get("value") not in (0, "0", None))
    ]
    if other is None or not other.resets or not told:
        return None
    facts = {"reset": f"#{other.resets[0].id}", "told": f"{told[-1].name}() c{told[-1].id}"}
    return Because(facts, (told[-1].id,), (other.resets[0].id,))


def _local_eof(view: View) -> Because | None:
    life = view.life
    if life is None or life.is_tcp:
        return None
    if life.is_unix and life.type == "SOCK_STREAM":
        return Because({"told": "EOF: the peer, inside this host, closed or shut down its sending"})
    return Because({"told": "A datagram without a byte in it came"})


def _eof_unseen(view: View) -> Because | None:
    life = view.life
    if life is None or not life.is_tcp or view.half is None:
        return None
    return YES if view.lossy or (view.conversation and view.conversation.gaps) else None


def _no_urgent(view: View) -> Because | None:
    return YES if "MSG_OOB" in flags(view) else None


def _netlink(view: View) -> Because | None:
    return YES if view.life is not None and view.life.family == "AF_NETLINK" else None


def _spliced_in(view: View) -> Because | None:
    return _received(view) if view.call.name == "splice" else None


RECEIVE_RULES: tuple[Rule, ...] = (
    Rule(
        "recv-netlink", RECEIVING, ok(),
        "{result} bytes came from this kernel itself: AF_NETLINK has no packets on any network.",
        "netlink(7)", _netlink, plain=True),
    Rule(
        "splice-in", names("splice"), ok(),
        "The kernel moved the {result} bytes that {completed} brought into a pipe, without passing "
        "them through the program; {waited}.", "splice(2)", _spliced_in, plain=True),
    Rule(
        "recv-nothing-asked", RECEIVING, ok(),
        "Nothing was asked for, or an empty datagram came.", "recv(2)", _nothing_asked, plain=True),
    Rule(
        "recv-unix", RECEIVING, ok(),
        "The {result} bytes came from the peer inside this kernel. No packet is involved.",
        "unix(7)", unix, plain=True),
    Rule(
        "recv-peek", RECEIVING, ok(),
        "MSG_PEEK shows the bytes of {completed} and leaves them in the receive buffer: the next "
        "receive returns them again.", "recv(2); UNP 14.7", _peeked),
    Rule(
        "recv-urgent", RECEIVING, ok(),
        "MSG_OOB fetched the urgent byte, which {completed} brought, ahead of its place in the "
        "stream.", "tcp(7); RFC 6093; UNP 24.2", _out_of_band),
    Rule(
        "recv-datagram", RECEIVING, ok(), "The datagram {completed}; {waited}.", "udp(7)",
        _received_datagram, plain=True),
    Rule(
        "recv-after-shutdown", RECEIVING, ok(),
        "{completed} brought {result} bytes after this end had shut its receiving direction down "
        "({shutdown}): Linux acknowledges and keeps such bytes, and a receive looks at the buffer "
        "first.", "shutdown(2); Linux tcp_recvmsg; UNP 6.6", _received_although_shut),
    Rule(
        "recv-part", RECEIVING, ok(),
        "{result} bytes of {completed}; {left} more had arrived and stay in the receive buffer.",
        "recv(2); UNP 3.9", _received_part, plain=True),
    Rule(
        "recv", RECEIVING, ok(), "The {result} bytes that {completed} brought; {waited}.",
        "recv(2); UNP 3.9", _received, plain=True),
    Rule(
        "recv-eof", RECEIVING, frozenset({"EOF"}),
        "EOF: FIN {fin} from the peer{by} says that no more bytes will come.{more}",
        "recv(2); RFC 9293 3.6; UNP 5.6", _fin_came),
    Rule(
        "recv-eof-after-shutdown", RECEIVING, frozenset({"EOF"}),
        "EOF because this end shut its own receiving direction down ({shutdown}); the peer knows "
        "nothing of it.", "shutdown(2); UNP 6.6", _own_shutdown),
    Rule(
        "recv-eof-after-reset", RECEIVING, frozenset({"EOF"}),
        "RST {reset} had ended the connection, and {told} was told the error; an error is told "
        "once, and then there is only the end.", "recv(2); socket(7) SO_ERROR", _eof_after_reset),
    Rule(
        "recv-eof-local", RECEIVING, frozenset({"EOF"}),
        "{told}. TCP is not involved: no FIN.", "unix(7); udp(7)", _local_eof),
    Rule(
        "recv-eof-not-captured", RECEIVING, frozenset({"EOF"}),
        "EOF means that the peer's FIN had come, but the capture does not show it.",
        "recv(2)", _eof_unseen, certain=False),
    Rule(
        "recv-reset", RECEIVING, ok("ECONNRESET"),
        "RST {reset} ended the connection{why}. Bytes that had not been read are lost.",
        "recv(2); RFC 9293 3.10.7.4; UNP 5.12", reset_came),
    Rule(
        "recv-reset-by-own-kernel", RECEIVING, ok("ECONNRESET"),
        "Data {data} came after shutdown() {shutdown} had ended receiving here and a FIN had gone "
        "out: nobody can read it, so this kernel answered with RST {reset} and gave the connection "
        "up.",
        "Linux tcp_rcv_state_process; RFC 1122 4.2.2.13", refused_late_data),
    Rule(
        "recv-dissolved", RECEIVING, ok("ECONNRESET", "EPIPE"),
        "connect() {dissolve} to AF_UNSPEC had taken the connection away{reset}. Linux tells that "
        "as {errno}, once, to whoever uses the socket next.",
        "connect(2); Linux tcp_disconnect", dissolved),
    Rule(
        "recv-refused-by-icmp", RECEIVING, ok("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"),
        "ICMP {icmp} ({says}) answered {quoted}, which this connected socket had sent; the "
        "kernel kept the error for the next call, this one.",
        "udp(7); icmp(7); UNP 8.11", icmp_came),
    Rule(
        "recv-refused-by-reset", RECEIVING, ok("ECONNREFUSED"),
        "The connection was refused by RST {reset}; this call is the first to be told.",
        "recv(2); UNP 16.3", reset_came),
    Rule(
        "recv-nothing-there", RECEIVING, ok("EAGAIN", "EWOULDBLOCK"),
        "Nothing had arrived, and the socket does not wait ({why}).", "recv(2); UNP 16.1",
        _nothing_there, by_absence=True),
    Rule(
        "recv-timeout", RECEIVING, ok("EAGAIN", "EWOULDBLOCK"),
        "Nothing arrived within the time set by SO_RCVTIMEO ({option}).", "socket(7) SO_RCVTIMEO",
        timed_wait, by_absence=True),
    Rule(
        "recv-no-urgent", RECEIVING, ok("EINVAL", "EAGAIN", "EWOULDBLOCK"),
        "There is no urgent byte to fetch: none was sent, it was taken already, or SO_OOBINLINE "
        "leaves it in the stream.", "tcp(7); UNP 24.2", _no_urgent),
    Rule(
        "recv-not-connected", RECEIVING, ok("ENOTCONN"),
        "The socket is not connected: there is nobody to receive from. Nothing was sent.",
        "recv(2)", no_peer),
    Rule(
        "recv-keepalive-timed-out", RECEIVING, ok("ETIMEDOUT"),
        "Nothing had come for so long that keepalive asked (SO_KEEPALIVE, {option}): {probes} "
        "{were} not answered{count}, and the kernel gave the connection up.{way}{reset}",
        "tcp(7) TCP_KEEPCNT; RFC 9293 3.8.4; UNP 7.5", kept_alive_in_vain, by_absence=True),
    Rule(
        "recv-timed-out", RECEIVING, ok("ETIMEDOUT", "EHOSTUNREACH"),
        "What this end sent ({last}) was never acknowledged, and the kernel gave the connection "
        "up{limit}.{way}", "tcp(7) tcp_retries2, TCP_USER_TIMEOUT", timed_out, by_absence=True),
    Rule(
        "recv-refused", RECEIVING, ok("EINVAL", "EOPNOTSUPP", "EFAULT", "ENOTCONN"),
        "The kernel refused with {errno}.", "recv(2)"),
    Rule(
        "recv-waiting", RECEIVING, ok("never"),
        "The call was still waiting for something to arrive when {end}.", "recv(2)"),
)  # fmt: skip
