"""A conversation's segments as the events that move the states of its ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from observatory.analysis.arrivals import NEVER
from observatory.analysis.conversations import Conversation, Kind
from observatory.analysis.states import Step


def steps(conversation: Conversation, dropped: Collection[int] = ()) -> Iterator[Step]:
    """Each segment at the moment it was seen; where its way is known it leaves and comes at
    moments of their own, or never comes. Where it is not, those never came that a kernel
    ``dropped`` (segment ids): on a path it may be a copy that was. Copies that the path made move
    nobody."""
    client = conversation.client
    if conversation.arrivals is None:
        for one in conversation.sightings:
            yield Step(one.half is client, one.segment, came=one.id not in dropped)
        return
    events: list[tuple[int, Step]] = []
    for one in conversation.sightings:
        if one.kind is Kind.COPY:
            continue
        from_client = one.half is client
        if not one.made_at:
            events.append((one.time_ns, Step(from_client, one.segment, came=False)))
        if one.arrived_ns < NEVER:
            events.append((one.arrived_ns, Step(from_client, one.segment, left=False)))
    yield from (step for _, step in sorted(events, key=lambda event: event[0]))
