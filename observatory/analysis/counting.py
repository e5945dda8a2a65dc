"""What the counters of one host rose by over the run, where nobody else was counted."""

from __future__ import annotations

from collections.abc import Iterable

from observatory.model import Counter


def rose(counters: Iterable[Counter], name: str, host: str) -> int | None:
    """By how much; 0 where the host's counters are known and this one did not change. None where
    the counters of that host are not known, or others were counted too."""
    own = [one for one in counters if one.host == host]
    if not own or not all(one.exact for one in own):
        return None
    return sum(one.change for one in own if one.name == name)
