"""Rules for shutdown(), close(), dup() and what ends processes."""

from __future__ import annotations

from observatory.analysis.descriptors import ENDING, MOST_TOLD, RECEIVING, SENDING, SocketLife
from observatory.analysis.resets import lingers_zero
from observatory.analysis.rule import Rule, names
from observatory.analysis.view import YES, Because, View, counted, ids
from observatory.model import Protocol

_CLOSE, _SHUTDOWN = names("close"), names("shutdown")

# With these an attempt to connect is over, or a connection given up; with EINTR it goes on.
FATAL_ERRORS = frozenset(
    {"ETIMEDOUT", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPROTO"}
)


def _ok(*outcomes: str) -> frozenset[str]:
    return frozenset(outcomes or ("ok",))


def _with_flag(view: View, flag: str) -> list[int]:
    return [s.id for s in view.segments_of(view.sent, Protocol.TCP) if flag in s.flags]


def _ended(view: View) -> SocketLife | None:
    """The socket whose last descriptor this call gave up."""
    ended = view.joined.descriptors.ended.get(view.call.id, ())
    return view.joined.descriptors.sockets[ended[0]] if ended else None


def _aborts_unread(view: View) -> Because | None:
    resets, life = _with_flag(view, "R"), _ended(view)
    stream = view.incoming
    if not resets or life is None or stream is None:
        return None
    aborted_ns = view.segment(resets[0]).time_ns
    unread = stream.unread_at(aborted_ns)
    if unread <= 0:
        return None
    unread_from, shown = stream.taken_by(aborted_ns), stream.shown_by(aborted_ns)
    brought = [s.id for s in stream.half.carrying(unread_from, shown)]
    option = view.option("SO_LINGER") if lingers_zero(life) else None
    facts = {
        "reset": ids(resets),
        "unread": counted(unread, "byte"),
        "brought": ids(brought),
        "linger": f" SO_LINGER 0 (c{option.id}) would have done the same." if option else "",
    }
    return Because(facts, (option.id,) if option else (), tuple(brought))


def _aborts_linger(view: View) -> Because | None:
    resets, life = _with_flag(view, "R"), _ended(view)
    if not resets or life is None or not lingers_zero(life):
        return None
    option = view.option("SO_LINGER")
    calls = (option.id,) if option else ()
    return Because({"reset": ids(resets), "option": f"c{calls[0]}" if calls else ""}, calls)


def _aborts_queue(view: View) -> Because | None:
    """A listener closed while completed connections waited in its queue."""
    resets, life = _with_flag(view, "R"), view.life
    if not resets or life is None or not life.named("listen"):
        return None
    return Because({"reset": ids(resets), "number": counted(len(resets), "connection")})


def _aborts_somehow(view: View) -> Because | None:
    resets = _with_flag(view, "R")
    return Because({"reset": ids(resets)}, likely=True) if resets else None


def _sends_fin(view: View) -> Because | None:
    fins = _with_flag(view, "F")
    return Because({"fin": ids(fins)}) if fins else None


def _active_close(view: View) -> Because | None:
    """This end's FIN was the first."""
    because, half, other = _sends_fin(view), view.half, view.other
    if because is None or half is None or other is None or other is half:
        return None
    if other.fins and other.fins[0].id < half.fins[0].id:
        return None
    resets = sorted(s.id for s in (*half.resets, *other.resets))
    waits = " and goes through TIME-WAIT" if other.fins and not resets else ""
    if resets:
        waits = f"; RST #{resets[0]} came before it could reach TIME-WAIT"
    return Because({**because.facts, "waits": waits}, segments=tuple(resets[:1]))


def _lingered(view: View) -> Because | None:
    because = _sends_fin(view)
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


def _fin_before(view: View) -> Because | None:
    half = view.half
    fins = [s.id for s in half.fins if s.time_ns <= view.call.entered_ns] if half else []
    if not fins:
        return None
    cause = view.causes[fins[0]]
    by = f"by c{cause.call}" if cause.call is not None else "before"
    return Because({"fin": f"#{fins[0]}", "by": by}, (cause.call,) if cause.call else ())


def _fin_under_way(view: View) -> Because | None:
    half = view.half
    if half is None or not half.fins:
        return None
    shut = [c for c in view.earlier("shutdown") if c.args.get("how") != "SHUT_RD" and c.succeeded]
    facts = {"shutdown": f"c{shut[0].id}"} if shut else {}
    return Because(facts, (shut[0].id,), (half.fins[0].id,)) if shut else None


def _reset_before(view: View) -> Because | None:
    half, other = view.half, view.other
    if half is None or other is None:
        return None
    until = view.call.returned_ns or view.call.entered_ns
    resets = [s.id for s in (*other.resets, *half.resets) if s.time_ns <= until]
    return Because({"reset": f"#{resets[0]}"}, segments=(resets[0],)) if resets else None


def _repaired(view: View) -> Because | None:
    """Linux tcp_close of a socket in repair mode: it vanishes, and the peer is not told."""
    option, half = view.option("TCP_REPAIR"), view.half
    if option is None or half is None or not option.args.get("value") or view.sent:
        return None
    return Because({"repair": f"c{option.id}"}, (option.id,))


def _gave_up_before(view: View) -> Because | None:
    """The connection never opened: its SYN was not answered, or the attempt is broken off."""
    half, other = view.half, view.other
    if half is None or other is None or other.syns or half is other:
        return None
    if not half.syns:
        return Because({"syn": "its SYN"})
    return Because({"syn": f"#{half.syns[0].id}"}, segments=(half.syns[0].id,))


def _failed_before(view: View) -> Because | None:
    """The attempt to connect was over, or the kernel had given the connection up."""
    before = [
        c
        for c in (view.life.named("connect", *SENDING, *RECEIVING) if view.life else ())
        if c.entered_ns < view.call.entered_ns and (c.name == "connect" or c.errno == "ETIMEDOUT")
    ]
    if not before or before[-1].errno not in FATAL_ERRORS:
        return None
    last = before[-1]
    return Because({"told": f"c{last.id}", "failure": last.errno}, (last.id,))


def _listener(view: View) -> Because | None:
    life = view.life
    return YES if life and any(c.succeeded for c in life.named("listen")) else None


def _unconnected(view: View) -> Because | None:
    life = view.life
    if life is None or (life.created_by is None and not life.is_udp):
        return None  # it may have had a connection before the trace began
    return YES if view.half is None else None


def _fin_unseen(view: View) -> Because | None:
    life = view.life
    if life is None or not life.is_tcp or view.sent:
        return None
    return Because(likely=True) if view.lossy else None


def _queued_behind(view: View) -> Because | None:
    """The FIN waits behind bytes that could not leave yet, and never left."""
    half, stream = view.half, view.outgoing
    if half is None or stream is None or half.fins:
        return None
    unsent = stream.sent_until - (half.ends[-1] if half.ends else 1)
    return Because({"unsent": counted(unsent, "byte")}) if unsent > 0 else None


def _shut_how(view: View, *hows: str) -> bool:
    return view.call.args.get("how") in hows


def _half_close(view: View) -> Because | None:
    return _sends_fin(view) if _shut_how(view, "SHUT_WR") else None


def _full_shutdown(view: View) -> Because | None:
    return _sends_fin(view) if _shut_how(view, "SHUT_RDWR") else None


def _shut_reading(view: View) -> Because | None:
    return YES if _shut_how(view, "SHUT_RD") else None


def _shut_locally(view: View) -> Because | None:
    life = view.life
    return YES if life is not None and not life.is_tcp else None


def _with_sockets(view: View) -> Because | None:
    """What an exit, exec or kill did to the sockets whose last holder it took away."""
    ended = [
        view.joined.descriptors.sockets[number]
        for number in view.joined.descriptors.ended.get(view.call.id, ())
    ]
    if not ended:
        return None
    fins, resets = _with_flag(view, "F"), _with_flag(view, "R")
    parts = []
    if fins:
        parts.append(f"FIN {ids(sorted(fins))} went out as if it had called close()")
    for reason, numbers in _by_reason(view, resets).items():
        parts.append(f"RST {ids(numbers)} went out: {reason}")
    told = "; ".join(parts) or "nothing had to be sent"
    return Because({"sockets": counted(len(ended), "socket"), "told": told})


def _by_reason(view: View, resets: list[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number in sorted(resets):
        found.setdefault(view.causes[number].reason.removeprefix("RST: "), []).append(number)
    return found


def _no_sockets(view: View) -> Because | None:
    return None if view.sent else YES


def _whom(view: View) -> dict[str, object]:
    pid = view.call.args.get("pid")
    whom = view.joined.who(pid) if isinstance(pid, int) else "a process"
    return {"signal": view.call.args.get("signal"), "whom": whom}


def _kills_itself(view: View) -> bool:
    process = view.joined.processes.get(view.call.pid)
    signal = process.signal if process else None
    return view.call.args.get("pid") == view.call.pid and view.call.args.get("signal") == signal


def _killed_with_sockets(view: View) -> Because | None:
    because = _with_sockets(view)
    return because and Because({**because.facts, **_whom(view)})


def _killed(view: View) -> Because | None:
    if view.sent or (view.call.returned_ns is None and not _kills_itself(view)):
        return None
    return Because(_whom(view))


def _put_over(view: View) -> Because | None:
    """dup2() of one descriptor over the last of another socket."""
    because = _with_sockets(view)
    new = view.call.args.get("new_fd", view.call.result)
    return because and Because({**because.facts, "new": new})


def _made_name(view: View) -> Because | None:
    return Because({"new": view.call.result})


CLOSE_RULES: tuple[Rule, ...] = (
    Rule(
        "shutdown-unopened", _SHUTDOWN, _ok(),
        "The connection was not open: {syn} had got no SYN-ACK. shutdown() broke the attempt off, "
        "whatever direction it named; nothing was sent.", "shutdown(2); Linux inet_shutdown",
        _gave_up_before),
    Rule(
        "shutdown-write", _SHUTDOWN, _ok(),
        "shutdown(SHUT_WR) sent FIN {fin} at once, whoever else holds the socket: a half-close. "
        "This end can still receive.", "shutdown(2); RFC 9293 3.6; UNP 6.6", _half_close),
    Rule(
        "shutdown-both", _SHUTDOWN, _ok(),
        "shutdown(SHUT_RDWR) sent FIN {fin} and ended receiving here too; the descriptor stays "
        "open until close().", "shutdown(2); UNP 6.6", _full_shutdown),
    Rule(
        "shutdown-listener", _SHUTDOWN, _ok(),
        "shutdown() ended the listening; {number} still in its queue were reset ({reset}).",
        "shutdown(2); Linux tcp_shutdown", _aborts_queue),
    Rule(
        "shutdown-read", _SHUTDOWN, _ok(),
        "shutdown(SHUT_RD) is known to this kernel alone: receives that find the buffer empty "
        "return EOF from now on. Nothing was sent, and the peer can go on sending.",
        "shutdown(2); UNP 6.6", _shut_reading),
    Rule(
        "shutdown-local", _SHUTDOWN, _ok(),
        "The socket is not TCP: nothing is sent.", "shutdown(2); unix(7)", _shut_locally),
    Rule(
        "shutdown-again", _SHUTDOWN, _ok(),
        "FIN {fin} had gone out already ({by}): there is nothing more to send.",
        "shutdown(2)", _fin_before),
    Rule(
        "shutdown-fin-waits", _SHUTDOWN, _ok(),
        "The FIN waits behind {unsent} of data that never left.", "RFC 9293 3.6",
        _queued_behind, by_absence=True),
    Rule(
        "shutdown-stops-listening", _SHUTDOWN, _ok(),
        "shutdown() ended the listening. No connection waited, and nothing was sent.",
        "shutdown(2); Linux tcp_shutdown", _listener),
    Rule(
        "shutdown-not-captured", _SHUTDOWN, _ok(),
        "Its FIN was not captured.", "shutdown(2)", _fin_unseen, certain=False),
    Rule(
        "shutdown-reset-before", _SHUTDOWN, _ok("ENOTCONN"),
        "RST {reset} had ended the connection: there is nothing left to shut down.",
        "shutdown(2)", _reset_before),
    Rule(
        "shutdown-not-connected", _SHUTDOWN, _ok("ENOTCONN"),
        "The socket has no connection, or has it no more: there is nothing to shut down. Nothing "
        "was sent.", "shutdown(2)", _no_sockets),
    Rule(
        "close-aborts-queue", _CLOSE, _ok(),
        "The listener closed with {number} in its accept queue, already established to the "
        "client: RST ({reset}) aborted each.",
        "Linux inet_csk_listen_stop; UNP 4.5", _aborts_queue),
    Rule(
        "close-unread-data", _CLOSE, _ok(),
        "{unread} that {brought} had brought were never read: closing then is data loss, so the "
        "kernel tells the peer by RST {reset} instead of FIN.{linger}",
        "RFC 1122 4.2.2.13; RFC 2525 2.17; Linux __tcp_close", _aborts_unread),
    Rule(
        "close-linger-zero", _CLOSE, _ok(),
        "SO_LINGER was set to on with 0 seconds ({option}): close() aborted the connection with "
        "RST {reset}, threw away what was unsent and skipped TIME-WAIT.",
        "socket(7) SO_LINGER; RFC 9293 3.10.5; UNP 7.5", _aborts_linger),
    Rule(
        "close-aborted", _CLOSE, _ok(),
        "RST {reset} went out while the socket was closed.", "RFC 9293 3.10.5", _aborts_somehow,
        certain=False),
    Rule(
        "close-lingered", _CLOSE, _ok(),
        "SO_LINGER made close() wait: FIN {fin} went out, and the call returned when {completed} "
        "acknowledged it.", "socket(7) SO_LINGER; UNP 7.5", _lingered),
    Rule(
        "close-active", _CLOSE, _ok(),
        "The last descriptor was given up, so FIN {fin} went out. It was the first FIN: this end "
        "closes actively{waits}.",
        "close(2); RFC 9293 3.6; UNP 2.7", _active_close, plain=True),
    Rule(
        "close", _CLOSE, _ok(),
        "The last descriptor was given up, so FIN {fin} went out, after the peer's: a passive "
        "close.", "close(2); RFC 9293 3.6", _sends_fin, plain=True),
    Rule(
        "close-not-last", _CLOSE, _ok(),
        "Nothing was sent: the socket has another descriptor {where}{later}. Only the last close "
        "ends it.", "close(2); fork(2); dup(2); UNP 4.8", _still_held),
    Rule(
        "close-in-repair", _CLOSE, _ok(),
        "The socket was in repair mode (TCP_REPAIR, {repair}), so close() destroyed it without a "
        "segment. The peer was not told: to it the connection is open, which makes it half-open.",
        "Linux __tcp_close; RFC 9293 3.5.1; UNP 5.15", _repaired),
    Rule(
        "close-after-reset", _CLOSE, _ok(),
        "RST {reset} had ended the connection; only the descriptor was left to give up. Nothing "
        "was sent.", "close(2)", _reset_before, plain=True),
    Rule(
        "close-after-fin", _CLOSE, _ok(),
        "FIN {fin} had gone out already ({by}); close() gave up the descriptor and sent nothing.",
        "close(2); shutdown(2)", _fin_before, plain=True),
    Rule(
        "close-fin-on-its-way", _CLOSE, _ok(),
        "shutdown() {shutdown} had ended the sending already; its FIN waited behind bytes that "
        "could not leave yet. close() gave up the descriptor and sent nothing.",
        "close(2); shutdown(2); RFC 9293 3.6", _fin_under_way),
    Rule(
        "close-after-failure", _CLOSE, _ok(),
        "There was no connection any more ({told} had failed with {failure}); nothing was sent.",
        "close(2)", _failed_before, plain=True),
    Rule(
        "close-unopened", _CLOSE, _ok(),
        "The connection was not open: {syn} had got no SYN-ACK. close() broke the attempt off; "
        "nothing was sent.", "close(2); RFC 9293 3.10.4", _gave_up_before),
    Rule(
        "close-listener", _CLOSE, _ok(),
        "The listener closed; nobody waited in its queue, and nothing was sent.", "close(2)",
        _listener, plain=True),
    Rule(
        "close-fin-waits", _CLOSE, _ok(),
        "The FIN waits behind {unsent} of data that had not left when the capture ended.",
        "RFC 9293 3.6; close(2)", _queued_behind, by_absence=True),
    Rule(
        "close-unconnected", _CLOSE, _ok(),
        "The socket had no connection: closing it sends nothing.", "close(2)", _unconnected,
        plain=True),
    Rule(
        "close-not-captured", _CLOSE, _ok(),
        "What closing sent was not captured.", "close(2)", _fin_unseen, certain=False),
    Rule(
        "close-no-socket", _CLOSE, _ok(),
        "The descriptor named no socket that was seen, and no segment is seen to go back to it.",
        "close(2)", _no_sockets, plain=True, certain=False),
    Rule(
        "dup-closes", names("dup2", "dup3"), _ok(),
        "Descriptor {new} was the last of {sockets}, which {name} closed to put another in its "
        "place: {told}.", "dup(2)", _put_over),
    Rule(
        "dup", names("dup", "dup2", "dup3"), _ok(),
        "Descriptor {new} names the same socket now; the FIN waits for the last of them to be "
        "closed. Nothing was sent.", "dup(2)", _made_name, plain=True),
    Rule(
        "kill-ends-sockets", names("kill"), _ok("ok", "never"),
        "{signal} ended {whom}, and its kernel closed what it had open. It held the last "
        "descriptor of {sockets}: {told}.", "kill(2); UNP 5.12", _killed_with_sockets),
    Rule(
        "kill", names("kill"), _ok("ok", "never"),
        "{signal} was sent to {whom}. No socket lost its last descriptor by it: nothing went out.",
        "kill(2); signal(7)", _killed, plain=True),
    Rule(
        "ends-sockets", frozenset({*ENDING, "execve", "close_range"}), _ok("ok", "never"),
        "It took away the last descriptor of {sockets}: {told}.",
        "exit(3); execve(2); UNP 5.11", _with_sockets),
    Rule(
        "ends-process", frozenset({*ENDING, "execve", "close_range"}), _ok("ok", "never"),
        "No socket lost its last descriptor by it: nothing was sent.",
        "exit(3); execve(2)", _no_sockets, plain=True),
)  # fmt: skip
