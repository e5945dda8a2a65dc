"""Where a Python program makes its socket calls, without changing the program.

:func:`environment` puts this folder first on PYTHONPATH; every Python that the program starts
then loads ``sitecustomize`` from it, which watches the methods of ``socket.socket`` and writes two
lines for each: thread, when it began (CLOCK_REALTIME, as strace's stamps), file and line; and when
it ended. A system call belongs to the method of its thread inside whose time it was entered.
Programs that ask Python to ignore the environment (``-E``, ``-I``, ``-S``) are not watched.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from observatory.model import Call, Site

FILE_VARIABLE = "OBSERVATORY_SITES"
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Sited:
    """From ``began_ns`` to ``ended_ns`` (None: to the end) a thread was in a method called at
    ``site``."""

    began_ns: int
    ended_ns: int | None
    site: Site


def environment(file: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """What is put into an environment to have a program's sites written to ``file``."""
    path = os.pathsep.join(filter(None, [str(HERE), outer.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, FILE_VARIABLE: str(file)}


def read_sites(file: Path) -> dict[int, list[Sited]]:
    """The lines by thread, in order of time; half a line at the end is left out."""
    found: dict[int, dict[int, Sited]] = defaultdict(dict)
    try:
        lines = file.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            tid, began, ended, *place = json.loads(line)
            earlier = found[tid].get(began)
            site = earlier.site if earlier else Site(*place)
        except (ValueError, TypeError):
            continue
        found[tid][began] = Sited(began, ended, site)
    return {tid: [sited[began] for began in sorted(sited)] for tid, sited in found.items()}


def add_sites(calls: Iterable[Call], sites: Mapping[int, Sequence[Sited]]) -> tuple[Call, ...]:
    """The calls with the places they were made at; of nested methods the innermost counts."""
    return tuple(_with_site(call, sites.get(call.tid, ())) for call in calls)


def _with_site(call: Call, sites: Sequence[Sited]) -> Call:
    last = bisect_right(sites, call.entered_ns, key=lambda one: one.began_ns)
    for one in reversed(sites[max(0, last - 4) : last]):
        if one.ended_ns is None or one.ended_ns >= call.entered_ns:
            return replace(call, site=one.site)
    return call
