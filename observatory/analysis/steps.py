"""A conversation's segments as the events that move the states of its ends."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.analysis.arrivals import NEVER
from observatory.analysis.conversations import Conversation, Kind
from observatory.analysis.states import Step


def steps(conversation: Conversation) -> Iterator[Step]:
    """Each segment at the moment it was seen; where its way is known it leaves and comes at
    moments of their own, or never comes. Copies that the path made move nobody."""
    client = conversation.client
    if conversation.arrivals is None:
        for one in conversation.sightings:
            yield Step(one.half is client, one.segment)
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
