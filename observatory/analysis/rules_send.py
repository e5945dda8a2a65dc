"""Rules for a send() that succeeded: what it put on the wire, and when."""

from __future__ import annotations

from bisect import bisect_right

from observatory.analysis.callsets import SENDING
from observatory.analysis.causes import HELD_BACK_NS
from observatory.analysis.completions import BLOCKED_NS, completed_by
from observatory.analysis.conversations import Sighting
from observatory.analysis.datagrams import describe_icmp
from observatory.analysis.fin_wait import FIN_TIMEOUT, given_up
from observatory.analysis.holding import why_held
from observatory.analysis.room import overfull
from observatory.analysis.rule import Rule, names
from observatory.analysis.rules_again import AGAIN_RULES
from observatory.analysis.rules_transfer import (
    flags,
    ok,
    unix,
)
from observatory.analysis.scene import during
from observatory.analysis.view import YES, Because, View, counted, ids
from observatory.model import Call, CauseKind

# What can make bytes leave that were held back.
_LETS_GO = SENDING | {"shutdown", "close", "setsockopt"}


def _udp(view: View) -> Because | None:
    life = view.life
    return YES if life is not None and life.is_udp else None


def _udp_sent(view: View) -> Because | None:
    return _udp(view) if view.sent else None


def _udp_answered_by_icmp(view: View) -> Because | None:
    """The datagram drew an ICMP error. Whether a later call is told depends on the socket."""
    life = view.life
    if life is None or not life.is_udp:
        return None
    errors = [e for e in view.joined.mail.errors.get(life.id, ()) if _quotes(view, e.id)]
    if not errors:
        return None
    told = [c for c in life.calls if errors[0].id in completed_by(view.joined, c) and c.errno]
    then = f"{told[0].name}() c{told[0].id} was told" if told else "No later call was told"
    facts = {"icmp": f"#{errors[0].id}", "says": describe_icmp(errors[0]), "then": then}
    return Because(facts, segments=(errors[0].id,))


def _quotes(view: View, icmp: int) -> bool:
    return view.joined.mail.quotes.get(icmp) in view.sent


def _netlink(view: View) -> Because | None:
    return YES if view.life is not None and view.life.family == "AF_NETLINK" else None


def _raw(view: View) -> Because | None:
    life = view.life
    if life is None or not (life.type == "SOCK_RAW" or life.family == "AF_PACKET"):
        return None
    drawn = _resets_drawn(view)
    told = f" It drew RST {ids(drawn)}." if drawn else ""
    return Because({"drew": told}, segments=tuple(drawn))


def _resets_drawn(view: View) -> list[int]:
    """The RSTs that answered what this call sent."""
    sightings = [view.joined.wire.sightings.get(number) for number in view.sent]
    answers = [reset for s in sightings if s for reset in s.other.resets]
    return [r.id for r in answers if view.causes[r.id].segment in view.sent]


def _fast_open(view: View) -> Because | None:
    if "MSG_FASTOPEN" not in flags(view) or not view.sent:
        return None
    syn = view.segment(view.sent[0])
    told = (
        f"its SYN #{syn.id} carried {syn.length} bytes"
        if syn.length
        else f"with no cookie in store, SYN #{syn.id} only asked for one and the data came later"
    )
    return Because({"told": told})


def _drew_reset(view: View) -> Because | None:
    """The bytes were accepted, sent, and answered by RST."""
    other = view.other
    if other is None:
        return None
    carried = set(view.sent) | set(view.retransmitted)
    for reset in other.resets:
        cause = view.causes[reset.id]
        if cause.kind is CauseKind.REPLY and cause.segment in carried:
            closer = _closer(view, reset.time_ns)
            why, shown = cause.reason.removeprefix("RST: "), tuple[int, ...]()
            if closer is not None:
                why, shown = _gone(view, closer, reset)
            facts = {"reset": f"#{reset.id}", "why": why}
            return Because(facts, (closer.id,) if closer else (), (*shown, reset.id))
    return None


