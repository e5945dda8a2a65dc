"""Rules for listen() and accept(): passive opens."""

from __future__ import annotations

from observatory.analysis.callsets import ACCEPTING
from observatory.analysis.lives import SocketLife
from observatory.analysis.matching import FOREVER
from observatory.analysis.rule import Rule, names, outcomes
from observatory.analysis.rules_transfer import timed_wait
from observatory.analysis.view import YES, Because, View, ids
from observatory.model import Endpoint

_LISTEN = names("listen")


def _had_no_name(view: View) -> Because | None:
    """listen() on a socket that nobody bound."""
    life, local = view.life, view.local
    if life is None or not life.is_tcp or [c for c in view.earlier("bind") if c.succeeded]:
        return None
    if not isinstance(local, Endpoint) or view.earlier("listen"):
        return None
    return Because({"port": local.port})


def _connected(view: View) -> Because | None:
    half = view.half
    if half is None:
        return None
    opener = view.earlier("connect", "accept4", "accept")
    return Because(calls=tuple(c.id for c in opener[-1:]))


def _listened(view: View) -> Because | None:
    """The socket was a listener already, and no shutdown() had ended that."""
    made = [c for c in view.earlier("listen", "shutdown") if c.succeeded]
    if not made or made[-1].name != "listen":
        return None
    backlog = _backlog(view)
    return None if backlog is None else Because({**backlog.facts, "first": f"c{made[-1].id}"})


def _backlog(view: View) -> Because | None:
    life = view.life
    if life is None or not life.is_tcp:
        return None
    backlog = view.call.args.get("backlog")
    holds = max(backlog, 0) + 1 if isinstance(backlog, int) else "some"
    return Because({"backlog": backlog, "holds": holds})


def _made(view: View) -> SocketLife | None:
    made = view.joined.descriptors.made.get(view.call.id, ())
    return view.joined.descriptors.sockets[made[0]] if made else None


def _accepted(view: View) -> Because | None:
    """accept() returned a connection whose handshake was captured."""
    life = _made(view)
    if life is None or not view.completed_by:
        return None
    return Because({"peer": view.call.peer, "waited": _waited(view)})


def _waited(view: View) -> str:
    done = max((view.came_ns(number) for number in view.completed_by), default=0)
    if done >= view.call.entered_ns:
        return "accept() was waiting when it came"
    return "it was waiting in the accept queue"


def _accepted_with(view: View) -> Because | None:
    """The ACK brought data, or the SYN did: deferred accept and Fast Open."""
    because = _accepted(view)
    if because is None:
        return None
    done, option = view.segment(view.completed_by[0]), view.option("TCP_DEFER_ACCEPT")
    if not done.length:
        return None
    calls = (option.id,) if option is not None and option.args.get("value") else ()
    told = f" TCP_DEFER_ACCEPT (c{calls[0]}) lets no bare ACK complete it." if calls else ""
    return Because({**because.facts, "done": f"#{done.id}", "deferred": told}, calls)


def _fast_open(view: View) -> Because | None:
    because = _accepted_with(view)
    return because if because and "S" in view.segment(view.completed_by[0]).flags else None


def _aborted_before(view: View) -> Because | None:
    """The connection had been reset by its client before accept() returned it."""
    life = _made(view)
    because = _accepted(view)
    if life is None or because is None:
        return None
    half = view.joined.matching.half_at.get((view.call.id, life.id))
    conversation = view.joined.conversation_of(half)
    if conversation is None:
        return None
    resets = [s.id for s in conversation.client.resets if s.arrived_ns <= view.call.entered_ns]
    if not resets:
        return None
    return Because({**because.facts, "reset": f"#{resets[0]}"}, segments=(resets[0],))


def _accepted_locally(view: View) -> Because | None:
    life = view.life
    return YES if life is not None and life.is_unix else None


def _accepted_unseen(view: View) -> Because | None:
    life = view.life
    if life is None or not life.is_tcp or view.completed_by:
        return None
    return Because({"peer": view.call.peer}, likely=True)


def _queue_empty(view: View) -> Because | None:
    by = view.nonblocking
    if by is None:
        return None
    return Because({"by": f"{by.name}() c{by.id}"}, (by.id,))


def _not_listening(view: View) -> Because | None:
    listens = [c for c in view.earlier("listen") if c.succeeded]
    return None if listens else YES


def _descriptors_used_up(view: View) -> Because | None:
    queued = view.joined.queued.get(view.joined.descriptors.used.get(view.call.id, 0), [])
    waiting = [
        c.establishing.id
        for c in queued
        if c.establishing is not None
        and c.establishing.arrived_ns <= view.decided_ns
        and _not_yet_accepted(view, c.id)
    ]
    if not waiting:
        return Because({"waiting": "No connection was waiting, and accept() did not look."})
    told = f"The connection that {ids(waiting[:1])} completed stays in the accept queue."
    return Because({"waiting": told}, segments=tuple(waiting[:1]))


