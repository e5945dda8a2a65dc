"""Evidence that sending and receiving have in common."""

from __future__ import annotations

from collections.abc import Sequence

from observatory.analysis.callsets import ACCEPTING, RECEIVING
from observatory.analysis.conversations import Sighting
from observatory.analysis.datagrams import describe_icmp
from observatory.analysis.lost import silence
from observatory.analysis.patience import patience_of, unanswered_probes
from observatory.analysis.view import YES, Because, View, ids
from observatory.model import Call, CauseKind, Protocol


def ok(*outcomes: str) -> frozenset[str]:
    """Outcomes of a rule: success, or the errnos given."""
    return frozenset(outcomes or ("ok",))


def flags(view: View) -> str:
    """The flags argument of the call, as printed."""
    return str(view.call.args.get("flags", ""))


def unix(view: View) -> Because | None:
    """The socket is AF_UNIX: no packet is involved."""
    return YES if view.life is not None and view.life.is_unix else None


def no_peer(view: View) -> Because | None:
    """The socket has no connection."""
    life = view.life
    return YES if life is not None and view.half is None else None


def returned(view: View) -> int:
    """When the call returned; its entry if it never did."""
    return view.call.returned_ns or view.call.entered_ns


def reset_came(view: View) -> Because | None:
    """A RST completed the call; why it was sent is told with it."""
    resets = [s for s in view.segments_of(view.completed_by, Protocol.TCP) if "R" in s.flags]
    if not resets:
        return None
    cause = view.causes[resets[-1].id]
    why = f" ({cause.reason.removeprefix('RST: ')})" if cause.kind is not CauseKind.UNKNOWN else ""
    by = (cause.call,) if cause.call is not None else ()
    answered = (cause.segment,) if cause.segment is not None else ()
    return Because({"reset": f"#{resets[-1].id}", "why": why}, by, answered)


def refused_late_data(view: View) -> Because | None:
    """This end's own kernel reset the connection, as data came that nobody can read any more."""
    life, half = view.life, view.half
    for reset in half.resets if life is not None and half is not None else ():
        cause, shut = view.causes[reset.id], life.shut_reading(reset.time_ns) if life else None
        if cause.kind is not CauseKind.REPLY or cause.segment is None or shut is None:
            continue
        if reset.time_ns <= returned(view) and view.segment(cause.segment).length:
            facts = {
                "reset": f"#{reset.id}",
                "data": f"#{cause.segment}",
                "shutdown": f"c{shut.id}",
            }
            return Because(facts, (shut.id,), (reset.id, cause.segment))
    return None


def dissolved(view: View) -> Because | None:
    """connect() to AF_UNSPEC, here or in another process that has the socket, aborted it."""
    life = view.life
    found = [
        call
        for call in (life.named("connect") if life is not None and life.is_tcp else ())
        if call.args.get("address") == "AF_UNSPEC" and call.succeeded
        if call.entered_ns <= returned(view)
    ]
    if not found:
        return None
    last = found[-1]
    half = view.joined.matching.half_at.get((last.id, life.id)) if life else None
    resets = half.resets if half is not None else []
    sent = [reset.id for reset in resets if view.causes[reset.id].call == last.id]
    facts = {"dissolve": f"c{last.id}", "reset": f" (RST {ids(sent)})" if sent else ""}
    return Because(facts, (last.id,), tuple(sent))


def icmp_came(view: View) -> Because | None:
    """An ICMP error completed the call."""
    found = [s for s in map(view.segment, view.completed_by) if s.icmp is not None]
    if not found:
        return None
    quoted = view.joined.mail.quotes.get(found[-1].id)
    facts = {
        "icmp": f"#{found[-1].id}",
        "says": describe_icmp(found[-1]),
        "quoted": f"#{quoted}" if quoted else "an earlier datagram",
    }
    return Because(facts, segments=(quoted,) if quoted else ())


def timed_wait(view: View) -> Because | None:
    """A time limit was set on the socket: one for what waits to receive or accept, another for
    what waits to send or connect (socket(7))."""
    receives = view.call.name in RECEIVING or view.call.name in ACCEPTING
    option = view.option("SO_RCVTIMEO" if receives else "SO_SNDTIMEO")
    if option is None:
        return None
    return Because({"option": f"c{option.id}"}, (option.id,))


def timed_out(view: View) -> Because | None:
    """What this end sent last was not acknowledged."""
    half, life = view.half, view.life
    if half is None or not half.carriers:
        return None
    last = half.carriers[-1]
    copies = [last, *(one for one in _since(view, last) if one.original is last)]
    limit = patience_of(life).user_timeout if life is not None else None
    waited = _waited(view, limit, copies) if limit else ""
    facts = {"last": f"#{last.id}", "limit": waited, "way": silence(copies)}
    return Because(facts, (limit.id,) if limit else (), (last.id,))


def _waited(view: View, limit: Call, copies: Sequence[Sighting]) -> str:
    """TCP_USER_TIMEOUT, and how long it took where the call was waiting for the end of it. Linux
    (retransmits_timed_out) counts from the first repetition by the retransmission timer, and looks
    only when that timer runs out again."""
    asked = limit.args.get("value")
    told = f" after {asked} ms (TCP_USER_TIMEOUT, c{limit.id})"
    took_ns, first = returned(view) - copies[0].time_ns, copies[0]
    if not isinstance(asked, int) or len(copies) < 2 or not view.exact:
        return told
    until_ns = first.time_ns + asked * 1_000_000
    if not view.call.entered_ns <= until_ns < first.time_ns + took_ns:
        return told
    return (
        f"{told}, which is counted from the first repetition by its timer and looked at when the "
        f"next is due: that was {took_ns / 1e9:.2f} s after #{first.id}"
    )


def _since(view: View, first: Sighting) -> list[Sighting]:
    """What the socket sent from ``first`` until the call returned."""
    conversation = view.conversation
    if conversation is None:
        return []
    sent = conversation.between(first.time_ns, returned(view))
    return [one for one in sent if one.half is first.half]


def _told_by(reset: Sighting) -> str:
    if reset.lost_after:
        told = f"RST #{reset.id} was to tell the peer"
        return f" {told}, and came no further than {reset.lost_after}."
    return f" RST #{reset.id} told the peer."


def kept_alive_in_vain(view: View) -> Because | None:
    """Keepalive probes were not answered."""
    half, conversation, life = view.half, view.conversation, view.life
    if half is None or conversation is None or life is None:
        return None
    asked = patience_of(life)
    reset = next((s for s in half.resets if s.time_ns <= returned(view)), None)
    until_ns = reset.time_ns if reset is not None else returned(view)
    probes = unanswered_probes(conversation, half, until_ns)
    if not probes or asked.keepalive is None:
        return None
    facts = {
        "option": f"c{asked.keepalive.id}",
        "probes": ids([s.id for s in probes]),
        "were": "was" if len(probes) == 1 else "were",
        "count": f" (TCP_KEEPCNT is {asked.probes}, c{asked.count.id})" if asked.count else "",
        "way": silence(probes),
        "reset": _told_by(reset) if reset is not None else "",
    }
    calls = [call.id for call in (asked.keepalive, asked.count) if call is not None]
    segments = [s.id for s in (*probes, *([reset] if reset else []))]
    enough = asked.probes is not None and len(probes) >= asked.probes
    return Because(facts, tuple(calls), tuple(segments), likely=not enough)
