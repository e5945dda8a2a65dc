"""One run as it was observed: the calls, the frames and segments, the kernel's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.model.addresses import Endpoint
from observatory.model.calls import Argument, Call, Process
from observatory.model.segments import Frame, Segment


@dataclass(frozen=True, slots=True)
class Interface:
    """A capturing interface. ``captured`` and ``dropped`` are packets; None when not known.

    ``linktype`` is the pcap LINKTYPE number (1 Ethernet, 101 raw IP, 113 and 276 Linux cooked).
    """

    name: str
    linktype: int
    snaplen: int = 0
    captured: int | None = None
    dropped: int | None = None


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What was run, where and how it was seen. Empty for a capture made elsewhere.

    ``calls_source``, ``segments_source`` and ``kernel_source`` name the source (``journal``,
    ``capture``, ``file`` …) or are None when there was none. ``settings`` are kernel settings
    that were in force and matter (sysctl name to value).
    """

    scenario: str | None = None
    command: str | None = None
    kernel: str | None = None
    started_ns: int | None = None
    calls_source: str | None = None
    segments_source: str | None = None
    kernel_source: str | None = None
    capture_method: str | None = None
    version: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KernelEvent:
    """Something the kernel said it did (a tracepoint)."""

    id: int
    time_ns: int
    event: str
    pid: int
    src: Endpoint | None
    dst: Endpoint | None
    detail: Mapping[str, Argument]


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything observed in one run, in time order, untouched by analysis.

    ``frames`` holds every captured frame, also those that are no segment (ARP …).
    ``defects`` are sentences about what is known to be missing or damaged (packets dropped,
    file cut short, a process that left no journal): what rests on it is downgraded.
    """

    run: RunHeader = RunHeader()
    interfaces: tuple[Interface, ...] = ()
    processes: tuple[Process, ...] = ()
    calls: tuple[Call, ...] = ()
    segments: tuple[Segment, ...] = ()
    kernel: tuple[KernelEvent, ...] = ()
    frames: tuple[Frame, ...] = ()
    defects: tuple[str, ...] = ()

    @property
    def dropped(self) -> int:
        """Packets the capture is known to have lost, over all interfaces."""
        return sum(interface.dropped or 0 for interface in self.interfaces)
