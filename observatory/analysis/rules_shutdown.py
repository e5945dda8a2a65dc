"""Rules for shutdown()."""

from __future__ import annotations

from observatory.analysis.causes import HELD_BACK_NS
from observatory.analysis.closing import (
    aborts_queue,
    fin_before,
    fin_unseen,
    gave_up_before,
    listener,
    no_sockets,
    queued_behind,
    reset_before,
    sends_fin,
    with_flag,
)
from observatory.analysis.rule import Rule, names, outcomes
from observatory.analysis.view import YES, Because, View

_SHUTDOWN = names("shutdown")


def _shut_how(view: View, *hows: str) -> bool:
    return view.call.args.get("how") in hows


def _half_close(view: View) -> Because | None:
    because = sends_fin(view) if _shut_how(view, "SHUT_WR") else None
    if because is None:
        return None
    waited_ns = _fin_waited(view)
    late = f"{waited_ns / 1e6:.0f} ms later, when the bytes before it let it go"
    when = "at once" if waited_ns < HELD_BACK_NS else late
    return Because({**because.facts, "when": when}, likely=waited_ns >= HELD_BACK_NS)


def _fin_waited(view: View) -> int:
    """How long after the call had returned its FIN left."""
    fin = view.segment(with_flag(view, "F")[0])
    return max(fin.time_ns - (view.call.returned_ns or fin.time_ns), 0)


def _full_shutdown(view: View) -> Because | None:
    return sends_fin(view) if _shut_how(view, "SHUT_RDWR") else None


def _shut_reading(view: View) -> Because | None:
    return YES if _shut_how(view, "SHUT_RD") and not listener(view) else None


def _stops(view: View) -> Because | None:
    return None if _shut_how(view, "SHUT_WR") else listener(view)


def _goes_on(view: View) -> Because | None:
    return listener(view) if _shut_how(view, "SHUT_WR") else None


def _shut_locally(view: View) -> Because | None:
    life = view.life
    return YES if life is not None and not life.is_tcp else None


def _cut_off(view: View) -> Because | None:
    """No FIN left, and a RST ended the connection."""
    half, other = view.half, view.other
    if half is None or other is None or half.fins or _shut_how(view, "SHUT_RD"):
        return None
    resets = sorted([*half.resets, *other.resets], key=lambda one: one.id)
    later = [one.id for one in resets if one.time_ns >= view.call.entered_ns]
    return Because({"reset": f"#{later[0]}"}, segments=(later[0],)) if later else None


def _stopped_before(view: View) -> Because | None:
    """The last descriptor of a listener that shutdown() had ended."""
    life = view.life
    if listener(view) is None or life is None or life.closed_by != view.call.id:
        return None
    last = view.earlier("listen", "shutdown")[-1:]
    if not last or last[0].name != "shutdown" or last[0].args.get("how") == "SHUT_WR":
        return None
    return Because({"shutdown": f"c{last[0].id}"}, (last[0].id,))


SHUTDOWN_RULES: tuple[Rule, ...] = (
    Rule(
        "shutdown-unopened", _SHUTDOWN, outcomes(),
        "The connection was not open: {syn} had got no SYN-ACK. shutdown() broke the attempt off, "
        "whatever direction it named; nothing was sent.", "shutdown(2); Linux inet_shutdown",
        gave_up_before),
    Rule(
        "shutdown-write", _SHUTDOWN, outcomes(),
        "shutdown(SHUT_WR) sent FIN {fin} {when}, whoever else holds the socket: a half-close. "
        "This end can still receive.", "shutdown(2); RFC 9293 3.6; UNP 6.6", _half_close),
    Rule(
        "shutdown-both", _SHUTDOWN, outcomes(),
        "shutdown(SHUT_RDWR) sent FIN {fin} and ended receiving here too; the descriptor stays "
        "open until close().", "shutdown(2); UNP 6.6", _full_shutdown),
    Rule(
        "close-shut-listener", names("close"), outcomes(),
        "shutdown() {shutdown} had ended the listening already; close() gave up the descriptor, "
        "and nothing was sent.", "shutdown(2); Linux inet_shutdown", _stopped_before, plain=True),
    Rule(
        "shutdown-listener", _SHUTDOWN, outcomes(),
        "shutdown() ended the listening; {number} still in its queue were reset ({reset}).",
        "shutdown(2); Linux tcp_shutdown", aborts_queue),
    Rule(
        "shutdown-read", _SHUTDOWN, outcomes(),
        "shutdown(SHUT_RD) is known to this kernel alone: receives that find the buffer empty "
        "return EOF from now on. Nothing was sent, and the peer can go on sending.",
        "shutdown(2); UNP 6.6", _shut_reading),
    Rule(
        "shutdown-local", _SHUTDOWN, outcomes(),
        "The socket is not TCP: nothing is sent.", "shutdown(2); unix(7)", _shut_locally),
    Rule(
        "shutdown-again", _SHUTDOWN, outcomes(),
        "FIN {fin} had gone out already ({by}): there is nothing more to send.",
        "shutdown(2)", fin_before),
    Rule(
        "shutdown-fin-waits", _SHUTDOWN, outcomes(),
        "The FIN waits behind {unsent} of data that never left.", "RFC 9293 3.6",
        queued_behind, by_absence=True),
    Rule(
        "shutdown-cut-off", _SHUTDOWN, outcomes(),
        "Its FIN waited behind bytes that were not acknowledged; RST {reset} ended the connection "
        "before it could leave.", "RFC 9293 3.6; Linux tcp_send_fin", _cut_off, certain=False,
        by_absence=True),
    Rule(
        "shutdown-stops-listening", _SHUTDOWN, outcomes(),
        "shutdown() ended the listening. No connection waited, and nothing was sent.",
        "shutdown(2); Linux inet_shutdown", _stops),
    Rule(
        "shutdown-listener-write", _SHUTDOWN, outcomes(),
        "A listener sends nothing itself: shutdown(SHUT_WR) changed nothing, and it goes on "
        "listening.", "shutdown(2); Linux inet_shutdown", _goes_on),
    Rule(
        "shutdown-not-captured", _SHUTDOWN, outcomes(),
        "Its FIN was not captured.", "shutdown(2)", fin_unseen, certain=False),
    Rule(
        "shutdown-reset-before", _SHUTDOWN, outcomes("ENOTCONN"),
        "RST {reset} had ended the connection: there is nothing left to shut down.",
        "shutdown(2)", reset_before),
    Rule(
        "shutdown-not-connected", _SHUTDOWN, outcomes("ENOTCONN"),
        "The socket has no connection, or has it no more: there is nothing to shut down. Nothing "
        "was sent.", "shutdown(2)", no_sockets),
)  # fmt: skip