def _gone(view: View, closer: Call, reset: Sighting) -> tuple[str, tuple[int, ...]]:
    """Why the peer has no socket any more that a call closed, and the segments that show it."""
    life = view.joined.descriptors.sockets.get(reset.half.socket or 0)
    setting = view.joined.setting(FIN_TIMEOUT, reset.half.host)
    waited = given_up(reset.conversation, reset.half, life, setting, reset.time_ns)
    by = f"{closer.name}() c{closer.id}"
    if waited is not None:
        return (
            f"{by} had closed the peer's socket, and no FIN came from here within "
            f"{waited.seconds} s of #{waited.ack.id}, the ACK of its FIN #{waited.fin.id}: it did "
            "not stay in FIN-WAIT-2 for longer (tcp_fin_timeout)",
            (waited.fin.id, waited.ack.id),
        )
    lost = [one for one in reset.half.resets if one.id < reset.id and one.lost_after]
    untold = f" (its RST #{lost[0].id} came no further than {lost[0].lost_after})" if lost else ""
    told = f"the peer's socket is gone because {by} had closed it{untold}"
    return told, (lost[0].id,) if lost else ()


def _closer(view: View, time_ns: int) -> Call | None:
    """The call that had ended the peer's socket by then, where it was recorded."""
    other = view.other
    life = view.joined.descriptors.sockets.get(other.socket) if other and other.socket else None
    if life is None or life.closed_by is None:
        return None
    calls = (c for c in life.calls if c.id == life.closed_by)
    return next((c for c in calls if c.entered_ns <= time_ns), None)


def _blocked(view: View) -> Because | None:
    call = view.call
    if call.returned_ns is None or call.returned_ns - call.entered_ns < BLOCKED_NS:
        return None
    if not view.completed_by or view.half is None:
        return None
    waited = f"{(call.returned_ns - call.entered_ns) / 1e6:.0f} ms"
    shut = _shut_window(view, call.entered_ns, call.returned_ns)
    closed = f" Meanwhile the peer's window was 0 (#{shut[0]})." if shut else ""
    told = waited if view.exact else f"no more than {waited}"
    facts = {"waited": told, "closed": closed, "kernel": ""}
    full = overfull(view)
    if full is None:
        return Because(facts, segments=shut, likely=True)
    facts["kernel"] = (
        f" It could not have returned before #{full.made.id}: {full.size:,} bytes wanted into a "
        f"buffer of {full.limit:,}."
    )
    return Because(facts, segments=(*shut, full.made.id))


def _shut_window(view: View, first_ns: int, last_ns: int) -> tuple[int, ...]:
    """The first segment of the peer that said it could take nothing more."""
    conversation = view.conversation
    meanwhile = conversation.between(first_ns, last_ns) if conversation else ()
    said = (s.id for s in meanwhile if s.half is view.other and not s.segment.window)
    return tuple(said)[:1]


def _held(view: View) -> Because | None:
    """Bytes that left only after the call had returned."""
    half, call = view.half, view.call
    if half is None or not view.sent or call.returned_ns is None:
        return None
    first = view.segment(view.sent[0])
    if first.time_ns <= call.returned_ns + HELD_BACK_NS:
        return None
    release, opener = view.causes[first.id].segment, _let_go(view, first.time_ns)
    if release:
        told = f"until #{release} came"
    elif opener:
        told = f"until {opener.name}() c{opener.id} let them go"
    else:
        told = "until a timer let them go"
    hold, asked = why_held(view, first), call.args.get("length")
    part = isinstance(asked, int) and call.result is not None and call.result < asked
    taken = (
        f"{call.result} of {asked} bytes" if part else f"the {counted(call.result or 0, 'byte')}"
    )
    facts = {"told": told, "why": hold.why, "taken": taken}
    calls = (opener.id,) if opener and not release else ()
    likely = not hold.sure or not (release or opener)
    return Because(facts, calls, (release,) if release else (), likely=likely)


def _let_go(view: View, time_ns: int) -> Call | None:
    """The socket's later call within which the bytes left: a send that filled the segment, an
    option that uncorked, a FIN behind them."""
    calls = view.life.calls if view.life is not None else []
    index = bisect_right(calls, time_ns, key=lambda c: c.entered_ns)
    near = (c for c in calls[max(index - 4, 0) : index] if c.name in _LETS_GO)
    return next((c for c in near if c.id != view.call.id and during(c, time_ns)), None)


def _from_file(view: View) -> Because | None:
    if view.call.name != "sendfile" or not view.sent:
        return None
    return Because({"file": view.call.args.get("in_fd")})


def _urgent(view: View) -> Because | None:
    return YES if "MSG_OOB" in flags(view) else None


