"""Our replay of the TCP states beside the kernel's own transitions.

The two differ in form where they agree in substance: Linux keeps a handshake's first half and
TIME-WAIT in small sockets of their own, of which ``sock:inet_sock_set_state`` tells nothing.
``PECULIARITIES`` is a table of these; each rewrites our path into what the kernel shows of it.
What is still different then is a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from observatory.analysis.machine import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from observatory.analysis.wire import Half, Wire
from observatory.analysis.witness import Witnessed
from observatory.analysis.witness_events import SET_STATE
from observatory.analysis.witness_lives import KernelLife
from observatory.model import Connection, Difference

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peculiarity:
    """A way in which Linux tells of a path. ``shown`` answers with our path as the kernel shows it
    (whose own is the second argument), None where the row does not apply."""

    name: str
    shown: Callable[[Path, Path], Path | None]
    reference: str


def _listener_began(ours: Path, kernels: Path) -> Path | None:
    if ours[:2] == (CLOSED, LISTEN) and kernels[:1] == (LISTEN,):
        return ours[1:]
    return None


# What a passive end went through of which no socket was made.
_REQUESTS: Final = (
    (CLOSED, LISTEN, SYN_RECEIVED),
    (CLOSED, LISTEN, SYN_RECEIVED, LISTEN),
    (CLOSED, LISTEN, SYN_RECEIVED, CLOSED),
)


def _only_a_request(ours: Path, kernels: Path) -> Path | None:
    return () if not kernels and ours in _REQUESTS else None


def _time_wait_is_small(ours: Path, kernels: Path) -> Path | None:
    return (*ours[: ours.index(TIME_WAIT)], CLOSED) if TIME_WAIT in ours else None


def _fin_wait_2_is_small(ours: Path, kernels: Path) -> Path | None:
    if ours[-1:] == (FIN_WAIT_2,) and kernels == (*ours, CLOSED):
        return kernels
    return None


def _thrown_away(ours: Path, kernels: Path) -> Path | None:
    silent = (SYN_SENT, SYN_RECEIVED, ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, LAST_ACK, CLOSING)
    return kernels if ours[-1:] and ours[-1] in silent and kernels == (*ours, CLOSED) else None


PECULIARITIES: Final = (
    Peculiarity(
        "a listener's child begins in LISTEN, as a copy of it, when the third ACK has come",
        _listener_began,
        "Linux inet_csk_clone_lock, tcp_v4_syn_recv_sock",
    ),
    Peculiarity(
        "until the third ACK there is a request only, and no socket of which anything is told",
        _only_a_request,
        "Linux tcp_conn_request, tcp_check_req",
    ),
    Peculiarity(
        "TIME-WAIT is kept in a small socket: its beginning is told as CLOSED, its end not at all",
        _time_wait_is_small,
        "Linux tcp_time_wait",
    ),
    Peculiarity(
        "FIN-WAIT-2 of a socket that nobody holds is kept in a small socket: told as CLOSED",
        _fin_wait_2_is_small,
        "Linux tcp_rcv_state_process (FIN-WAIT-1), tcp_time_wait",
    ),
    Peculiarity(
        "the socket was thrown away without a segment",
        _thrown_away,
        "Linux tcp_done, tcp_write_err, tcp_disconnect",
    ),
)


FIN_WAITS: Final = (
    "FIN-WAIT-1 and LAST-ACK begin with the call, while its FIN waits behind bytes, or is lost "
    "before it is captured (RFC 9293 3.10.4, Linux tcp_close_state)"
)
# The state that an end would be in without its own FIN.
_BEFORE_OWN_FIN: Final = {
    FIN_WAIT_1: ESTABLISHED,
    FIN_WAIT_2: ESTABLISHED,
    CLOSING: CLOSE_WAIT,
    LAST_ACK: CLOSE_WAIT,
    TIME_WAIT: CLOSED,
}
NEAR_NS: Final = 1_000_000


def compare(ours: Path, kernels: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether the two paths say the same, and by which peculiarities they do."""
    names = []
    for row in PECULIARITIES:
        if ours == kernels:
            break
        shown = row.shown(ours, kernels)
        if shown is not None:
            ours = shown
            names.append(row.name)
    return ours == kernels, tuple(names)


