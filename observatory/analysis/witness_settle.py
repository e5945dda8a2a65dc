"""Where time alone had to choose, the kernel may have told: who opened, and who closed last."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.analysis.machine import CLOSED, LISTEN, SYN_SENT
from observatory.analysis.matching import Matching
from observatory.analysis.witness import Witnessed
from observatory.analysis.witness_lives import KernelLife, state_after, state_before
from observatory.model import KernelEvent

# The transitions that the thread of a close() or shutdown() makes, and nobody else.
_BY_CLOSING = frozenset({"FIN-WAIT-1", "LAST-ACK"})


def settle_openings(found: Witnessed, matched: Matching) -> None:
    """A connect() that was given its SYN by time alone is sure of it where its thread was in it
    as the kernel's socket with these very ports went to SYN-SENT."""
    for half in list(matched.tie_broken):
        life = found.life_of.get(half)
        if life is None or not half.syns or state_after(life.events[0]) != SYN_SENT:
            continue
        ours = matched.opened_by.get(half.syns[0].id)
        during = found.during.get(life.events[0].id)
        if ours is not None and during is not None and ours.id == during.id:
            matched.tie_broken.discard(half)


def last_holders(found: Witnessed, matched: Matching) -> Mapping[int, tuple[int, int]]:
    """For each of our sockets that the kernel saw closed: the process in whose thread it was, and
    when. The last descriptor was that one's."""
    told: dict[int, tuple[int, int]] = {}
    lives = [(half.socket, life) for half, life in found.life_of.items()]
    lives += [(number, life) for number, many in found.listeners.items() for life in many]
    for number, life in lives:
        event = _closing(life)
        process = found.process(event) if event is not None else None
        if number is not None and event is not None and process is not None:
            told[number] = (process, event.time_ns)
    return told


def _closing(life: KernelLife) -> KernelEvent | None:
    for event in life.events:
        if state_after(event) in _BY_CLOSING and state_before(event) != state_after(event):
            return event
        if (state_before(event), state_after(event)) == (LISTEN, CLOSED):
            return event
    return None
