"""Where time alone had to choose, the kernel may have told: who opened, and who closed last."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.analysis.callsets import TAKING_APART
from observatory.analysis.descriptors import Descriptors
from observatory.analysis.machine import CLOSED, LISTEN, SYN_SENT
from observatory.analysis.naming import learn
from observatory.analysis.opens import opening_peer
from observatory.analysis.witness import Witnessed
from observatory.analysis.witness_lives import KernelLife, state_after, state_before
from observatory.model import Endpoint, KernelEvent

# The transitions that the thread of a close() or shutdown() makes, and nobody else.
_CLOSING = frozenset({"close", *TAKING_APART})
_BY_CLOSING = frozenset({"FIN-WAIT-1", "LAST-ACK"})


def tell_ports(found: Witnessed, descriptors: Descriptors) -> None:
    """Enter the port that the kernel gave each connect() whose program never asked for it: its
    thread was in the call as the kernel's socket went to SYN-SENT, and that socket's later events
    tell the port. Nobody need choose by time then which SYN was whose."""
    for kernels in found.lives:
        first = kernels.events[0]
        call = found.during.get(first.id)
        if call is None or state_after(first) != SYN_SENT or kernels.local is None:
            continue
        life = descriptors.sockets.get(descriptors.used.get(call.id, 0))
        told = isinstance(call.local, Endpoint) and call.local.port
        if life is not None and opening_peer(call) is not None and not told:
            learn(life, call.entered_ns, kernels.local)


def last_holders(found: Witnessed) -> Mapping[int, tuple[int, int]]:
    """For each of our sockets that the kernel saw closed: the process in whose thread it was, and
    when. The last descriptor was that one's."""
    told: dict[int, tuple[int, int]] = {}
    lives = [(half.socket, life) for half, life in found.life_of.items()]
    lives += [(number, life) for number, many in found.listeners.items() for life in many]
    for number, life in lives:
        event = _closing(life, found)
        process = found.process(event) if event is not None else None
        if number is not None and event is not None and process is not None:
            told[number] = (process, event.time_ns)
    return told


def _closing(life: KernelLife, found: Witnessed) -> KernelEvent | None:
    """The change that giving up the last descriptor made. To CLOSED a RST that comes leads as well:
    that is one only in the thread of a call that closes."""
    for event in life.events:
        if state_after(event) in _BY_CLOSING and state_before(event) != state_after(event):
            return event
        during = found.during.get(event.id)
        closes = during is not None and during.name in _CLOSING
        if state_after(event) == CLOSED and (closes or state_before(event) == LISTEN):
            return event
    return None
