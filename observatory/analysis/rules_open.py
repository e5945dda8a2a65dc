"""Rules for connect(): active opens, and what connect means without TCP."""

from __future__ import annotations

from observatory.analysis.counting import rose
from observatory.analysis.datagrams import describe_icmp
from observatory.analysis.matching import local_endpoint
from observatory.analysis.rule import Rule, names, outcomes
from observatory.analysis.rules_transfer import timed_wait
from observatory.analysis.view import Because, View, counted, ids
from observatory.analysis.wire import Half
from observatory.model import Call, Endpoint, Protocol, Segment

_CONNECT = names("connect")


def _answered(view: View) -> Because | None:
    """A TCP connect that a SYN-ACK completed."""
    conversation, half = view.conversation, view.half
    if conversation is None or half is None or not half.syns or not view.completed_by:
        return None
    syn = half.syns[0]
    return Because({"syn": f"#{syn.id}", "times": counted(len(half.syns) - 1)}, segments=(syn.id,))


def _answered_earlier(view: View) -> Because | None:
    """An earlier connect sent the SYN; this one only collects the result."""
    if view.sent or not view.earlier("connect"):
        return None
    because = _answered(view)
    first = view.earlier("connect")[-1]
    if because is None:
        return None
    return Because({**because.facts, "first": f"c{first.id}"}, (first.id,), because.segments)


def _to_itself(view: View) -> Because | None:
    conversation = view.conversation
    if conversation is None or not conversation.is_self_connected or not view.half:
        return None
    syn = view.half.syns[0].id
    return Because({"syn": f"#{syn}", "own": conversation.client.sender}, segments=(syn,))


def _crossing(view: View) -> Because | None:
    half, other = view.half, view.other
    if half is None or other is None or not other.syns or half is other:
        return None
    if not isinstance(view.address, Endpoint):
        return None
    if "A" in other.syns[0].segment.flags or not half.syns:
        return None
    mine, theirs = half.syns[0].id, other.syns[0].id
    return Because({"mine": f"#{mine}", "theirs": f"#{theirs}"}, segments=(mine, theirs))


def _to_wildcard(view: View) -> Because | None:
    address, half = view.address, view.half
    if not isinstance(address, Endpoint) or not address.is_wildcard or not half:
        return None
    because = _answered(view)
    if because is None:
        return None
    reached = half.syns[0].segment.dst
    return Because({**because.facts, "reached": reached}, segments=because.segments)


def _mapped(view: View) -> Because | None:
    address = view.address
    if not isinstance(address, Endpoint) or address.on_the_wire() == address:
        return None
    because = _answered(view)
    if because is None:
        return None
    return Because({**because.facts, "v4": address.on_the_wire()}, segments=because.segments)


def _reset_answered(view: View) -> Because | None:
    resets = [s for s in view.segments_of(view.completed_by, Protocol.TCP) if "R" in s.flags]
    if not resets:
        return None
    syn = view.causes[resets[-1].id].segment
    bound = _bound_only(view, resets[-1])
    facts = {
        "reset": f"#{resets[-1].id}",
        "syn": f"#{syn}" if syn else "the SYN",
        "peer": resets[-1].src,
        "bound": f" ({bound.name}() c{bound.id} took the port, but without listen())"
        if bound
        else "",
    }
    return Because(facts, (bound.id,) if bound else (), (syn,) if syn else ())


def _bound_only(view: View, reset: Segment) -> Call | None:
    """The bind() of a socket that had the refusing port and did not listen."""
    for life in view.joined.holders.get(reset.src.port, ()):
        own = local_endpoint(life, reset.time_ns)
        gone = life.closed_ns is not None and life.closed_ns < reset.time_ns
        binds = [c for c in life.calls if c.name == "bind" and c.succeeded]
        covers = own is not None and (own == reset.src or own.is_wildcard)
        if life.is_tcp and covers and binds and not gone:
            return binds[-1]
    return None


def _icmp_answered(view: View) -> Because | None:
    found = [s for s in map(view.segment, view.completed_by) if s.icmp is not None]
    return _about_icmp(found[-1]) if found else None


