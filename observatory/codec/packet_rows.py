"""The packets of a run file, each with what was concluded about it as comments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from observatory.codec.pcapng import enhanced_packet
from observatory.model.segments import Frame, Segment
from observatory.model.trace import Interface, Trace


def packet_rows(trace: Trace, comments: Mapping[int, Sequence[str]]) -> Iterator[tuple[int, bytes]]:
    """Frames in time order, each with the comments of the segment that it is a sighting of."""
    waiting: dict[tuple[int, int], list[tuple[Frame, Sequence[str]]]] = defaultdict(list)
    for segment in trace.segments:
        if segment.id in comments:
            for frame, notes in _noted(segment, comments[segment.id], trace.interfaces):
                waiting[frame.time_ns, frame.interface].append((frame, notes))
    for frame in sorted(trace.frames, key=lambda frame: frame.time_ns):
        yield frame.time_ns, enhanced_packet(frame, _notes(frame, waiting))


def _notes(
    frame: Frame, waiting: Mapping[tuple[int, int], list[tuple[Frame, Sequence[str]]]]
) -> Sequence[str]:
    """What was noted on this frame; equal frames take theirs in order."""
    here = waiting.get((frame.time_ns, frame.interface), [])
    for index, (noted, notes) in enumerate(here):
        if noted is frame or noted == frame:
            del here[index]
            return notes
    return ()


def _noted(
    segment: Segment, notes: Sequence[str], interfaces: Sequence[Interface]
) -> Iterator[tuple[Frame, Sequence[str]]]:
    """Each frame that shows the segment; in a lab the first note says where it was seen."""
    if not segment.sightings and segment.frame is not None:
        yield segment.frame, notes
    for sighting in segment.sightings:
        if sighting.frame is not None:
            seen = f", seen at {interfaces[sighting.interface].name}"
            yield sighting.frame, (*(f"{note}{seen}" for note in notes[:1]), *notes[1:])
