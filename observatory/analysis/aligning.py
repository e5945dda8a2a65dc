"""Aligns two runs of the same program or behaviour, call by call and segment by segment.

Processes are paired by their role, connections by the roles of their ends and their order; within
each, entries are paired by what they are (name and arguments, direction and flags), and what is
then left over between two pairs by name alone. Ephemeral ports, process ids and times differ from
run to run and are no difference; that a call waited for a tenth of a second in one of them is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

from observatory.model import (
    Analysis,
    AttributedSegment,
    Endpoint,
    ExplainedCall,
    UnixAddress,
    parse_address,
)
from observatory.model.calls import Argument
from observatory.model.comparison import Change, Comparison, Difference, Pair

Item = TypeVar("Item", ExplainedCall, AttributedSegment)
Differ = Callable[["_Run", "_Run", Item, Item], Iterator[Difference]]

EPHEMERAL = 32768
"""Ports from here on are the kernel's choice (ip(7), ip_local_port_range)."""
NOTABLE_NS = 100_000_000
LONG = 2000
"""Sequences longer than this are aligned by what is rare in them; all else would be quadratic."""


def align(before: Analysis, after: Analysis) -> Comparison:
    """What is the same in two runs, and what is new, gone or other."""
    first, second = _Run(before), _Run(after)
    calls = _aligned(first, second, first.calls, second.calls, _call_keys, _call_differences)
    segments = _aligned(
        first, second, first.segments, second.segments, _segment_keys, _segment_differences
    )
    return Comparison(before, after, tuple(calls), tuple(segments))


class _Run:
    """One run's calls and segments in the groups that are compared with each other."""

    def __init__(self, analysis: Analysis) -> None:
        self.roles = {
            process.pid: process.role or process.command for process in analysis.trace.processes
        }
        self.by_id = {one.segment.id: one for one in analysis.segments}
        self.calls: dict[str, list[ExplainedCall]] = defaultdict(list)
        for one in analysis.calls:
            self.calls[self.role(one.call.pid)].append(one)
        self.clients = {one.id: one.client for one in analysis.connections}
        self.segments: dict[str, list[AttributedSegment]] = defaultdict(list)
        names = self._names(analysis)
        for segment in analysis.segments:
            name = names.get(segment.connection or 0) or segment.segment.protocol.value
            self.segments[name].append(segment)

    def role(self, pid: int | None) -> str:
        return "" if pid is None else self.roles.get(pid, "")

    def _names(self, analysis: Analysis) -> dict[int, str]:
        """Connection id to the roles of its ends and its number among those of the same roles."""
        counted: Counter[str] = Counter()
        names: dict[int, str] = {}
        owners: dict[int, dict[bool, str]] = defaultdict(dict)
        for one in analysis.segments:
            if one.connection is not None:
                from_client = one.segment.src == self.clients.get(one.connection)
                for own, pid in ((from_client, one.src_pid), (not from_client, one.dst_pid)):
                    if pid is not None:
                        owners[one.connection].setdefault(own, self.role(pid))
        for connection in analysis.connections:
            roles = owners[connection.id]
            name = (
                f"{roles.get(True) or _place(connection.client)} → "
                f"{roles.get(False) or _place(connection.server)}"
            )
            counted[name] += 1
            names[connection.id] = f"{name} ({counted[name]})"
        return names


def _aligned(
    first: _Run,
    second: _Run,
    before: Mapping[str, Sequence[Item]],
    after: Mapping[str, Sequence[Item]],
    keys: Callable[[_Run, Item], tuple[Hashable, Hashable]],
    differ: Differ[Item],
) -> Iterator[Pair[Item]]:
    for group in dict.fromkeys((*before, *after)):
        left, right = before.get(group, ()), after.get(group, ())
        exact = [keys(first, one) for one in left], [keys(second, one) for one in right]
        for one, other in _paired(left, right, *exact):
            if one is None or other is None:
                yield Pair(group, one, other, _unpaired(one, other))
                continue
            differences = tuple(differ(first, second, one, other))
            change = Change.OTHER if differences else Change.SAME
            yield Pair(group, one, other, change, differences)


def _unpaired(one: Item | None, other: Item | None) -> Change:
    found = one if one is not None else other
    if isinstance(found, AttributedSegment) and _is_bare_ack(found):
        return Change.SHIFTED
    return Change.GONE if other is None else Change.NEW


def _is_bare_ack(one: AttributedSegment) -> bool:
    return one.segment.flags == "A" and not one.segment.length and not one.completes


