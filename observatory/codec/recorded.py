"""A log that somebody recorded with strace: which options were left out, and what that costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_LINE = re.compile(
    r"(?P<pid>\[pid +\d+\] |\d+ +)?"
    r"(?:(?P<unix>\d{9,}\.(?P<fraction>\d{3,9}))|(?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?)|\d+\.\d{6})? ?"
    r"(?P<name>[a-z]\w*)\((?P<rest>.*)"
)
_NAMED_DESCRIPTOR = re.compile(r"\d+<")


@dataclass(frozen=True, slots=True)
class Group:
    """System calls that do one thing: without any of them in a log, ``cost`` is not known."""

    calls: frozenset[str]
    cost: str


GROUPS = (
    Group(frozenset({"close"}), "when sockets were closed, and which FIN and RST that sent"),
    Group(frozenset({"read", "readv", "recvfrom", "recvmsg"}), "which calls received what arrived"),
    Group(frozenset({"write", "writev", "sendto", "sendmsg", "sendfile"}), "which calls sent data"),
    Group(frozenset({"exit_group", "exit"}), "what was closed by the end of a process"),
    Group(frozenset({"socket", "accept4", "accept"}), "what kind of sockets there were"),
)


@dataclass(slots=True)
class _Seen:
    lines: int = 0
    pids: bool = False
    unix: bool = False
    clock: bool = False
    nanoseconds: bool = False
    named: bool = False
    names: set[str] = field(default_factory=set)


def has_times(lines: Iterable[str]) -> bool:
    """Whether calls can be set beside packets at all."""
    seen = _look(lines)
    return seen.unix or seen.clock


def missing_options(lines: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each option that the log was recorded without, as far as it can be told."""
    seen = _look(lines)
    return tuple(_told(seen)) if seen.lines else ()


def _look(lines: Iterable[str]) -> _Seen:
    seen = _Seen()
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue
        seen.lines += 1
        seen.pids |= found["pid"] is not None
        seen.unix |= found["unix"] is not None
        seen.clock |= found["clock"] is not None
        seen.nanoseconds |= len(found["fraction"] or "") > 6
        seen.named |= _NAMED_DESCRIPTOR.match(found["rest"]) is not None
        seen.names.add(found["name"])
    return seen


def _told(seen: _Seen) -> Iterator[str]:
    if seen.clock and not seen.unix:
        yield (
            "strace was run with -t or -tt: the times have no date, and are set by the handshakes "
            "alone; -ttt has whole ones"
        )
    elif seen.unix and not seen.nanoseconds:
        yield (
            "strace was run with -ttt: of what happened within a microsecond the order is not "
            "known; --absolute-timestamps=format:unix,precision:ns has it"
        )
    if not seen.pids:
        yield "strace was run without -f: what other threads and children called is missing"
    if not seen.named:
        yield (
            "strace was run without -y: which reads and writes were on sockets is known only of "
            "descriptors that were seen opened"
        )
    for group in GROUPS:
        if not group.calls & seen.names:
            names = ", ".join(sorted(group.calls))
            yield (
                f"strace recorded no {names} (left out by -e trace=, or not called): not known is "
                f"{group.cost}"
            )
