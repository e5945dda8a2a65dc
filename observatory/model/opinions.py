"""What another dissector says of the same packets, and where it differs from us."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SharkRow:
    """One packet as tshark dissects it; the TCP fields are None or empty when it is not TCP.

    ``number`` is Wireshark's row number, which counts the calls between the packets too.
    ``flags`` is letters in our order. Relative numbers are modulo 2**32. ``marks`` are the
    ``tcp.analysis`` flags without that prefix (``retransmission``, ``keep_alive`` …);
    ``completeness`` is the whole conversation's ``tcp.completeness``, the same in all its rows.
    """

    number: int
    time_ns: int
    stream: int | None = None
    flags: str = ""
    relative_seq: int | None = None
    relative_ack: int | None = None
    length: int = 0
    marks: frozenset[str] = field(default=frozenset())
    completeness: int | None = None


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """All rows of a file. ``method`` says which programs made them (``pyshark over TShark …``)."""

    rows: tuple[SharkRow, ...]
    method: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A segment that the other dissector sees otherwise; ``segment`` None speaks of the file."""

    segment: int | None
    what: str
    ours: str
    theirs: str
