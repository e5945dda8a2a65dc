"""A log that somebody recorded with strace: what was left out of it, and what that costs.

What the grammar itself notices (no ``-y``, stamps without a date) is among its own defects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE = re.compile(r"(?P<pid>\[pid +\d+\] |\d+(?:<[^>]*>)? +)?[\d:.]* ?(?P<name>[a-z]\w*)\(")


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


def missing_options(lines: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each option that the log was recorded without, as far as it can be told."""
    found = [match for line in lines if (match := _LINE.match(line))]
    if not found:
        return ()
    pids = any(match["pid"] for match in found)
    return tuple(_told(pids, {match["name"] for match in found}))


def _told(pids: bool, names: set[str]) -> Iterator[str]:
    if not pids:
        yield "strace was run without -f: what other threads and children called is missing"
    for group in GROUPS:
        if not group.calls & names:
            calls = ", ".join(sorted(group.calls))
            yield (
                f"strace recorded no {calls} (left out by -e trace=, or not called): not known is "
                f"{group.cost}"
            )