def _icmp_repeated(view: View) -> Because | None:
    """The same, but one that had come before did not end the attempt: Linux tcp_v4_err only notes
    it while a call holds the socket, and counts that."""
    because, life, half = _icmp_answered(view), view.life, view.half
    if because is None or life is None or half is None:
        return None
    syns = {syn.id for syn in half.syns}
    last_ns = min(view.came_ns(number) for number in view.completed_by)
    before = [
        one.id
        for one in view.joined.mail.errors.get(life.id, ())
        if view.joined.mail.quotes.get(one.id) in syns and view.came_ns(one.id) < last_ns
        if view.call.entered_ns <= view.came_ns(one.id)
    ]
    counted_ones = rose(view.joined.counters, "TcpExt.LockDroppedIcmps", half.host)
    if not before or (counted_ones is not None and counted_ones < len(before)):
        return None
    sure = counted_ones is not None and counted_ones == _noted(view, half)
    facts = {
        **because.facts,
        "before": ids(before),
        "counted": f" (LockDroppedIcmps rose by {counted_ones})" if counted_ones else "",
    }
    return Because(facts, segments=tuple(before), likely=not sure)


def _noted(view: View, half: Half) -> int:
    """How many ICMP errors came to this host that ended nothing: a SYN was sent after them, or it
    was no SYN that they quote. Where the kernel counted as many, it counted each of these."""
    errors = [
        (own, message)
        for conversation in view.joined.wire.conversations
        for own, messages in conversation.errors.items()
        for message in messages
        if own.host == half.host
    ]
    quotes = view.joined.mail.quotes
    return sum(
        not any(syn.id == quotes.get(message.id) for syn in own.syns)
        or own.syns[-1].time_ns > view.came_ns(message.id)
        for own, message in errors
    )


def _about_icmp(message: Segment) -> Because:
    facts = {
        "icmp": f"#{message.id}",
        "says": describe_icmp(message),
        "router": message.src.address,
    }
    return Because(facts)


def _nonblocking_sent(view: View) -> Because | None:
    by = view.nonblocking
    if by is None or not view.sent:
        return None
    return Because({"by": f"{by.name}() c{by.id}"}, (by.id,))


def _wait_expired(view: View) -> Because | None:
    return timed_wait(view) if view.sent else None


def _still_opening(view: View) -> Because | None:
    half, first = view.half, view.earlier("connect")
    if half is None or not half.syns or not first:
        return None
    syn = half.syns[0].id
    return Because({"syn": f"#{syn}", "first": f"c{first[-1].id}"}, (first[-1].id,), (syn,))


def _is_listening(view: View) -> Because | None:
    listens = [c for c in view.earlier("listen") if c.succeeded]
    return Because({"listen": f"c{listens[0].id}"}, (listens[0].id,)) if listens else None


def _already_open(view: View) -> Because | None:
    half, first = view.half, view.earlier("connect", "accept4")
    if half is None:
        return None
    peer = view.conversation.opposite(half).sender if view.conversation else view.call.peer
    return Because({"peer": peer}, tuple(c.id for c in first[-1:]))


def _interrupted(view: View) -> Because | None:
    half = view.half
    if half is None or not half.syns:
        return None
    facts = {"syn": f"#{half.syns[0].id}", "signal": view.signal_told}
    return Because(facts, tuple(c.id for c in view.signals), (half.syns[0].id,))


def _fast_opened(view: View) -> Because | None:
    option = view.option("TCP_FASTOPEN_CONNECT")
    return Because(calls=(option.id,)) if option and not view.sent else None


def _opened_unseen(view: View) -> Because | None:
    """A connect whose segments were on no captured interface."""
    life = view.life
    if life is None or not life.is_tcp or view.conversation is not None:
        return None
    if not isinstance(view.address, Endpoint):
        return None
    return Because({"peer": view.address}, likely=True)


