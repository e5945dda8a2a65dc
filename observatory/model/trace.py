"""One run as it was observed: the calls, the frames and segments, the kernel's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.model.addresses import Endpoint
from observatory.model.calls import Argument, Call, Process
from observatory.model.segments import Frame, Segment
from observatory.model.topology import Topology


@dataclass(frozen=True, slots=True)
class Interface:
    """A capturing interface. ``captured`` and ``dropped`` are packets; None when not known.

    ``linktype`` is the pcap LINKTYPE number (1 Ethernet, 101 raw IP, 113 and 276 Linux cooked).
    ``host`` is the lab's host or router whose interface it is, empty where there is one host
    only; in a lab ``name`` is ``HOST:INTERFACE``.
    """

    name: str
    linktype: int
    snaplen: int = 0
    captured: int | None = None
    dropped: int | None = None
    host: str = ""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What was run, where and how it was seen. Empty for a capture made elsewhere.

    ``calls_source``, ``segments_source`` and ``kernel_source`` name the source (``journal``,
    ``capture``, ``file`` …) or are None when there was none. ``settings`` are kernel settings
    that were in force and matter (sysctl name to value). ``topology`` is the lab's network, None
    where the run took place on one host.
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
    topology: Topology | None = None


@dataclass(frozen=True, slots=True)
class KernelEvent:
    """Something the kernel said it did (a tracepoint).

    ``event`` is ``SYSTEM:NAME``. ``pid`` is the thread that was running at the time: on loopback
    often the other side's, whose packet the kernel was just delivering. ``detail`` is by name and
    in our words (states as RFC 9293 has them, reasons as the kernel prints them); its keys are in
    docs/run-file.md.
    """

    id: int
    time_ns: int
    event: str
    pid: int
    src: Endpoint | None
    dst: Endpoint | None
    detail: Mapping[str, Argument]


@dataclass(frozen=True, slots=True)
class Counter:
    """One of the kernel's counters (``TcpExt.ListenOverflows``) over the run. ``host`` is the
    lab's host, empty where there is one only. ``exact`` says that nobody else was counted: the
    network was private to the run."""

    name: str
    before: int
    after: int
    host: str = ""
    exact: bool = True

    @property
    def change(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Witness:
    """What was asked of the kernel's tracepoints. ``watched`` are the events that were on,
    ``missing`` those that this kernel has not, each with what it costs; ``lost`` the events that
    did not fit its buffer, ``foreign`` those that belonged to others and were left out."""

    watched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    lost: int = 0
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything observed in one run, in time order, untouched by analysis.

    ``frames`` holds every captured frame, also those that are no segment (ARP …).
    ``defects`` are sentences about what is known to be missing or damaged (packets dropped,
    file cut short, a process that left no journal): what rests on it is downgraded.
    ``counters`` are those that changed; ``witness`` is None where the kernel was not asked, and
    ``unwatched`` then says why in a sentence.
    """

    run: RunHeader = RunHeader()
    interfaces: tuple[Interface, ...] = ()
    processes: tuple[Process, ...] = ()
    calls: tuple[Call, ...] = ()
    segments: tuple[Segment, ...] = ()
    kernel: tuple[KernelEvent, ...] = ()
    frames: tuple[Frame, ...] = ()
    defects: tuple[str, ...] = ()
    counters: tuple[Counter, ...] = ()
    witness: Witness | None = None
    unwatched: str = ""

    @property
    def dropped(self) -> int:
        """Packets the capture is known to have lost, over all interfaces."""
        return sum(interface.dropped or 0 for interface in self.interfaces)
