"""The kernel's events as small marks in a ladder, at the endpoint of which they tell."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass

from observatory.model import Analysis, PlacedEvent
from observatory.reports.labels import addresses
from observatory.reports.lanes import Lanes

Places = dict[tuple[int, str], list[tuple[int, int]]]  # (connection, endpoint): (time, lane)


@dataclass(frozen=True, slots=True)
class KernelRow:
    """An event of the kernel's beside a lane's bar."""

    time_ns: int
    lane: int
    event: int
    words: str


def marks(analysis: Analysis, lanes: Lanes) -> tuple[KernelRow, ...]:
    """The events that have a place in the ladder, in order of time.

    An event of a connection stands at its end, wherever that is drawn at the time; one of a
    listener in the lane of the process that was in the call. What has neither is not drawn.
    """
    placed = {one.event: one for one in analysis.kernel}
    ends = _ends(analysis)
    places = _places(analysis, lanes)
    calls = {one.call.id: one.call.pid for one in analysis.calls}
    found = []
    for event in analysis.trace.kernel:
        one = placed.get(event.id)
        if one is None or not one.said:
            continue
        lane = _lane(one, event.time_ns, ends, places)
        if lane is None and one.connection is None and one.during is not None:
            lane = lanes.position.get(calls.get(one.during, -1))
        if lane is not None:
            about = f" #{one.segment}" if one.segment is not None else ""
            found.append(KernelRow(event.time_ns, lane, event.id, f"{one.said}{about}"))
    return tuple(found)


def _ends(analysis: Analysis) -> dict[tuple[int, str], str]:
    """The endpoint of each end of each connection."""
    return {
        (connection.id, name): str(end)
        for connection in analysis.connections
        for name, end in (("client", connection.client), ("server", connection.server))
    }


def _places(analysis: Analysis, lanes: Lanes) -> Places:
    """Where the ends of each connection are drawn, and since when."""
    places: Places = defaultdict(list)
    for attributed in analysis.segments:
        if attributed.connection is None:
            continue
        for endpoint, lane in zip(
            addresses(attributed.segment), lanes.ends[attributed.segment.id], strict=True
        ):
            known = places[attributed.connection, endpoint]
            if not known or known[-1][1] != lane:
                known.append((attributed.segment.time_ns, lane))
    return places


def _lane(
    one: PlacedEvent, time_ns: int, ends: dict[tuple[int, str], str], places: Places
) -> int | None:
    if one.connection is None:
        return None
    known = places.get((one.connection, ends.get((one.connection, one.end), "")), [])
    if not known:
        return None
    index = bisect_right(known, time_ns, key=lambda place: place[0])
    return known[max(index - 1, 0)][1]
