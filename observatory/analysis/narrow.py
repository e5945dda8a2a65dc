"""Of an analysis the part that somebody asked for; nothing is concluded anew."""

from __future__ import annotations

from dataclasses import dataclass, replace

from observatory.model import (
    Address,
    Analysis,
    CauseKind,
    Confidence,
    Coverage,
    Endpoint,
    parse_address,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A number is a port or a process, an address either end of a connection."""

    number: int | None
    address: str | None
    endpoint: Endpoint | None

    @classmethod
    def of(cls, text: str) -> Wanted:
        """``8000``, ``4711``, ``127.0.0.1``, ``::1``, ``127.0.0.1:8000`` or ``[::1]:8000``."""
        if text.isdecimal():
            return cls(int(text), None, None)
        named = parse_address(text)
        whole = isinstance(named, Endpoint) and (text.startswith("[") or text.count(":") == 1)
        if whole and isinstance(named, Endpoint):
            return cls(None, None, named)
        return cls(None, text.removeprefix("[").removesuffix("]"), None)

    def has(self, address: Address | None) -> bool:
        """Whether an end of a connection is meant."""
        if not isinstance(address, Endpoint):
            return False
        end = address.on_the_wire()
        return end == self.endpoint or end.address == self.address or end.port == self.number


def narrow(analysis: Analysis, only: str) -> Analysis:
    """The connections, sockets, calls and segments of one port, address, endpoint or process.

    The trace stays whole, and so do the ids; coverage counts what is left.
    """
    wanted = Wanted.of(only)
    sockets = tuple(
        one
        for one in analysis.sockets
        if wanted.has(one.local) or wanted.has(one.peer) or wanted.number in one.pids
    )
    pids = {call.call.id: call.call.pid for call in analysis.calls}
    connections = tuple(
        one
        for one in analysis.connections
        if wanted.has(one.client)
        or wanted.has(one.server)
        or any(pids.get(call) == wanted.number for call in one.calls)
    )
    numbers = {one.id for one in connections}
    ids = {one.id for one in sockets}
    calls = tuple(
        one
        for one in analysis.calls
        if one.connection in numbers or one.socket in ids or one.call.pid == wanted.number
    )
    segments = tuple(
        one
        for one in analysis.segments
        if one.connection in numbers
        or wanted.has(one.segment.src)
        or wanted.has(one.segment.dst)
        or (wanted.number is not None and wanted.number in (one.src_pid, one.dst_pid))
    )
    likely = Confidence.LIKELY
    uncertain = sum(one.explanation.confidence is likely for one in calls)
    uncertain += sum(one.cause.confidence is likely for one in segments)
    explained = sum(one.explanation.confidence is not Confidence.UNEXPLAINED for one in calls)
    known = sum(one.cause.kind is not CauseKind.UNKNOWN for one in segments)
    note = (
        f"Shown is only {only}: {len(connections)} of {len(analysis.connections)} connections, "
        f"{len(calls)} of {len(analysis.calls)} calls. The run file holds them all."
    )
    return replace(
        analysis,
        connections=connections,
        sockets=sockets,
        calls=calls,
        segments=segments,
        coverage=Coverage(
            len(calls), explained, len(segments), known, uncertain, analysis.coverage.dropped
        ),
        notes=(*analysis.notes, note),
    )
