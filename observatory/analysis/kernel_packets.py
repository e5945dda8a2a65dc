"""Which captured segment the kernel speaks of, when it gives a packet's address in memory.

``net:net_dev_queue`` tells address, length and device of each packet as it is handed to the
device, a few microseconds before it is captured there. A packet keeps its address until it is
freed: over the loopback, or from one end of a veth pair to the other, to where it is dropped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from observatory.analysis.kernel_sockets import pair_of
from observatory.model import Direction, Interface, KernelEvent, Segment

QUEUE = "net:net_dev_queue"
LONGEST_WAY_NS = 10_000_000
"""From the queue of a device without delay to the capture: some µs, more when threads change."""
LONGEST_LIFE_NS = 100_000_000
"""From the capture to where the packet is dropped, unless it is kept for a program to read."""
WAITED_IN_A_SOCKET = frozenset(
    {"QUEUE_PURGE", "SOCKET_CLOSE", "TCP_OFO_QUEUE_PRUNE", "TCP_OFO_DROP"}
)
"""Reasons for packets that may have been kept for any time; it is their reader that frees them."""
LOOPBACK = "lo"


def segments_spoken_of(
    events: Sequence[KernelEvent],
    segments: Iterable[Segment],
    interfaces: Sequence[Interface],
    threads: frozenset[int],
) -> Mapping[int, Segment]:
    """By position in ``events`` (in order of time) the segment whose packet the event names."""
    queued = _queued(events, segments, interfaces, threads)
    spoken: dict[int, Segment] = {}
    carrying: dict[object, Segment] = {}  # by address in memory
    for position, event in enumerate(events):
        packet = event.detail.get("packet")
        if not packet:
            continue
        if event.event == QUEUE:
            carrying.pop(packet, None)
            if position in queued:
                carrying[packet] = queued[position]
        elif packet in carrying and _may_be_of(event, carrying[packet], threads):
            spoken[position] = carrying[packet]
    return spoken


def _may_be_of(event: KernelEvent, segment: Segment, threads: frozenset[int]) -> bool:
    """Whether the packet at that address can still be the segment. The addresses of packets that
    were taken in are used again, and what another machine sent was never queued here."""
    ends = pair_of(event)
    if ends is not None and ends != frozenset((segment.src, segment.dst)):
        return False
    if event.detail.get("protocol") not in (None, _ethertype(segment)):
        return False
    if event.detail.get("reason") in WAITED_IN_A_SOCKET:
        return event.pid in threads
    last_ns = max((one.time_ns for one in segment.sightings), default=segment.time_ns)
    return event.time_ns - last_ns <= LONGEST_LIFE_NS


def _ethertype(segment: Segment) -> str:
    return "IPv6" if ":" in segment.src.address else "IPv4"


def _queued(
    events: Sequence[KernelEvent],
    segments: Iterable[Segment],
    interfaces: Sequence[Interface],
    threads: frozenset[int],
) -> dict[int, Segment]:
    """By position of an event of the queue the segment that was queued then.

    Of several packets of one length that were queued just before a segment was seen, it is the
    last; but one that a thread of the run queued goes before those of others.
    """
    names = {_device(one) for one in interfaces}
    positions: dict[object, list[int]] = defaultdict(list)
    for position, event in enumerate(events):
        if event.event == QUEUE and event.detail.get("interface") in names:
            positions[event.detail.get("length")].append(position)
    times = {
        length: [events[position].time_ns for position in found]
        for length, found in positions.items()
    }
    taken: dict[int, Segment] = {}
    for segment in segments:
        for time_ns, length in _sightings(segment, interfaces):
            if length not in positions:
                continue
            first = bisect_left(times[length], time_ns - LONGEST_WAY_NS)
            last = bisect_right(times[length], time_ns)
            fitting = [each for each in positions[length][first:last] if each not in taken]
            if fitting:
                best = max(fitting, key=lambda each: (events[each].pid in threads, each))
                taken[best] = segment
    return taken


def _sightings(segment: Segment, interfaces: Sequence[Interface]) -> Iterator[tuple[int, int]]:
    """Each time at which the segment was captured leaving a device, and its frame's length there.

    What arrives was queued at another device: another sighting's, or another machine's. Over the
    loopback it leaves and arrives at the same device, and only the arrival is captured.
    """
    places = [(one.time_ns, one.interface, one.frame) for one in segment.sightings]
    for time_ns, index, frame in places or [(segment.time_ns, segment.interface, segment.frame)]:
        if frame is None:
            continue
        leaving = frame.direction is not Direction.INBOUND
        if leaving or _device(interfaces[index]) == LOOPBACK:
            yield time_ns, frame.original_length


def _device(interface: Interface) -> str:
    """The kernel's name of it: in a lab without the host's."""
    return interface.name.rpartition(":")[2]
