"""The one place that joins source, trace and analysis: observe, load, analyze, check.

::

    stage (lab)  ──frames──▶ capture (sources) ─┐
         └───────calls─────▶ journals (sources) ─┴▶ Trace ─▶ Analysis ─▶ run file

What is heavy to import (scapy, the analyzer) is imported by the function that needs it.
"""

from __future__ import annotations

import os
import platform
import select
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from observatory import __version__
from observatory.errors import ObservatoryError
from observatory.growing import Growth, Own
from observatory.model import Analysis, Call, Endpoint, Frame, Interface, RunHeader, Segment, Trace
from observatory.witnessing import witness_run, witnesses_ready

if TYPE_CHECKING:
    from observatory.lab.stage import OpenStage, Outcome
    from observatory.model.comparison import Comparison
    from observatory.model.opinions import Disagreement
    from observatory.sources.captures import Captures
    from observatory.sources.files import RunWriter

TICK_S = 0.05
"""How often what was observed is appended to the run file while the run goes on."""

INTERRUPTED = "the run was interrupted by the user: what was to follow is missing"


@dataclass(frozen=True, slots=True)
class Observed:
    """A run's analysis, and its run file (None if none was asked for)."""

    analysis: Analysis
    path: Path | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A second opinion on a file: whose it is, on how many packets, where it differs."""

    method: str
    packets: int
    disagreements: tuple[Disagreement, ...]


def preload() -> None:
    """Import what every run needs, for a process that will fork one for each."""
    import pyroute2  # noqa: F401
    import scapy.sendrecv  # noqa: F401

    import observatory.analysis
    import observatory.lab.stage
    import observatory.sources.scapysocket  # noqa: F401


def kernel_for_several(count: int) -> AbstractContextManager[None]:
    """While it is entered, ``count`` processes forked from this one can be asking the kernel at
    once without each opening it anew."""
    return witnesses_ready(count)


def load(path: Path) -> Trace:
    """What a capture file says was observed. Raises BadFile."""
    from observatory.sources import files

    return files.load(path)


def analyze(trace: Trace) -> Analysis:
    """What can be concluded from ``trace``."""
    from observatory.analysis import analyze as conclude

    return conclude(trace)


def check(path: Path) -> Checked:
    """Where tshark sees the packets of a file otherwise than we do. Raises BadFile, MissingTool."""
    from observatory.analysis.second_opinion import compare
    from observatory.sources.second_opinion import dissect

    trace = load(path)
    opinion = dissect(path, packets=len(trace.frames) + len(trace.calls))
    return Checked(opinion.method, len(opinion.rows), compare(analyze(trace), opinion.rows))


def compare(before: Path, after: Path) -> Comparison:
    """Two runs laid beside each other, call by call and segment by segment. Raises BadFile."""
    from observatory.analysis.aligning import align

    return align(analyze(load(before)), analyze(load(after)))


def write_new(path: Path, chunks: Iterable[bytes]) -> Path:
    """Write ``path``, or a numbered name beside it where it is taken. Raises WriteFailed."""
    from observatory.sources import files

    owner = files.sudo_owner(os.environ)
    files.make_folder(path.parent, owner)
    unused = files.unused_path(path, owner)
    files.save(unused, chunks, owner)
    return unused


def observe(
    name: str,
    *,
    path: Path | None = None,
    host: bool = False,
    interface: str = "lo",
    kernel: bool = True,
) -> Observed:
    """Run one behaviour, and analyze what was observed; its run file goes to ``path``.

    If it fails on the way or is interrupted, what was observed until then is in the file all the
    same, and the exception carries a note that says so. With ``kernel`` its tracepoints are asked
    too, where they are to be had. Raises UsageError, PermissionRefused, CaptureError,
    ScenarioFailed, WriteFailed, KeyboardInterrupt.
    """
    from observatory.lab.stage import open_stage
    from observatory.scenarios.catalogue import find
    from observatory.sources.capture import GRACE
    from observatory.sources.captures import Captures, Place
    from observatory.sources.counters import CounterTable
    from observatory.sources.ring import open_packet_socket
    from observatory.sources.sockets import SocketTable

    behaviour = find(name)
    with ExitStack() as stack:
        stage = stack.enter_context(
            open_stage(behaviour, private=not host, opener=open_packet_socket, interface=interface)
        )
        networks = {"": "self"} if host else stage.pids
        tables = [stack.enter_context(SocketTable(pid)) for pid in networks.values()]
        counters = [
            stack.enter_context(CounterTable(pid, host=where, exact=not host))
            for where, pid in networks.items()
        ]
        witnessing = stack.enter_context(witness_run(kernel))
        captures = stack.enter_context(
            Captures(
                [Place(socket.socket(fileno=at.fd), at.name, at.host) for at in stage.opened],
                may_be_down=not host,
            )
        )
        before = Trace(
            run=_header(name, host, interface, stage, captures.method),
            interfaces=captures.planned,
        )
        writer = None if path is None else stack.enter_context(open_writer(path, before))
        own = _own_on_host(before.interfaces) if host else None
        growth = Growth(
            writer,
            before,
            calls=lambda: stage.so_far().calls,
            frames=lambda: captures.frames,
            own=own,
            kernel=lambda seen: (*stage.events(), *witnessing.so_far(seen)),
        )
        witnessing.ready()
        outcome = _play(stage, growth)
        ports = own_ports(outcome.calls) if host else None
        failure: BaseException | None = KeyboardInterrupt() if outcome.interrupted else None
        failure = failure or outcome.failure
        try:
            captures.stop(
                grace=GRACE + outcome.holds_ns / 1e9,
                settled=lambda: all(table.settled(ports) for table in tables),
                limit=behaviour.aftermath,
            )
        except (ObservatoryError, KeyboardInterrupt) as error:
            failure = error
        trace = _trace(before, captures, outcome, ports)
        changed = tuple(change for counter in counters for change in counter.changes())
        trace = witnessing.testify(replace(trace, counters=changed))
        analysis = conclude(_with_faults(trace, outcome), writer)
    where = None if writer is None else writer.path
    if failure is not None:
        if where is not None:
            failure.add_note(f"what was observed until then is in {where}")
        raise failure
    return Observed(analysis, where)


def _header(
    name: str, host: bool, interface: str, stage: OpenStage, capture_method: str
) -> RunHeader:
    options = f" --host -i {interface}" if host else ""
    return RunHeader(
        scenario=name,
        command=f"observatory run {name}{options}",
        kernel=f"{platform.system()} {platform.release()}",
        started_ns=time.time_ns(),
        calls_source="journal",
        segments_source="capture",
        capture_method=capture_method,
        version=__version__,
        settings=stage.settings,
        topology=stage.topology,
    )


def open_writer(path: Path, before: Trace) -> RunWriter:
    """The run file that grows while the run goes on, at ``path`` or a numbered name beside it."""
    from observatory.sources import files

    owner = files.sudo_owner(os.environ)
    files.make_folder(path.parent, owner)
    return files.RunWriter(files.unused_path(path, owner), before, owner)


def _play(stage: OpenStage, growth: Growth) -> Outcome:
    """Let the actors begin, and append what they do to the file until they have ended."""
    pause = TICK_S
    try:
        stage.go()
        while not select.select([stage], [], [], pause)[0]:
            began = time.monotonic()
            growth.append()
            # A journal that has become long is read again less often.
            pause = max(TICK_S, 20 * (time.monotonic() - began))
    except KeyboardInterrupt:
        return stage.wait(interrupted=True)
    return stage.wait()


def conclude(trace: Trace, writer: RunWriter | None) -> Analysis:
    """The analysis of a run that has ended, and its run file complete and annotated."""
    from observatory.codec.runfile import write_run
    from observatory.reports.annotations import comments

    try:
        analysis = analyze(trace)
    except Exception as mistake:
        # Ours, and no reason to lose what was observed.
        if writer is not None:
            writer.finish(write_run(trace))
            mistake.add_note(f"what was observed is in {writer.path}")
        raise
    if writer is not None:
        writer.finish(write_run(trace, comments(analysis)))
    return analysis


def _trace(
    before: Trace, captures: Captures, outcome: Outcome, ports: frozenset[int] | None
) -> Trace:
    from observatory.codec.sightings import decode_run

    frames: Sequence[Frame] = captures.frames
    if ports is not None:
        frames = own_frames(frames, before.interfaces, ports)
    segments, unread = decode_run(frames, captures.interfaces, outcome.topology)
    interrupted = (INTERRUPTED,) if outcome.interrupted else ()
    failed = (str(outcome.failure).splitlines()[0],) if outcome.failure else ()
    return replace(
        before,
        run=replace(before.run, topology=outcome.topology),
        interfaces=captures.interfaces,
        processes=outcome.processes,
        calls=outcome.calls,
        segments=segments,
        frames=tuple(frames),
        defects=(*interrupted, *failed, *outcome.defects, *unread),
    )


def _with_faults(trace: Trace, outcome: Outcome) -> Trace:
    """What was done to the lab stands among the kernel's events, in time order."""
    if not outcome.events:
        return trace
    events = sorted((*outcome.events, *trace.kernel), key=attrgetter("time_ns"))
    return replace(
        trace, kernel=tuple(replace(event, id=number) for number, event in enumerate(events, 1))
    )


def _own_on_host(interfaces: Sequence[Interface]) -> Own:
    return lambda frames, calls: own_frames(frames, interfaces, own_ports(calls))


def own_ports(calls: Iterable[Call]) -> frozenset[int]:
    """The ports that the run's own sockets had."""
    return frozenset(
        call.local.port for call in calls if isinstance(call.local, Endpoint) and call.local.port
    )


def own_frames(
    frames: Iterable[Frame], interfaces: Sequence[Interface], ports: frozenset[int]
) -> list[Frame]:
    """The frames that one of ``ports`` sent or received, or that an ICMP error is about."""
    from observatory.codec.headers import decode_all

    segments, _ = decode_all(frames, interfaces)
    return [
        segment.frame
        for segment in segments
        if segment.frame is not None and not ports.isdisjoint(_ports(segment))
    ]


def _ports(segment: Segment) -> frozenset[int]:
    ends: tuple[Endpoint | None, ...] = (segment.src, segment.dst)
    if segment.icmp is not None:
        ends = (segment.icmp.quoted_src, segment.icmp.quoted_dst)
    return frozenset(end.port for end in ends if end is not None)
