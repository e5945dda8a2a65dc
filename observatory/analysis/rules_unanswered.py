"""Rules for SYNs that were not answered, or not at once, and for who waited for the answer."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.analysis import queue_words
from observatory.analysis.accept_queue import FullQueue, full_for, room_made
from observatory.analysis.callsets import WAITING
from observatory.analysis.lives import SocketLife
from observatory.analysis.lost import silence, why_sent_again
from observatory.analysis.queue_words import why_dropped
from observatory.analysis.rule import Rule, names
from observatory.analysis.syn_patience import told_limit
from observatory.analysis.view import Because, View, counted, ids
from observatory.analysis.wire import Conversation, Half, Sighting

_CONNECT, _OK = names("connect"), frozenset({"ok"})


def _syns(half: Half) -> list[Sighting]:
    """The SYNs of an active open, its repetitions included."""
    return [syn for syn in half.syns if "A" not in syn.segment.flags]


def _answered_late(view: View) -> Because | None:
    """The SYN had to be sent again before a SYN-ACK came."""
    half, conversation = view.half, view.conversation
    if half is None or conversation is None or not view.completed_by:
        return None
    syns = [s for s in _syns(half) if s.id < view.completed_by[-1]]
    if len(syns) < 2 or (view.earlier("connect") and not view.sent):
        return None
    first, *again = syns
    numbers = [s.id for s in again]
    why = why_sent_again(again[-1])
    facts = {
        "syn": f"#{first.id}",
        "again": ids(numbers),
        "times": counted(len(again)),
        "why": f" ({why})" if why else "",
    }
    return Because(facts, segments=(first.id, *numbers))


def _answered_when_room(view: View) -> Because | None:
    """The same, because the accept queue was full when the SYN came, and later was not."""
    late, half, conversation = _answered_late(view), view.half, view.conversation
    if late is None or half is None or conversation is None:
        return None
    syns = _syns(half)
    full = full_for(view.joined, conversation, syns[0])
    if full is None:
        return None
    accept = room_made(view.joined, full, view.segment(view.completed_by[-1]).time_ns)
    made = f"{accept.name}() c{accept.id} made room, and when" if accept else "When"
    calls = (*queue_words.calls(full), *([accept.id] if accept else []))
    facts = {**late.facts, **_queue(full, conversation, view), "room": made}
    sure = queue_words.sure(full, conversation, view)
    return Because(facts, calls, late.segments, likely=not sure)


def _queue(full: FullQueue, conversation: Conversation, view: View) -> dict[str, object]:
    said = queue_words.kernels(full, conversation, view)
    return {**queue_words.facts(full), "kernel": said}


def _silence(view: View) -> Because | None:
    """SYNs that nothing answered."""
    half, other = view.half, view.other
    if half is None or other is None or not half.syns or other.syns or other.resets:
        return None
    if half is other:
        return None
    first, *again = (s.id for s in half.syns)
    elapsed = ((view.call.returned_ns or view.call.entered_ns) - view.call.entered_ns) / 1e9
    limit = view.option("TCP_SYNCNT")
    facts = {
        "syn": f"#{first}",
        "again": f"sent again {counted(len(again))} ({ids(again)})" if again else "not sent again",
        "peer": half.syns[0].segment.dst,
        "seconds": f"{elapsed:.1f} s",
        "limit": told_limit(view, half, len(again), round(elapsed * 1e9)),
        "way": silence(half.syns),
    }
    return Because(facts, (limit.id,) if limit else (), (first, *again))


def _silence_at_full_queue(view: View) -> Because | None:
    """The same, when the listener is known and every SYN found its accept queue full."""
    because, half, conversation = _silence(view), view.half, view.conversation
    if because is None or half is None or conversation is None:
        return None
    found = [full_for(view.joined, conversation, syn) for syn in _syns(half)]
    full = found[0] if found and all(found) else None
    if full is None:
        return None
    facts = {**because.facts, **_queue(full, conversation, view)}
    sure = all(queue_words.sure(each, conversation, view) for each in found if each)
    calls = (*because.calls, *queue_words.calls(full))
    return Because(facts, calls, because.segments, likely=not sure)


def _waited_for_answer(view: View) -> Iterator[tuple[SocketLife, Half]]:
    """The sockets of a poll or select whose SYN had no answer when it returned."""
    until = view.call.returned_ns or view.call.entered_ns
    for number in view.joined.descriptors.waited.get(view.call.id, {}).values():
        half = view.joined.matching.half_at.get((view.call.id, number))
        conversation = view.joined.conversation_of(half)
        if half is None or conversation is None or not _syns(half):
            continue
        other = conversation.opposite(half)
        answers = [s for s in (*other.syns, *other.resets) if s.arrived_ns <= until]
        if half.syns[0].time_ns <= until and not answers and half is not other:
            yield view.joined.descriptors.sockets[number], half


def _expired_unanswered(view: View) -> Because | None:
    if view.call.result:
        return None
    halves = [half for _, half in _waited_for_answer(view)]
    if not halves:
        return None
    syns = [half.syns[0].id for half in halves]
    conversation = view.joined.conversation_of(halves[0])
    dropped = why_dropped(view, conversation, halves[0].syns[0]) if conversation else None
    facts: dict[str, object] = {"syn": ids(syns), "why": ""}
    if dropped is None:
        return Because(facts, segments=tuple(syns))
    return Because({**facts, **dropped.facts}, dropped.calls, tuple(syns), likely=dropped.likely)


UNANSWERED_RULES: tuple[Rule, ...] = (
    Rule(
        "connect-after-full-queue", _CONNECT, _OK,
        "SYN {syn} found the accept queue full (backlog {backlog} of listen() {listen} takes "
        "{holds}) and was dropped in silence. {room} it was sent again {times} ({again}), "
        "SYN-ACK {completed} answered: the wait is the time until the SYN is repeated.{kernel}",
        "listen(2); Linux tcp_conn_request; RFC 6298; UNP 4.5", _answered_when_room,
        by_absence=True),
    Rule(
        "connect-after-retransmission", _CONNECT, _OK,
        "SYN {syn} was not answered{why}; it was sent again {times} ({again}) until SYN-ACK "
        "{completed} came.",
        "RFC 6298; tcp(7) tcp_syn_retries", _answered_late),
    Rule(
        "connect-timed-out-queue-full", _CONNECT, frozenset({"ETIMEDOUT"}),
        "SYN {syn} to {peer} was never answered; it was {again}, and after {seconds} connect() "
        "gave up{limit}. The listener was there, but its accept queue was full (backlog {backlog} "
        "of listen() {listen} takes {holds}, and {waiting}): then SYNs are dropped in silence."
        "{kernel}",
        "tcp(7) tcp_syn_retries; listen(2); Linux tcp_conn_request; UNP 4.5",
        _silence_at_full_queue, by_absence=True),
    Rule(
        "connect-timed-out", _CONNECT, frozenset({"ETIMEDOUT"}),
        "SYN {syn} to {peer} was never answered, neither by a SYN-ACK nor by RST or ICMP; it "
        "was {again}, and after {seconds} connect() gave up{limit}.{way}",
        "RFC 9293 3.8.3; tcp(7) tcp_syn_retries; UNP 4.3", _silence, by_absence=True),
    Rule(
        "connect-waiting", _CONNECT, frozenset({"never"}),
        "connect() was still waiting for an answer to SYN {syn} when {end}.{way}",
        "connect(2)", _silence),
    Rule(
        "wait-expired-unanswered", WAITING, _OK,
        "SYN {syn} had no answer within the time that the call was given.{why}",
        "poll(2); connect(2); Linux tcp_conn_request; UNP 16.3", _expired_unanswered,
        by_absence=True),
)  # fmt: skip
