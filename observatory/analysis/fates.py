"""What became of each SYN that got no answer: lost on the path, dropped by the listener, or
answered too late.

Nothing on the wire tells the three apart. Who else may know is asked in turn, in the rows of
``FATES``: the interfaces on the path, the kernel that dropped it, the listener's queues, and the
SYN-ACK itself, whose timestamp says which SYN it answers (RFC 7323 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from observatory.analysis.accept_queue import full_for
from observatory.analysis.completions import Joined
from observatory.analysis.wire import Conversation, Kind, Sighting
from observatory.analysis.witness import Witnessed
from observatory.model import Counter

# Linux include/net/dropreason-core.h, as far as a SYN meets them.
DROPPED_FOR = {
    "TCP_LISTEN_OVERFLOW": "dropped by the listener: its accept queue was full",
    "TCP_REQQFULLDROP": "dropped by the listener: its SYN queue was full",
    "NETFILTER_DROP": "dropped by a packet filter",
    "NO_SOCKET": "dropped: no socket was there for it",
}
SYN_QUEUE_FULL = "TcpExt.TCPReqQFullDrop"


@dataclass(frozen=True, slots=True)
class Asked:
    """A SYN and all who may know of it."""

    syn: Sighting
    conversation: Conversation
    joined: Joined
    witnessed: Witnessed
    counters: tuple[Counter, ...]


@dataclass(frozen=True, slots=True)
class Fate:
    """One of those who may know. ``told`` is its answer in a phrase, empty where it knows
    nothing."""

    witness: str
    told: Callable[[Asked], str]
    reference: str


def fates(joined: Joined, witnessed: Witnessed, counters: tuple[Counter, ...]) -> dict[int, str]:
    """Segment id of each SYN without an answer to what became of it."""
    found: dict[int, str] = {}
    for conversation in joined.wire.conversations:
        for syn in unanswered(conversation, joined):
            asked = Asked(syn, conversation, joined, witnessed, counters)
            told = (row.told(asked) for row in FATES)
            found[syn.id] = next((words for words in told if words), UNKNOWN)
    return found


def unanswered(conversation: Conversation, joined: Joined) -> Iterator[Sighting]:
    """The SYNs of an active open that nothing answered before they were sent again, or at all."""
    client = conversation.client
    if conversation.is_self_connected or not client.syns:
        return
    syns = [syn for syn in client.syns if syn.kind in (Kind.SYN, Kind.REPEATED)]
    for syn, later in zip(syns, [*(one.time_ns for one in syns[1:]), None], strict=True):
        answers = _answers(conversation, syn, joined)
        if not any(syn.time_ns <= at and (later is None or at < later) for at in answers):
            yield syn


def _answers(conversation: Conversation, syn: Sighting, joined: Joined) -> list[int]:
    """When SYN, SYN-ACK, RST and the ICMP errors that quote ``syn`` came back, as far as they
    did."""
    server = conversation.server
    back = [*server.syns, *server.resets]
    times = [one.time_ns for one in back if not one.lost_after]
    messages = joined.mail.errors.get(syn.half.socket or 0, ())
    return times + [one.time_ns for one in messages if joined.mail.quotes.get(one.id) == syn.id]


def _on_the_path(asked: Asked) -> str:
    place = asked.syn.lost_after
    if not place:
        return ""
    reason = _reason(asked)
    return f"lost on the path, after {place}" + (f" (kernel: {reason})" if reason else "")


def _dropped_by_a_kernel(asked: Asked) -> str:
    reason = _reason(asked)
    if not reason:
        return ""
    return f"{DROPPED_FOR.get(reason, 'dropped')} (kernel: {reason})"


def _reason(asked: Asked) -> str:
    event = asked.witnessed.drops.get(asked.syn.id)
    return str(event.detail.get("reason", "")) if event is not None else ""


def _accept_queue(asked: Asked) -> str:
    full = full_for(asked.joined, asked.conversation, asked.syn)
    if full is None or full.denied:
        return ""
    sure = "" if full.sure else "perhaps "
    backlog = f"backlog {full.backlog} of listen() c{full.listen.id}"
    told = full.told
    kernels = f", {told.length} of {told.limit} by c{told.call.id}" if told is not None else ""
    return f"{sure}dropped by the listener: its accept queue was full ({backlog}){kernels}"


def _syn_queue(asked: Asked) -> str:
    counted = any(one.name == SYN_QUEUE_FULL and one.change for one in asked.counters)
    if not counted or asked.conversation.listener is None:
        return ""
    return f"perhaps dropped by the listener: its SYN queue was full at times ({SYN_QUEUE_FULL})"


def _answered_late(asked: Asked) -> str:
    """The SYN-ACK echoes the time stamp of the SYN that it answers."""
    stamp = asked.syn.segment.options.timestamp
    again = any(
        syn is not asked.syn and syn.segment.options.timestamp == stamp
        for syn in asked.conversation.client.syns
    )
    if stamp is None or again:
        return ""
    for answer in asked.conversation.server.syns:
        echoed = answer.segment.options.timestamp
        if echoed is not None and echoed[1] == stamp[0]:
            lost = ", which was lost" if answer.lost_after else ""
            return f"answered late, by #{answer.id}{lost}"
    return ""


def _came(asked: Asked) -> str:
    """In a lab it is seen to have come."""
    if asked.conversation.arrivals is None or asked.syn.lost_after:
        return ""
    return "came, and was not answered"


UNKNOWN = "without an answer: nothing shows what became of it"

FATES = (
    Fate("the interfaces on the path", _on_the_path, "RFC 9293 3.8.1"),
    Fate("the SYN-ACK's time stamp", _answered_late, "RFC 7323 3.2"),
    Fate("the kernel that dropped it", _dropped_by_a_kernel, "skb:kfree_skb"),
    Fate("the listener's accept queue", _accept_queue, "Linux tcp_conn_request"),
    Fate("the kernel's counters", _syn_queue, "Linux inet_csk_reqsk_queue_is_full"),
    Fate("the interface of its destination", _came, "RFC 9293 3.8.1"),
)
