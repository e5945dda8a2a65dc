"""A closed end that waited in FIN-WAIT-2 for the peer's FIN, and gave up (tcp(7) tcp_fin_timeout).

RFC 9293 knows no such limit. Linux keeps a socket that no program has any more in FIN-WAIT-2 for
``tcp_fin_timeout`` seconds (``tcp_fin_time``, ``tcp_time_wait``), and then knows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from observatory.analysis.conversations import Conversation, Half, Sighting
from observatory.analysis.lives import SocketLife

FIN_TIMEOUT = "net.ipv4.tcp_fin_timeout"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The FIN, the ACK of it that had come, and the setting in seconds."""

    fin: Sighting
    ack: Sighting
    seconds: int


def given_up(
    conversation: Conversation,
    own: Half,
    life: SocketLife | None,
    setting: str | None,
    until_ns: int,
) -> GivenUp | None:
    """Set where ``own`` had been in FIN-WAIT-2, its socket closed, for longer than the setting
    before ``until_ns``; None where not, or where that is not known."""
    if life is None or life.closed_ns is None or life.set("TCP_LINGER2") or not own.fins:
        return None
    if setting is None or not setting.isdigit():
        return None
    peer = conversation.opposite(own)
    if any(one.arrived_ns <= until_ns for one in (*peer.fins, *peer.resets)):
        return None
    fin_at = own.fin_at
    acks = (
        one
        for one in conversation.between(own.fins[0].time_ns, until_ns)
        if one.half is peer and fin_at is not None and (one.ack or 0) > fin_at
        if one.arrived_ns <= until_ns
    )
    ack = next(acks, None)
    if ack is None:
        return None
    since_ns = max(ack.arrived_ns, life.closed_ns)
    if until_ns - since_ns < int(setting) * 1_000_000_000:
        return None
    return GivenUp(own.fins[0], ack, int(setting))
