"""Functions of the kernel by their addresses, from /proc/kallsyms (root only; proc(5))."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

KALLSYMS = Path("/proc/kallsyms")
FUNCTIONS = frozenset((b"t", b"T", b"w", b"W"))


def names_of(addresses: Collection[int], path: Path = KALLSYMS) -> Mapping[int, str]:
    """The function that each address is in; an empty name where that is not to be known.

    The file has 100,000 lines and more, and the kernel takes some 0.1 s to write them: ask only
    when there is a need.
    """
    lines: list[bytes] = []
    with suppress(OSError):
        # Addresses stand first and are of one length, so that lines are ordered as they are.
        lines = sorted(path.read_bytes().splitlines())
    return {address: _function_at(address, lines) for address in addresses}


def _function_at(address: int, lines: list[bytes]) -> str:
    """The last function that begins at or before ``address``."""
    for place in range(bisect_right(lines, b"%016x~" % address), 0, -1):
        start, kind, name, *_ = lines[place - 1].split()
        if kind in FUNCTIONS:
            # Without the right to know them, all functions are shown at address 0.
            return name.decode() if start.strip(b"0") else ""
    return ""
