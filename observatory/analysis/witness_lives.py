"""The sockets as the kernel tells of them: which states each went through, and whose it is.

``sock:inet_sock_set_state`` names the socket by its address in the kernel, and tells both ports
as far as they are known by then: of a connect that goes to SYN-SENT not yet the local one. So the
events are gathered into lives first, and a life is matched to a conversation by the ports that it
had in the end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from observatory.analysis.machine import CLOSED, ESTABLISHED, LISTEN, SYN_SENT
from observatory.analysis.wire import Conversation, Half
from observatory.analysis.witness_events import SET_STATE
from observatory.model import Endpoint, KernelEvent

# One clock stamps packets and events, but not in one step with what they tell of.
SLACK_NS = 50_000


@dataclass(slots=True, eq=False)
class KernelLife:
    """One life of a kernel socket, from CLOSED (of a child of a listener: from LISTEN) to CLOSED.

    ``socket`` is its identity in the kernel, which a later socket may have again. ``half`` is the
    end of a conversation that it turned out to be.
    """

    socket: str
    events: list[KernelEvent] = field(default_factory=list)
    local: Endpoint | None = None
    remote: Endpoint | None = None
    half: Half | None = None

    @property
    def began_ns(self) -> int:
        return self.events[0].time_ns

    @property
    def ended_ns(self) -> int | None:
        """When it went to CLOSED; None if it had not when the events end."""
        last = self.events[-1]
        return last.time_ns if state_after(last) == CLOSED else None

    @property
    def states(self) -> tuple[str, ...]:
        """Its path in RFC 9293's names, the state that it began in included."""
        return (state_before(self.events[0]), *(state_after(event) for event in self.events))

    @property
    def is_listener(self) -> bool:
        return state_after(self.events[0]) == LISTEN or (
            state_before(self.events[0]) == LISTEN and state_after(self.events[0]) == CLOSED
        )

    def reached(self, *states: str) -> KernelEvent | None:
        """The first event that led to one of these states."""
        return next((event for event in self.events if state_after(event) in states), None)


def state_before(event: KernelEvent) -> str:
    return str(event.detail.get("old", ""))


def state_after(event: KernelEvent) -> str:
    return str(event.detail.get("new", ""))


def endpoint(named: Endpoint | None) -> Endpoint | None:
    """As packets show it; None where the kernel had no port for it."""
    return named.on_the_wire() if named is not None and named.port else None


def lives_of(events: Iterable[KernelEvent]) -> list[KernelLife]:
    """The lives that state changes (in time order) tell of, in the order that they began."""
    found: list[KernelLife] = []
    current: dict[str, KernelLife] = {}
    for event in events:
        if event.event != SET_STATE:
            continue
        key = str(event.detail.get("socket") or f"{event.src} {event.dst}")
        life = current.get(key)
        if life is None or _is_born(event):
            life = current[key] = KernelLife(key)
            found.append(life)
        life.events.append(event)
        life.local = endpoint(event.src) or life.local
        life.remote = endpoint(event.dst) or life.remote
        if state_after(event) == CLOSED:
            del current[key]
    return found


def _is_born(event: KernelEvent) -> bool:
    before, after = state_before(event), state_after(event)
    return before == CLOSED or (before == LISTEN and after != CLOSED)


@dataclass(frozen=True, slots=True)
class Incarnations:
    """Which half of which conversation a pair of endpoints names at a moment."""

    halves: Mapping[tuple[Endpoint, Endpoint], list[tuple[int, Half]]]

    def at(self, local: Endpoint, remote: Endpoint, time_ns: int) -> Half | None:
        """The half that sends from ``local`` to ``remote``, of the last conversation that had
        begun by then."""
        known = self.halves.get((local, remote), [])
        index = bisect_right(known, time_ns + SLACK_NS, key=lambda one: one[0])
        return known[index - 1][1] if index else None

    def beginning(self, local: Endpoint, remote: Endpoint, first_ns: int, until_ns: int | None
                 ) -> Half | None:  # fmt: skip
        """The half of the first conversation that began in a stretch of time."""
        known = self.halves.get((local, remote), [])
        index = bisect_right(known, first_ns - SLACK_NS, key=lambda one: one[0])
        if index == len(known):
            return None
        began, half = known[index]
        return half if until_ns is None or began <= until_ns + SLACK_NS else None


def incarnations(conversations: Iterable[Conversation]) -> Incarnations:
    """The conversations by their endpoints, from either end."""
    halves: dict[tuple[Endpoint, Endpoint], list[tuple[int, Half]]] = defaultdict(list)
    for conversation in conversations:
        client, server = conversation.client, conversation.server
        halves[client.sender, server.sender].append((_began(conversation, client), client))
        if client is not server:
            halves[server.sender, client.sender].append((_began(conversation, server), server))
    for known in halves.values():
        known.sort(key=lambda one: one[0])
    return Incarnations(halves)


def _began(conversation: Conversation, half: Half) -> int:
    """When the connection began for one end: where both opened, each with its own SYN."""
    opened = half.syns[0] if half.syns else None
    if opened is not None and opened.ack is None:
        return opened.time_ns
    return conversation.sightings[0].time_ns


def match_lives(lives: Iterable[KernelLife], found: Incarnations) -> dict[Half, KernelLife]:
    """The kernel's socket of each half, where it is known; sets ``half`` of the lives.

    Of several lives for one half (a raw socket played the other end, say) the first counts.
    """
    of_half: dict[Half, KernelLife] = {}
    for life in lives:
        if life.local is None or life.remote is None or life.is_listener:
            continue
        half = _half_of(life, life.local, life.remote, found)
        if half is not None and half not in of_half:
            of_half[half] = life
            life.half = half
    return of_half


def _half_of(
    life: KernelLife, local: Endpoint, remote: Endpoint, found: Incarnations
) -> Half | None:
    first = life.events[0]
    if state_before(first) == CLOSED and state_after(first) == SYN_SENT:
        # Its SYN comes after it; a life without one (no port was left) has no conversation.
        return found.beginning(local, remote, life.began_ns, life.ended_ns)
    return found.at(local, remote, life.began_ns)


def opened(life: KernelLife) -> bool:
    return life.reached(ESTABLISHED) is not None