def _partial(view: View) -> Because | None:
    asked, taken = view.call.args.get("length"), view.call.result
    return YES if isinstance(asked, int) and taken is not None and taken < asked else None


def _sent_on_wire(view: View) -> Because | None:
    return YES if view.sent else None


def _never_left(view: View) -> Because | None:
    """TCP took the bytes, but no segment ever carried them."""
    half, stream = view.half, view.outgoing
    if half is None or stream is None or view.sent:
        return None
    return Because(likely=view.lossy)


def _spliced_out(view: View) -> Because | None:
    return YES if view.call.name == "splice" and view.sent else None


SEND_RULES: tuple[Rule, ...] = (
    Rule(
        "send-netlink", SENDING, ok(),
        "{result} bytes went to this kernel itself: AF_NETLINK has no packets on any network.",
        "netlink(7)", _netlink, plain=True),
    Rule(
        "splice-out", names("splice"), ok(),
        "The kernel moved {result} bytes from a pipe into the send buffer, without passing them "
        "through the program, and sent {sent}.", "splice(2)", _spliced_out, plain=True),
    Rule(
        "send-raw", SENDING, ok(),
        "A raw socket sent a packet that the program made itself: {sent}. The kernel's TCP knows "
        "nothing of it.{drew}", "raw(7); packet(7)", _raw),
    Rule(
        "send-unix", SENDING, ok(),
        "The {result} bytes went to the peer's receive buffer inside this kernel. No packet is "
        "sent for AF_UNIX.", "unix(7)", unix, plain=True),
    Rule(
        "send-udp-refused-later", SENDING, ok(),
        "The datagram {sent} was sent, and the call succeeded: UDP promises no more. It drew "
        "{icmp} (ICMP {says}). {then}.",
        "udp(7); RFC 1122 4.1.3.3; UNP 8.9", _udp_answered_by_icmp),
    Rule(
        "send-udp", SENDING, ok(),
        "One call, one datagram: {sent}. Sent does not mean received.", "udp(7)", _udp_sent,
        plain=True),
    Rule(
        "send-fast-open", SENDING, ok(),
        "MSG_FASTOPEN connects and sends in one call: {told}.", "RFC 7413; tcp(7)", _fast_open),
    Rule(
        "send-drew-reset", SENDING, ok(),
        "The call succeeded because the kernel took the bytes into its send buffer; they went "
        "out as {sent}, and RST {reset} answered: {why}. The next call will be told.",
        "send(2); RFC 9293 3.10.7.1; UNP 5.12, 5.13", _drew_reset),
    Rule(
        "send-urgent", SENDING, ok(),
        "Urgent mode: the last byte is marked by the urgent pointer in {sent}; it travels in the "
        "stream like any other byte.", "RFC 6093; tcp(7); UNP 24.2", _urgent),
    Rule(
        "send-blocked", SENDING, ok(),
        "The send buffer was full and the call waited {waited}, until {completed} made room by "
        "acknowledging bytes or opening the window.{closed}{kernel}",
        "send(2); RFC 9293 3.8.6; socket(7) SO_SNDBUF", _blocked),
    Rule(
        "send-held", SENDING, ok(),
        "The kernel took {taken} at once but held them back {told}: {why}. {sent} carried them "
        "then.", "RFC 9293 3.7.4, 3.8.6; tcp(7) TCP_NODELAY; UNP 7.9", _held),
    *AGAIN_RULES,
    Rule(
        "send-file", SENDING, ok(),
        "The kernel took {result} bytes from the file behind descriptor {file}, without passing "
        "them through the program, and sent {sent}. To TCP they are bytes like any others.",
        "sendfile(2)", _from_file),
    Rule(
        "send-partial", SENDING, ok(),
        "The kernel took {result} of {length} bytes: no more fitted into the send buffer of a "
        "socket that does not wait.", "send(2); UNP 3.9", _partial),
    Rule(
        "send", SENDING, ok(),
        "The kernel took the {result} bytes into its send buffer and sent {sent}. Success means "
        "buffered, not delivered.", "send(2); UNP 2.11", _sent_on_wire, plain=True),
    Rule(
        "send-never-left", SENDING, ok(),
        "The kernel took the {result} bytes into its send buffer, but no segment carried them "
        "before the connection or the capture ended.", "send(2)", _never_left, by_absence=True),
)  # fmt: skip
