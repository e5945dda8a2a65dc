"""What closing a socket did: evidence that rules of several calls ask for."""

from __future__ import annotations

from observatory.analysis.view import YES, Because, View, counted, ids
from observatory.model import Protocol


def with_flag(view: View, flag: str) -> list[int]:
    return [s.id for s in view.segments_of(view.sent, Protocol.TCP) if flag in s.flags]


def untold(view: View, resets: list[int]) -> str:
    """That the peer knows nothing of an abort, as a sentence; empty where it may."""
    lost = [(number, view.joined.lost_after(view.segment(number))) for number in resets]
    if not lost or not all(place for _, place in lost):
        return ""
    return (
        f" #{lost[0][0]} came no further than {lost[0][1]}: the peer was not told, and to it the "
        "connection is open still."
    )


def aborts_queue(view: View) -> Because | None:
    """A listener closed while completed connections waited in its queue."""
    resets, life = with_flag(view, "R"), view.life
    if not resets or life is None or not life.named("listen"):
        return None
    return Because({"reset": ids(resets), "number": counted(len(resets), "connection")})


def sends_fin(view: View) -> Because | None:
    fins = with_flag(view, "F")
    return Because({"fin": ids(fins)}) if fins else None


def fin_before(view: View) -> Because | None:
    half = view.half
    fins = [s.id for s in half.fins if s.time_ns <= view.call.entered_ns] if half else []
    if not fins:
        return None
    cause = view.causes[fins[0]]
    by = f"by c{cause.call}" if cause.call is not None else "before"
    return Because({"fin": f"#{fins[0]}", "by": by}, (cause.call,) if cause.call else ())


def reset_before(view: View) -> Because | None:
    half, other = view.half, view.other
    if half is None or other is None:
        return None
    until = view.call.returned_ns or view.call.entered_ns
    came = [s.id for s in other.resets if s.arrived_ns <= until]
    resets = came + [s.id for s in half.resets if s.time_ns <= until]
    return Because({"reset": f"#{resets[0]}"}, segments=(resets[0],)) if resets else None


def gave_up_before(view: View) -> Because | None:
    """The connection never opened: its SYN was not answered, or the attempt is broken off."""
    half, other = view.half, view.other
    if half is None or other is None or other.syns or half is other:
        return None
    if not half.syns:
        return Because({"syn": "its SYN"})
    return Because({"syn": f"#{half.syns[0].id}"}, segments=(half.syns[0].id,))


def listener(view: View) -> Because | None:
    life = view.life
    return YES if life and any(c.succeeded for c in life.named("listen")) else None


def fin_unseen(view: View) -> Because | None:
    life = view.life
    if life is None or not life.is_tcp or view.sent:
        return None
    return Because(likely=True) if view.lossy else None


def queued_behind(view: View) -> Because | None:
    """The FIN waits behind bytes that could not leave yet, and never left."""
    half, stream = view.half, view.outgoing
    if half is None or stream is None or half.fins:
        return None
    unsent = stream.sent_until - (half.ends[-1] if half.ends else 1)
    return Because({"unsent": counted(unsent, "byte")}) if unsent > 0 else None


def no_sockets(view: View) -> Because | None:
    return None if view.sent else YES