OPEN_RULES: tuple[Rule, ...] = (
    Rule(
        "connect-self", _CONNECT, outcomes(),
        "The socket connected to itself: its SYN {syn} was addressed to its own port {own}, "
        "so it crossed with itself as in a simultaneous open, and {completed} answered it.",
        "RFC 9293 3.5 (simultaneous open)", _to_itself),
    Rule(
        "connect-simultaneous", _CONNECT, outcomes(),
        "Simultaneous open: SYN {mine} crossed the peer's SYN {theirs}; both ends were active "
        "and no listener was involved.",
        "RFC 9293 3.5, figure 8", _crossing),
    Rule(
        "connect-fast-open-deferred", _CONNECT, outcomes(),
        "With TCP_FASTOPEN_CONNECT and a cookie in store connect() returns at once without "
        "sending: the SYN leaves with the first data.",
        "RFC 7413; tcp(7)", _fast_opened),
    Rule(
        "connect-collected", _CONNECT, outcomes(),
        "The handshake had been done meanwhile: connect() {first} had sent SYN {syn}, the "
        "SYN-ACK {completed} answered it; this call sent nothing and only collected the success.",
        "connect(2); UNP 16.3", _answered_earlier),
    Rule(
        "connect-wildcard", _CONNECT, outcomes(),
        "{address} as a destination means this host: the kernel connected to {reached} (SYN "
        "{syn}, SYN-ACK {completed}).",
        "Linux ip_route_output_key_hash_rcu; RFC 1122 3.2.1.3", _to_wildcard),
    Rule(
        "connect-v4-mapped", _CONNECT, outcomes(),
        "An IPv6 socket connected to the IPv4-mapped address {address}: on the wire it is IPv4, "
        "to {v4} (SYN {syn}, SYN-ACK {completed}).",
        "RFC 4291 2.5.5.2; ipv6(7); UNP 12.4", _mapped),
    Rule(
        "connect-established", _CONNECT, outcomes(),
        "SYN {syn} was answered by SYN-ACK {completed}: connect() returned then, one round trip "
        "after it was called, when the server's accept() need not have run.",
        "RFC 9293 3.5; UNP 4.3", _answered, plain=True),
    Rule(
        "connect-not-captured", _CONNECT, outcomes(),
        "connect() to {peer} succeeded, but none of its segments was captured: they were on "
        "another interface, filtered, or lost.",
        "connect(2)", _opened_unseen, certain=False),
    Rule(
        "connect-refused", _CONNECT, outcomes("ECONNREFUSED"),
        "SYN {syn} was answered by RST {reset}: nobody listens on {peer}{bound}. A hard error: "
        "connect() fails at once and does not try again.",
        "RFC 9293 3.10.7.1; connect(2); UNP 4.3", _reset_answered),
    Rule(
        "connect-refused-icmp-later", _CONNECT, outcomes(
            "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPROTO", "ENOPROTOOPT"),
        "The ICMP message {icmp} from {router} ({says}) answered the SYN. Linux takes it for a "
        "hard error while the connection is in SYN-SENT. Before it {before} had come, but while "
        "connect() was still at work and held the socket: such an error is only noted{counted}, "
        "and so the SYN had to be sent again ({repeated}).",
        "RFC 1122 4.2.3.9; icmp(7); Linux tcp_v4_err", _icmp_repeated),
    Rule(
        "connect-refused-icmp", _CONNECT, outcomes("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH",
                                               "EACCES", "EPROTO", "ENOPROTOOPT", "EMSGSIZE"),
        "The ICMP message {icmp} from {router} ({says}) answered the SYN. Linux takes it for a "
        "hard error while the connection is in SYN-SENT.",
        "RFC 1122 4.2.3.9; icmp(7); Linux tcp_v4_err", _icmp_answered),
    Rule(
        "connect-in-progress", _CONNECT, outcomes("EINPROGRESS"),
        "The socket is non-blocking (since {by}): connect() sent SYN {sent} and did not wait. "
        "Writability and SO_ERROR will tell how it ended.",
        "connect(2); UNP 16.3", _nonblocking_sent),
    Rule(
        "connect-wait-expired", _CONNECT, outcomes("EINPROGRESS"),
        "SYN {sent} was not answered within the time set by SO_SNDTIMEO ({option}): connect() "
        "waits no longer, and the kernel goes on with the handshake.",
        "socket(7) SO_SNDTIMEO; connect(2)", _wait_expired, by_absence=True),
    Rule(
        "connect-already", _CONNECT, outcomes("EALREADY"),
        "An earlier connect() {first} is still waiting for the answer to SYN {syn}. This call "
        "sent nothing and changed nothing.",
        "connect(2)", _still_opening),
    Rule(
        "connect-is-listening", _CONNECT, outcomes("EISCONN", "EINVAL", "EOPNOTSUPP"),
        "listen() {listen} made the socket passive: it only takes connections. Linux says {errno}. "
        "Nothing was sent.", "connect(2); Linux __inet_stream_connect; RFC 9293 3.3.2",
        _is_listening),
    Rule(
        "connect-is-connected", _CONNECT, outcomes("EISCONN"),
        "The socket is connected to {peer} already; TCP connects once. Nothing was sent.",
        "connect(2); UNP 4.3", _already_open),
    Rule(
        "connect-interrupted", _CONNECT, outcomes("EINTR"),
        "{signal} ended the wait, not the attempt: SYN {syn} is out and the kernel goes on with "
        "the handshake.",
        "connect(2); UNP 5.9, 16.4", _interrupted),
    Rule(
        "connect-reset", _CONNECT, outcomes("ECONNRESET", "ECONNABORTED"),
        "RST {reset} ended the connection while connect() waited.",
        "RFC 9293 3.10.7.4", _reset_answered),
)  # fmt: skip
