"""The packets of a trace alone, for tools that take nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.codec.pcap import write_pcap
from observatory.codec.pcapng import enhanced_packet, interface_description, section_header
from observatory.codec.runfile import tail
from observatory.errors import UsageError
from observatory.model.segments import Direction, Frame
from observatory.model.trace import Trace


def write_packets(trace: Trace, kind: str = "pcap") -> Iterator[bytes]:
    """A capture file of ``trace.frames``, in chunks: ``pcap`` with nanoseconds, or ``pcapng``.

    Raises UsageError where pcap cannot hold them: it has one link type for all its packets.
    """
    return WRITERS[kind](trace)


def left_out(trace: Trace, kind: str = "pcap") -> tuple[str, ...]:
    """What ``write_packets`` leaves out of this trace, as phrases (``12 calls``)."""
    counts = {
        "call": len(trace.calls),
        "kernel event": len(trace.kernel),
        "process record": len(trace.processes),
    }
    directions = any(frame.direction is not Direction.UNKNOWN for frame in trace.frames)
    others = {
        "the run's header": trace.run.scenario is not None or trace.run.command is not None,
        "the annotations": True,
        "the interfaces and what they dropped": kind == "pcap",
        "packets where they were seen again on their path": kind == "pcap"
        and any(segment.sightings[1:] for segment in trace.segments),
        "the direction of each packet": kind == "pcap" and directions,
    }
    return (
        *(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count),
        *(what for what, there in others.items() if there),
    )


def _pcap(trace: Trace) -> Iterator[bytes]:
    linktypes = sorted({interface.linktype for interface in trace.interfaces})
    if len(linktypes) > 1:
        raise UsageError(
            f"a pcap file holds one link type and these packets have {len(linktypes)} "
            f"({', '.join(map(str, linktypes))}): use --format pcapng"
        )
    return write_pcap(seen_first(trace), linktypes[0] if linktypes else 1)


def seen_first(trace: Trace) -> list[Frame]:
    """The frames without those that show again, further on its path, a packet that another shows:
    a pcap has one interface, and who reads it would take them for retransmissions."""
    again = {id(one.frame) for segment in trace.segments for one in segment.sightings[1:]}
    return [frame for frame in trace.frames if id(frame) not in again]


def _pcapng(trace: Trace) -> Iterator[bytes]:
    yield section_header(())
    yield from map(interface_description, trace.interfaces)
    yield from map(enhanced_packet, trace.frames)
    yield tail(trace.interfaces, trace.frames[-1].time_ns if trace.frames else 0)


WRITERS = {"pcap": _pcap, "pcapng": _pcapng}
