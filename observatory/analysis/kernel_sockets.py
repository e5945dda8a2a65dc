"""The lives of the kernel's sockets among its events: which event speaks of which life.

A kernel socket is known by its address, which another may have when it is gone. So a life begins
with the change of state that only a new (or newly used) socket makes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from observatory.model import Endpoint, KernelEvent

STATE_CHANGE = "sock:inet_sock_set_state"
Pair = frozenset[Endpoint]
"""The two endpoints of a connection, whichever end tells them."""

BY_ITS_OWN_THREAD = frozenset({("CLOSED", "SYN-SENT"), ("CLOSED", "LISTEN")})
"""Changes that happen inside connect(), sendto() or listen(), so in a thread of the owner's."""
BEGINNINGS = BY_ITS_OWN_THREAD | {("LISTEN", "SYN-RECEIVED"), ("CLOSED", "SYN-RECEIVED")}


@dataclass(slots=True)
class Life:
    """The events of one kernel socket from its beginning to its end, in order of time."""

    events: list[KernelEvent] = field(default_factory=list)

    @property
    def opener(self) -> int | None:
        """The thread that owns it for certain; None where its beginning does not tell."""
        first = self.events[0]
        return first.pid if change_of(first) in BY_ITS_OWN_THREAD else None

    @property
    def pids(self) -> list[int]:
        return [event.pid for event in self.events]

    @property
    def pairs(self) -> set[Pair]:
        """The complete pairs of endpoints that it had; a listener has none."""
        found = (pair_of(event) for event in self.events)
        return {pair for pair in found if pair is not None}

    @property
    def locals(self) -> set[Endpoint]:
        """Its own endpoints, as far as it had ports."""
        return {event.src for event in self.events if event.src is not None and event.src.port}

    @property
    def first_ns(self) -> int:
        return self.events[0].time_ns

    @property
    def last_ns(self) -> int:
        return self.events[-1].time_ns


def change_of(event: KernelEvent) -> tuple[object, object] | None:
    """The states before and after, None if the event is no change of state."""
    if event.event != STATE_CHANGE:
        return None
    return event.detail.get("old"), event.detail.get("new")


def pair_of(event: KernelEvent) -> Pair | None:
    """The event's endpoints where both are known, ports included."""
    src, dst = event.src, event.dst
    if src is None or dst is None or not src.port or not dst.port:
        return None
    return frozenset((src, dst))


def lives_of(events: Iterable[KernelEvent]) -> list[Life]:
    """The lives of all sockets, in the order in which they begin; ``events`` in order of time."""
    found: list[Life] = []
    current: dict[object, Life] = {}
    for event in events:
        socket = event.detail.get("socket")
        if not socket:
            continue
        life = current.get(socket)
        if life is None or change_of(event) in BEGINNINGS:
            life = current[socket] = Life()
            found.append(life)
        life.events.append(event)
    return found
