"""What a behaviour must show, for the tests alone: the analyzer never sees it.

::

    expects=Expectations(
        calls={"client": "socket ok, connect ECONNREFUSED, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("RST")),
        absent=("FIN",),
    )

Nothing here speaks of exact times, ephemeral ports or whether an ACK travels alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CauseFact:
    """There is a ``segment`` (``SYN``, ``SYN-ACK``, ``data``, ``FIN``, ``RST``, ``ACK``, ``UDP``,
    ``ICMP``) whose cause is of this ``kind``, for certain unless ``likely`` is enough. For a
    call: its ``call`` name and the ``role`` of the process that made it, where they are given.
    """

    segment: str
    kind: str
    call: str = ""
    role: str = ""
    likely: bool = False


def sent(segment: str, call: str, role: str, *, likely: bool = False) -> CauseFact:
    """A call put it on the wire: ``sent("FIN", "close", "server")``."""
    return CauseFact(segment, "call", call, role, likely)


def answered(segment: str, *, likely: bool = False) -> CauseFact:
    """The kernel answered an arriving segment with it: ``answered("RST")``."""
    return CauseFact(segment, "reply", likely=likely)


def timed(segment: str, *, likely: bool = False) -> CauseFact:
    """A timer put it on the wire: ``timed("SYN")``."""
    return CauseFact(segment, "timer", likely=likely)


@dataclass(frozen=True, slots=True)
class Expectations:
    """``calls`` says for each role which calls it makes with which outcome (``ok``, an errno, or
    ``…`` where it never returns), in this order, others between them allowed; ``causes`` what
    must be found on the wire, ``absent`` which segments must not be there (``any``: none at all).
    """

    calls: Mapping[str, str] = field(default_factory=dict)
    causes: tuple[CauseFact, ...] = ()
    absent: tuple[str, ...] = ()

    def outcomes(self, role: str) -> tuple[tuple[str, str], ...]:
        """``(call name, outcome)`` of a role, in order."""
        pairs = (item.split() for item in self.calls[role].split(",") if item.strip())
        return tuple((name, outcome) for name, outcome in pairs)