def path_of(life: KernelLife | None) -> Path:
    """The kernel's path. close() after shutdown() sets FIN-WAIT-1 once more: that is no step."""
    states: list[str] = []
    for state in life.states if life is not None else ():
        if states[-1:] != [state]:
            states.append(state)
    return tuple(states)


def listener_path(found: Witnessed, socket: int) -> Path:
    """The states that a listening socket of ours went through; each listen() after a shutdown()
    begins a life of its own in the kernel's events."""
    states: list[str] = []
    for life in found.listeners.get(socket, ()):
        states += path_of(life)[1:] if states[-1:] == [CLOSED] else path_of(life)
    return tuple(states)


def with_states(
    connection: Connection, wire: Wire, found: Witnessed
) -> tuple[Connection, tuple[Difference, ...]]:
    """The connection with the kernel's states beside ours, and where they differ."""
    conversation = wire.conversations[connection.id - 1]
    client = path_of(found.life_of.get(conversation.client))
    own_server = not conversation.is_self_connected
    server = path_of(found.life_of.get(conversation.server)) if own_server else ()
    asked = SET_STATE in found.watched or bool(client or server)
    told = [
        _beside(connection, "client", connection.client_states, client, conversation.client, found),
        _beside(connection, "server", connection.server_states, server, conversation.server, found),
    ]
    names = dict.fromkeys(name for _, peculiar in told for name in peculiar) if asked else {}
    return (
        replace(connection, client_kernel=client, server_kernel=server, peculiarities=tuple(names)),
        tuple(difference for difference, _ in told if difference is not None),
    )


def _beside(
    connection: Connection, end: str, ours: Path, kernels: Path, half: Half, found: Witnessed
) -> tuple[Difference | None, tuple[str, ...]]:
    """What is different at one end, and the peculiarities.

    Only what the kernel has told from the beginning is compared: a life that was under way when it
    was first asked differs in nothing but that.
    """
    if not _comparable(ours, kernels):
        return None, ()
    same, names = compare(ours, kernels)
    if not same and _fin_waited(half, found.life_of.get(half)):
        same = _without_own_fin(ours) == _without_own_fin(kernels)
        names = (*names, FIN_WAITS)
    # Where the kernel tells nothing, the end may be a raw socket's, or on another machine.
    if same or not kernels or _same_so_far(ours, kernels):
        return None, names
    life = found.life_of.get(half)
    difference = Difference(
        f"connection {connection.id}, states of the {end}",
        " → ".join(ours),
        " → ".join(kernels),
        segments=connection.segments,
        calls=connection.calls,
        connections=(connection.id,),
        kernel=tuple(event.id for event in life.events) if life is not None else (),
    )
    return difference, names


def _fin_waited(half: Half, life: KernelLife | None) -> bool:
    """The kernel's socket had a FIN to send before it did, or one that was not captured."""
    event = life.reached(FIN_WAIT_1, LAST_ACK) if life is not None else None
    left = half.fins[0].time_ns if half.fins else None
    return event is not None and (left is None or left - event.time_ns > NEAR_NS)


def _without_own_fin(path: Path) -> Path:
    """The path as it was but for the FIN that this end sent, and what followed of that."""
    states: list[str] = []
    for state in path:
        same = _BEFORE_OWN_FIN.get(state, state)
        if states[-1:] != [same]:
            states.append(same)
    return tuple(states[1:] if states[:2] == [CLOSED, LISTEN] else states)


def _comparable(ours: Path, kernels: Path) -> bool:
    return ours[:1] == (CLOSED,) and kernels[:1] in ((), (CLOSED,), (LISTEN,))


def _same_so_far(ours: Path, kernels: Path) -> bool:
    """The kernel's events end before the end of the life: the witness went first."""
    if kernels[-1] == CLOSED:
        return False
    for row in PECULIARITIES:
        ours = row.shown(ours, kernels) or ours
    return ours[: len(kernels)] == kernels