def _not_yet_accepted(view: View, conversation: int) -> bool:
    accept = view.joined.matching.accepted_by.get(conversation)
    return accept is None or (accept.returned_ns or FOREVER) > view.call.entered_ns


PASSIVE_RULES: tuple[Rule, ...] = (
    Rule(
        "listen-unbound", _LISTEN, outcomes(),
        "The socket had no name, so listen() took an ephemeral port, {port}, on every address. "
        "Nothing was sent.", "listen(2); ip(7)", _had_no_name),
    Rule(
        "listen-again", _LISTEN, outcomes(),
        "The socket listens since {first}: only the backlog is set anew, {backlog} now, which "
        "means an accept queue of {holds} completed connections on Linux. Nothing was sent.",
        "listen(2); Linux __inet_listen_sk", _listened),
    Rule(
        "listen", _LISTEN, outcomes(),
        "The socket went from CLOSED to LISTEN. Nothing was sent; backlog {backlog} means an "
        "accept queue of {holds} completed connections on Linux.",
        "listen(2); Linux sk_acceptq_is_full; UNP 4.5", _backlog, plain=True),
    Rule(
        "listen-local", _LISTEN, outcomes(),
        "The socket listens. Nothing was sent.", "listen(2); unix(7)", plain=True),
    Rule(
        "listen-connected", _LISTEN, outcomes("EINVAL"),
        "The socket is connected, and a connected socket cannot listen. Nothing was sent.",
        "listen(2); Linux inet_listen", _connected),
    Rule(
        "listen-refused", _LISTEN, outcomes("EINVAL", "EADDRINUSE", "EOPNOTSUPP", "EDESTADDRREQ"),
        "The kernel refused with {errno}: the socket is in no state, or of no type, that can "
        "listen. Nothing was sent.", "listen(2)"),
    Rule(
        "accept-fast-open", ACCEPTING, outcomes(),
        "Fast Open: the SYN {done} from {peer} brought a valid cookie and data, so the connection "
        "could be accepted before the handshake was over.", "RFC 7413 4.2; tcp(7)", _fast_open),
    Rule(
        "accept-aborted", ACCEPTING, outcomes(),
        "The connection from {peer} had been reset by {reset} while it waited in the accept "
        "queue. Linux hands it over all the same; the first receive will tell ECONNRESET.",
        "accept(2); UNP 5.11", _aborted_before),
    Rule(
        "accept-with-data", ACCEPTING, outcomes(),
        "The connection from {peer} entered the accept queue with the segment {done}, which "
        "brought data with its ACK; {waited}.{deferred}",
        "tcp(7) TCP_DEFER_ACCEPT; RFC 9293 3.10.7.4", _accepted_with),
    Rule(
        "accept", ACCEPTING, outcomes(),
        "ACK {completed} from {peer} had completed the handshake; {waited}. accept() itself sent "
        "nothing.", "accept(2); UNP 4.6", _accepted, plain=True),
    Rule(
        "accept-unix", ACCEPTING, outcomes(),
        "accept() took a waiting AF_UNIX connection. No packet is involved.", "unix(7)",
        _accepted_locally, plain=True),
    Rule(
        "accept-not-captured", ACCEPTING, outcomes(),
        "accept() returned a connection from {peer} whose handshake was not captured.",
        "accept(2)", _accepted_unseen, certain=False),
    Rule(
        "accept-nothing-waiting", ACCEPTING, outcomes("EAGAIN", "EWOULDBLOCK"),
        "The socket is non-blocking (since {by}) and no completed connection was waiting.",
        "accept(2); UNP 16.6", _queue_empty, by_absence=True),
    Rule(
        "accept-timeout", ACCEPTING, outcomes("EAGAIN", "EWOULDBLOCK"),
        "No connection was completed within the time set by SO_RCVTIMEO ({option}), which limits "
        "accept() too.", "socket(7) SO_RCVTIMEO; Linux inet_csk_accept", timed_wait,
        by_absence=True),
    Rule(
        "accept-descriptors-used-up", ACCEPTING, outcomes("EMFILE", "ENFILE"),
        "There was no free descriptor for the new socket ({errno}). {waiting} The client knows "
        "nothing of it: its connection is established.",
        "accept(2); getrlimit(2) RLIMIT_NOFILE", _descriptors_used_up),
    Rule(
        "accept-not-listening", ACCEPTING, outcomes("EINVAL"),
        "listen() was never called on this socket: there is no queue to accept from.",
        "accept(2)", _not_listening),
    Rule(
        "accept-refused", ACCEPTING,
        outcomes("EINVAL", "EOPNOTSUPP", "ECONNABORTED", "EPERM", "ENOBUFS", "ENOMEM"),
        "The kernel refused with {errno}. Nothing was sent.", "accept(2)"),
    Rule(
        "accept-waiting", ACCEPTING, outcomes("never"),
        "accept() was still waiting for a connection when {end}.",
        "accept(2)"),
)  # fmt: skip
