"""The part of the document that is the kernel's: its events, and what they say of conclusions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from observatory.codec.document_text import address, mapping
from observatory.model import Analysis, Difference, PlacedEvent, Testimony, Verdict


class TestimonyEntry(Struct, gc=False):
    """What the kernel's events say of a conclusion. row names the row of the evidence table
    (docs/kernel-evidence.md) that says what they should; said is what they did, empty where they
    were silent; events are their ids."""

    verdict: Verdict
    row: str
    said: str
    events: list[int]


@dataclass(slots=True)
class DifferenceEntry:
    """A conclusion that the kernel contradicts: ours, the kernel's, and the ids of the evidence of
    both."""

    subject: str
    ours: str
    kernels: str
    segments: list[int]
    calls: list[int]
    connections: list[int]
    kernel: list[int]


@dataclass(slots=True)
class KernelEntry:
    """Something the kernel itself said it did. pid is the thread that was running, during the call
    that it was in: that does not make it the cause. said is the event in a phrase. connection, end
    (client, server, or empty) and segment are what the event speaks of, where known."""

    id: int
    time_ns: int
    event: str
    pid: int
    src: str | None
    dst: str | None
    detail: dict[str, Any]
    said: str
    connection: int | None
    end: str
    segment: int | None
    during: int | None


def kernel_entries(analysis: Analysis) -> Iterator[KernelEntry]:
    """The trace's kernel events, with what each speaks of."""
    known: Mapping[int, PlacedEvent] = {placed.event: placed for placed in analysis.kernel}
    for event in analysis.trace.kernel:
        placed = known.get(event.id, PlacedEvent(event.id))
        yield KernelEntry(
            id=event.id,
            time_ns=event.time_ns,
            event=event.event,
            pid=event.pid,
            src=address(event.src),
            dst=address(event.dst),
            detail=mapping(event.detail),
            said=placed.said,
            connection=placed.connection,
            end=placed.end,
            segment=placed.segment,
            during=placed.during,
        )


def testimony_entry(testimony: Testimony | None) -> TestimonyEntry | None:
    """None where the kernel was not asked."""
    if testimony is None:
        return None
    return TestimonyEntry(testimony.verdict, testimony.row, testimony.said, list(testimony.events))


def difference_entry(difference: Difference) -> DifferenceEntry:
    """The difference as it is printed."""
    return DifferenceEntry(
        difference.subject,
        difference.ours,
        difference.kernels,
        list(difference.segments),
        list(difference.calls),
        list(difference.connections),
        list(difference.kernel),
    )