def _paired(
    left: Sequence[Item],
    right: Sequence[Item],
    left_keys: Sequence[tuple[Hashable, Hashable]],
    right_keys: Sequence[tuple[Hashable, Hashable]],
) -> Iterator[tuple[Item | None, Item | None]]:
    """Pairs by the whole key; what stands between two of them, by its first half."""
    for _, a, b, c, d in _opcodes(left_keys, right_keys):
        if left_keys[a:b] == right_keys[c:d]:
            yield from zip(left[a:b], right[c:d], strict=True)
            continue
        names = [key[0] for key in left_keys[a:b]], [key[0] for key in right_keys[c:d]]
        for tag, i, j, k, m in _opcodes(*names):
            if tag == "equal":
                yield from zip(left[a + i : a + j], right[c + k : c + m], strict=True)
                continue
            yield from ((one, None) for one in left[a + i : a + j])
            yield from ((None, one) for one in right[c + k : c + m])


def _opcodes(
    left: Sequence[Hashable], right: Sequence[Hashable]
) -> Sequence[tuple[str, int, int, int, int]]:
    if left == right:
        return [("equal", 0, len(left), 0, len(right))]
    matcher = SequenceMatcher(None, left, right, autojunk=max(len(left), len(right)) > LONG)
    return matcher.get_opcodes()


# --- Calls ---------------------------------------------------------------------------------------


def _call_keys(run: _Run, one: ExplainedCall) -> tuple[Hashable, Hashable]:
    call = one.call
    return (call.name, call.fd), (_arguments(run, one), _outcome(run, one))


def _arguments(run: _Run, one: ExplainedCall) -> str:
    args = one.call.args.items()
    return ", ".join(f"{name}={_value(run, name, value)}" for name, value in args)


def _value(run: _Run, name: str, value: Argument) -> str:
    if name == "pid" and isinstance(value, int):
        return run.role(value) or "pid"
    address = parse_address(value)
    if isinstance(address, Endpoint):
        return _place(address)
    if isinstance(address, UnixAddress) and address.path.startswith("/"):
        return f"unix:{address.path.rpartition('/')[2]}"  # a folder of the run's own
    return str(value)


def _place(endpoint: Endpoint) -> str:
    return f"{endpoint.address}:*" if endpoint.port >= EPHEMERAL else str(endpoint)


def _outcome(run: _Run, one: ExplainedCall) -> str:
    call = one.call
    if call.returned_ns is None:
        return "never returned"
    if call.errno is not None:
        return f"-1 {call.errno}"
    return run.role(call.result) or str(call.result) if call.name == "fork" else str(call.result)


def _call_differences(
    first: _Run, second: _Run, one: ExplainedCall, other: ExplainedCall
) -> Iterator[Difference]:
    yield from _told("arguments", _arguments(first, one), _arguments(second, other))
    yield from _told("result", _outcome(first, one), _outcome(second, other))
    yield from _told("sent", _flags(first, one.sent), _flags(second, other.sent))
    again = len(one.retransmitted), len(other.retransmitted)
    yield from _told("sent again", str(again[0]), str(again[1]))
    yield from _told(
        "completed by", _flags(first, one.completed_by), _flags(second, other.completed_by)
    )
    yield from _told("explanation", one.explanation.rule, other.explanation.rule)
    took = _took(one), _took(other)
    if abs(took[0] - took[1]) >= NOTABLE_NS:
        yield Difference("took", *(f"{ns / 1e9:.3f} s" for ns in took))


def _took(one: ExplainedCall) -> int:
    returned = one.call.returned_ns
    return 0 if returned is None else returned - one.call.entered_ns


def _flags(run: _Run, numbers: Sequence[int]) -> str:
    """The segments by what they are; bare ACKs left out, as in SHIFTED."""
    found = [run.by_id[number] for number in numbers if number in run.by_id]
    return " ".join(
        f"{one.segment.flags or one.segment.protocol}"
        + (f" ({one.segment.length})" if one.segment.length else "")
        for one in found
        if one.segment.flags != "A" or one.segment.length
    )


# --- Segments ------------------------------------------------------------------------------------


def _segment_keys(run: _Run, one: AttributedSegment) -> tuple[Hashable, Hashable]:
    segment = one.segment
    from_client = segment.src == run.clients.get(one.connection or 0)
    icmp = None if segment.icmp is None else (segment.icmp.type, segment.icmp.code)
    return (from_client, segment.flags, icmp), (segment.length, one.retransmission, _cause(one))


def _segment_differences(
    first: _Run, second: _Run, one: AttributedSegment, other: AttributedSegment
) -> Iterator[Difference]:
    yield from _told("length", str(one.segment.length), str(other.segment.length))
    yield from _told("sent again", str(one.retransmission), str(other.retransmission))
    if not (_is_bare_ack(one) and _is_bare_ack(other)):
        yield from _told("cause", _cause(one), _cause(other))
    yield from _told("doubt", one.cause.confidence.value, other.cause.confidence.value)


def _cause(one: AttributedSegment) -> str:
    return one.cause.kind.value


def _told(what: str, before: str, after: str) -> Iterator[Difference]:
    if before != after:
        yield Difference(what, before or "none", after or "none")
