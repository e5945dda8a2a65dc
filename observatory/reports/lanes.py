"""Which lanes a ladder has, in what order, and on which lane each segment starts and ends.

A lane is a process. Where no process is known to hold a socket (a port that nobody listens on,
a capture without calls) the endpoint itself is the lane.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from observatory.model import Analysis, AttributedSegment, Icmp, Protocol
from observatory.reports.lab_lanes import Ends, LabWays
from observatory.reports.labels import addresses, process_names
from observatory.reports.selection import FORKS

Key = int | str  # a pid, or an endpoint as text
Holders = dict[tuple[int | None, str], int]  # (connection, endpoint) to pid

PASSIVE_CALLS = frozenset({"listen", "accept", "accept4"})
LEFT, MIDDLE, RIGHT = range(3)


@dataclass(frozen=True, slots=True)
class Lane:
    """One column of the ladder. A process is shown from ``born_ns`` (None: from the top) to
    ``ended_ns`` (None: to the bottom). ``host`` is the lab's host that it is on."""

    key: Key
    label: str
    born_ns: int | None = None
    ended_ns: int | None = None
    host: str = ""

    @property
    def is_host(self) -> bool:
        """True for a lane of a router, on which no program runs."""
        return bool(self.host) and self.host == self.key


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes from left to right, and the two ends of every segment as positions in them.
    ``halves`` are the segments of a lab that begin (or end) half-way between the two."""

    lanes: tuple[Lane, ...]
    position: dict[Key, int]
    ends: dict[int, tuple[int, int]]
    halves: dict[int, tuple[bool, bool]] = field(default_factory=dict)


def hosts_over(lanes: Iterable[Lane]) -> list[tuple[str, int, int]]:
    """Each host of a lab with its first and last lane; empty outside a lab."""
    hosts: list[tuple[str, int, int]] = []
    for index, lane in enumerate(lanes):
        if hosts and lane.host and hosts[-1][0] == lane.host:
            hosts[-1] = lane.host, hosts[-1][1], index
        elif lane.host:
            hosts.append((lane.host, index, index))
    return hosts


def lanes_of(analysis: Analysis) -> Lanes:
    """Clients left, servers right, forked children beside their parents; in a lab the hosts in
    the order of the path."""
    ways = LabWays(analysis)
    ends = {number: Ends(*pair) for number, pair in _segment_ends(analysis).items()}
    if ways.is_known:
        ends = {
            entry.segment.id: ways.ends(entry, one.source, one.target)
            for entry in analysis.segments
            for one in [ends[entry.segment.id]]
        }
    used: dict[Key, None] = dict.fromkeys(call.call.pid for call in analysis.calls)
    for one in ends.values():
        used.update(dict.fromkeys((one.source, one.target)))
    if ways.is_known:
        used.update(dict.fromkeys(ways.passed(analysis)))
    order = _ordered(analysis, used, ways)
    position = {key: index for index, key in enumerate(order)}
    return Lanes(
        lanes=tuple(_lane(analysis, order, ways)),
        position=position,
        ends={number: (position[one.source], position[one.target]) for number, one in ends.items()},
        halves={
            number: (one.from_half, one.to_half)
            for number, one in ends.items()
            if one.from_half or one.to_half
        },
    )


def _lane(analysis: Analysis, order: Iterable[Key], ways: LabWays) -> Iterable[Lane]:
    names = process_names(analysis)
    processes = {process.pid: process for process in analysis.trace.processes}
    births = _births(analysis)
    for key in order:
        host = ways.host_of(key) if ways.is_known else ""
        if isinstance(key, str):
            yield Lane(key, key, host=host)
            continue
        process = processes.get(key)
        is_child = process is not None and process.parent in processes
        yield Lane(
            key,
            names.get(key, f"pid[{key}]"),
            born_ns=births.get(key) if is_child else None,
            ended_ns=process.ended_ns if process else None,
            host=host,
        )


def _births(analysis: Analysis) -> dict[int, int]:
    """Since when each process is known to be there: its fork, or else its first call."""
    births = {call.call.pid: call.call.entered_ns for call in reversed(analysis.calls)}
    for entry in analysis.calls:
        call = entry.call
        if call.name in FORKS and call.result:
            births[call.result] = min(call.entered_ns, births.get(call.result, call.entered_ns))
    return births


# --- The ends of segments ----------------------------------------------------------------------


def _segment_ends(analysis: Analysis) -> dict[int, tuple[Key, Key]]:
    """Segment id to the keys of the lanes that it left and reached."""
    holders = _holders(analysis)
    older = _Generations(analysis)
    ends: dict[int, tuple[Key, Key]] = {}
    for attributed in analysis.segments:
        segment = attributed.segment
        if segment.icmp is not None:
            ends[segment.id] = _error_ends(attributed, segment.icmp, ends, holders)
            continue
        source, target = addresses(segment)
        ends[segment.id] = (
            _end(attributed, source, older.alive(attributed.src_pid, segment.time_ns), holders),
            _end(attributed, target, older.alive(attributed.dst_pid, segment.time_ns), holders),
        )
    return ends


def _error_ends(
    attributed: AttributedSegment,
    icmp: Icmp,
    ends: dict[int, tuple[Key, Key]],
    holders: Holders,
) -> tuple[Key, Key]:
    """An ICMP error comes back to who sent what it quotes; from the far end of that, unless
    another host (a router) or a program with a raw socket speaks."""
    source, target = addresses(attributed.segment)
    origin: Key = source if attributed.src_pid is None else attributed.src_pid
    quoted = ends.get(attributed.quotes) if attributed.quotes is not None else None
    if quoted is None:
        back = holders.get((None, str(icmp.quoted_src)), attributed.dst_pid)
        return origin, target if back is None else back
    same_host = icmp.quoted_dst is None or icmp.quoted_dst.address == source
    return quoted[1] if same_host and attributed.src_pid is None else origin, quoted[0]


class _Generations:
    """Who was there: what reached a socket before the child that was to read it was forked
    reached its parent."""

    def __init__(self, analysis: Analysis) -> None:
        self.births = _births(analysis)
        self.parents = {process.pid: process.parent for process in analysis.trace.processes}

    def alive(self, pid: int | None, time_ns: int) -> int | None:
        """``pid``, or its nearest ancestor of the run that was there at ``time_ns``."""
        while pid is not None and self.births.get(pid, time_ns) > time_ns:
            parent = self.parents.get(pid)
            if parent not in self.parents:
                break
            pid = parent
        return pid


def _end(
    attributed: AttributedSegment,
    endpoint: str,
    pid: int | None,
    holders: Holders,
) -> Key:
    if pid is not None:
        return pid
    # The kernel goes on for a socket whose process is gone: stay on that process's lane.
    return holders.get((attributed.connection, endpoint), endpoint)


def _holders(analysis: Analysis) -> Holders:
    """The process last known to hold each end of each connection, and of any (None)."""
    holders: Holders = {}
    for attributed in analysis.segments:
        source, target = addresses(attributed.segment)
        if attributed.segment.protocol not in (Protocol.TCP, Protocol.UDP):
            continue
        if attributed.src_pid is not None:
            holders[attributed.connection, source] = attributed.src_pid
            holders[None, source] = attributed.src_pid
        if attributed.dst_pid is not None:
            holders[attributed.connection, target] = attributed.dst_pid
            holders[None, target] = attributed.dst_pid
    return holders


# --- Left to right -----------------------------------------------------------------------------


def _ordered(analysis: Analysis, used: Iterable[Key], ways: LabWays) -> list[Key]:
    """In a lab by host; by side, then by role (client2 before client10), endpoints as first used;
    a child directly after its parent."""
    sides = _sides(analysis)
    roles: dict[Key, tuple[str, int, int]] = {
        one.pid: (*_numbered(one.role), one.pid) for one in analysis.trace.processes
    }
    last = ("\U0010ffff", 0, 0)
    hosts: dict[Key, int] = {}
    if ways.is_known:
        beyond = len(ways.order)
        hosts = {key: ways.order.get(ways.host_of(key), beyond) for key in used}
    keys = sorted(
        used, key=lambda key: (hosts.get(key, 0), sides.get(key, MIDDLE), roles.get(key, last))
    )
    parents = {process.pid: process.parent for process in analysis.trace.processes}
    present = set(keys)
    children: dict[Key, list[Key]] = {}
    roots: list[Key] = []
    for key in keys:
        parent = parents.get(key) if isinstance(key, int) else None
        if parent in present and parent is not None:
            children.setdefault(parent, []).append(key)
        else:
            roots.append(key)
    order: list[Key] = []
    waiting = roots[::-1]
    while waiting:
        key = waiting.pop()
        order.append(key)
        waiting += reversed(children.pop(key, []))
    return order


def _numbered(role: str) -> tuple[str, int]:
    """``client12`` as ``("client", 12)``."""
    name = role.rstrip("0123456789")
    return name, int(role[len(name) :] or 0)


def _sides(analysis: Analysis) -> dict[Key, int]:
    sides: dict[Key, int] = {}
    for connection in analysis.connections:
        sides.setdefault(str(connection.client), LEFT)
        sides.setdefault(str(connection.server), RIGHT)
    connects = {call.call.pid for call in analysis.calls if call.call.name == "connect"}
    listens = {call.call.pid for call in analysis.calls if call.call.name in PASSIVE_CALLS}
    sides.update(dict.fromkeys(connects, LEFT))
    sides.update(dict.fromkeys(listens, RIGHT))
    for process in analysis.trace.processes:
        if process.role.startswith("client"):
            sides[process.pid] = LEFT
        elif process.role.startswith("server"):
            sides[process.pid] = RIGHT
    return sides
