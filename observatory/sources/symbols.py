"""Functions of the kernel by their addresses, from /proc/kallsyms (root only; proc(5))."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

KALLSYMS = Path("/proc/kallsyms")
FUNCTIONS = frozenset("tTwW")


def names_of(addresses: Collection[int], path: Path = KALLSYMS) -> Mapping[int, str]:
    """The function that each address is in; an empty name where that is not to be known.

    The file has 100,000 lines and more, which takes some 0.1 s: ask only when there is a need.
    """
    functions: list[tuple[int, str]] = []
    with suppress(OSError), path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            start, kind, name, *_ = line.split()
            if kind in FUNCTIONS:
                functions.append((int(start, 16), name))
    functions.sort()
    found = {}
    for address in addresses:
        place = bisect_right(functions, address, key=itemgetter(0))
        # Without the right to know them, all functions are shown at address 0.
        found[address] = functions[place - 1][1] if place and functions[place - 1][0] else ""
    return found
