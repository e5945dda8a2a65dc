"""Rules for a send() whose bytes had to be sent again, and for what made the kernel do so."""

from __future__ import annotations

from observatory.analysis.callsets import SENDING
from observatory.analysis.causes import SAID_MISSING
from observatory.analysis.counting import rose
from observatory.analysis.datagrams import describe_icmp
from observatory.analysis.lost import why_sent_again
from observatory.analysis.narrowed import asked_for_smaller
from observatory.analysis.rule import Rule
from observatory.analysis.rules_transfer import ok
from observatory.analysis.view import Because, View, counted, ids
from observatory.model import Protocol, Segment

_TOO_BIG = {(Protocol.ICMP, 3, 4), (Protocol.ICMPV6, 2, 0)}


def _again(view: View) -> Because | None:
    if not view.retransmitted or not view.sent:
        return None
    again = view.joined.wire.sightings.get(view.retransmitted[-1])
    why = why_sent_again(again) if again else ""
    told = why or "the first copy was not acknowledged in time"
    return Because({"times": counted(len(view.retransmitted)), "why": told})


def _narrowed(view: View) -> Because | None:
    """All that was sent again is smaller, because a router asked for it."""
    again = [view.joined.wire.sightings.get(number) for number in view.retransmitted]
    messages = [asked_for_smaller(one) for one in again if one is not None]
    if not view.sent or not messages or None in messages:
        return None
    told = tuple(sorted({message.id for message in messages if message is not None}))
    router = view.segment(told[0]).src.address
    return Because({"messages": ids(told), "router": router}, segments=told)


def _soft_error(view: View) -> Because | None:
    """An ICMP error about what an open connection had sent came, and ended nothing."""
    life, half = view.life, view.half
    if life is None or half is None or view.option("IP_RECVERR") or view.option("IPV6_RECVERR"):
        return None
    carried = {*view.sent, *view.retransmitted}
    messages = [one for one in view.joined.mail.errors.get(life.id, ()) if _is_about(view, one)]
    messages = [one for one in messages if view.joined.mail.quotes.get(one.id) in carried]
    if not messages or not view.sent or (half.syns and half.syns[-1].id in carried):
        return None
    again = _again(view)
    repeated = f": {again.facts['times']} ({ids(view.retransmitted)})" if again else ""
    facts = {
        "messages": ids([one.id for one in messages]),
        "says": describe_icmp(messages[0]),
        "router": messages[0].src.address,
        "quoted": ids(sorted({view.joined.mail.quotes[one.id] for one in messages})),
        "again": f" It sent the bytes again{repeated}." if again else "",
    }
    return Because(facts, segments=tuple(one.id for one in messages))


def _is_about(view: View, message: Segment) -> bool:
    """It came, and asks for nothing: a router's wish for smaller segments is fulfilled."""
    icmp = message.icmp
    if icmp is None or view.joined.lost_after(message):
        return False
    return (message.protocol, icmp.type, icmp.code) not in _TOO_BIG


def _fast(view: View) -> Because | None:
    """Each time because the peer had shown by its ACKs that it misses them."""
    again = _again(view)
    reasons = [view.causes[number].reason for number in view.retransmitted]
    if again is None or not all(reason.startswith(SAID_MISSING) for reason in reasons):
        return None
    asked = [view.joined.wire.sightings[number] for number in view.retransmitted]
    acks = [
        one
        for one in (view.conversation.before(asked[0].time_ns) if view.conversation else ())
        if one.half is asked[0].other and one.ack == asked[0].seq and not one.lost_after
        if one.arrived_ns <= asked[0].time_ns and one.id > view.sent[0]
    ]
    said = [one for one in acks if one.segment.options.sack]
    how = "SACK in" if said else "duplicate ACKs"
    numbers = sorted(one.id for one in said or acks)
    return Because({**again.facts, "how": f"{how} {ids(numbers)}"}, segments=tuple(numbers))


def _probed(view: View) -> Because | None:
    """All that this host sent again were tail loss probes: its kernel counted as many, and no
    other reason to send again."""
    again, half = _again(view), view.half
    if again is None or half is None:
        return None
    counters = view.joined.counters
    probes = rose(counters, "TcpExt.TCPLossProbes", half.host)
    every = rose(counters, "Tcp.RetransSegs", half.host)
    others = ("TcpExt.TCPTimeouts", "TcpExt.TCPFastRetrans", "TcpExt.TCPSlowStartRetrans")
    if not probes or probes != every or any(rose(counters, one, half.host) for one in others):
        return None
    return Because({**again.facts, "probes": probes})


def _timed(view: View) -> Because | None:
    """By the retransmission timer, unless the kernel counted probes that it may have been."""
    again, half = _again(view), view.half
    if again is None or half is None:
        return None
    probes = rose(view.joined.counters, "TcpExt.TCPLossProbes", half.host)
    told = (
        f" The first may have been a tail loss probe, RFC 8985 7 (TCPLossProbes rose by {probes})."
    )
    return Because({**again.facts, "probes": told if probes else ""})


AGAIN_RULES: tuple[Rule, ...] = (
    Rule(
        "send-too-big", SENDING, ok(),
        "The {result} bytes went out as {sent}, too big for a link further on: the router {router} "
        "said so with ICMP {messages}, and they were sent again in smaller segments ({repeated}). "
        "The program is not told.", "RFC 1191; RFC 8201; tcp(7); UNP 2.11", _narrowed),
    Rule(
        "send-soft-error", SENDING, ok(),
        "The {result} bytes went out as {sent}. ICMP {messages} from {router} ({says}) quoted "
        "{quoted}: for a connection that is open that is a soft error. The kernel notes it, goes "
        "on, and would tell the program only if it had to give the connection up.{again}",
        "RFC 1122 4.2.3.9; RFC 5461; Linux tcp_v4_err; UNP 2.11", _soft_error),
    Rule(
        "send-fast-retransmitted", SENDING, ok(),
        "The {result} bytes went out as {sent} and were sent again {times} ({repeated}), without "
        "waiting for a timeout: {how} said that they were missing; {why}.",
        "RFC 5681 3.2; RFC 6675; RFC 8985", _fast),
    Rule(
        "send-probed", SENDING, ok(),
        "The {result} bytes went out as {sent} and were sent again {times} ({repeated}): {why}. "
        "That was a tail loss probe, which goes out before the retransmission timer would "
        "(TCPLossProbes rose by {probes}, TCPTimeouts not at all).",
        "RFC 8985 7; Linux tcp_send_loss_probe", _probed),
    Rule(
        "send-retransmitted", SENDING, ok(),
        "The {result} bytes went out as {sent} and were sent again {times} ({repeated}): {why}."
        "{probes}", "RFC 6298", _timed),
)  # fmt: skip
