"""How long a socket waits for a silent peer: keepalive probes and TCP_USER_TIMEOUT (tcp(7))."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.analysis.conversations import Conversation, Half, Kind, Sighting
from observatory.analysis.lives import SocketLife
from observatory.model import Call

USER_TIMEOUT = "TCP_USER_TIMEOUT"


@dataclass(frozen=True, slots=True)
class Patience:
    """The calls that told a socket how long to wait, those of them that were made."""

    keepalive: Call | None
    count: Call | None
    user_timeout: Call | None

    @property
    def probes(self) -> int | None:
        """After how many unanswered probes it gives up; None where no call said."""
        value = self.count.args.get("value") if self.count else None
        return value if isinstance(value, int) else None


def patience_of(life: SocketLife) -> Patience:
    """What the program asked for. Of several calls the last counts."""
    return Patience(*(_last(life, name) for name in ("SO_KEEPALIVE", "TCP_KEEPCNT", USER_TIMEOUT)))


def _last(life: SocketLife, option: str) -> Call | None:
    calls = life.set(option)
    return calls[-1] if calls and calls[-1].args.get("value") else None


def unanswered_probes(conversation: Conversation, half: Half, until_ns: int) -> list[Sighting]:
    """The keepalive probes that one end sent since the last segment of the other had come,
    oldest first."""
    probes: list[Sighting] = []
    for one in conversation.before(until_ns):
        if one.half is half and one.kind is Kind.PROBE:
            probes.append(one)
        elif one.half is not half and one.arrived_ns <= until_ns:
            break
    return probes[::-1]
