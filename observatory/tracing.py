"""Any program's calls and packets joined: strace's logs and the capture become a trace.

::

    watch (lab) ──packet sockets──▶ captures (sources) ─┐
         └────────strace's logs───▶ codec.strace ───────┴▶ Trace ─▶ Analysis ─▶ run file
"""

from __future__ import annotations

import platform
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from observatory import __version__
from observatory.errors import BadFile, UsageError
from observatory.growing import Growth
from observatory.model import Analysis, Call, Frame, Interface, Process, RunHeader, Trace
from observatory.pipeline import conclude, open_writer
from observatory.witnessing import witness_run

if TYPE_CHECKING:
    from observatory.codec.strace import StraceLog
    from observatory.lab.runner import Programs
    from observatory.lab.watch import Watch
    from observatory.sources.captures import Captures
    from observatory.sources.sockets import SocketTable


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be traced, and how.

    ``command`` with ``helpers``, or the running process ``attach``. ``private``: in a network of
    its own; else ``interfaces``, all that are up if none is named. ``filter`` is a libpcap
    expression. ``seconds`` ends the observation. ``payload`` is how many bytes of each buffer
    strace reads, ``stack`` whether call sites are noted, ``user`` whom the command is run as,
    ``kernel`` whether the kernel's tracepoints are asked too.
    """

    command: tuple[str, ...] = ()
    helpers: tuple[tuple[str, ...], ...] = ()
    attach: int | None = None
    private: bool = False
    interfaces: tuple[str, ...] = ()
    filter: str | None = None
    seconds: float | None = None
    payload: int = 0
    stack: bool = False
    user: str | None = None
    kernel: bool = True

    def words(self) -> str:
        """The command as it is told in the report."""
        if self.attach is not None:
            return f"trace of process {self.attach}"
        told = " ".join(self.command)
        return told + "".join(f", with {' '.join(helper)}" for helper in self.helpers)


@dataclass(frozen=True, slots=True)
class Traced:
    """The analysis, the run file, and the exit status of the command."""

    analysis: Analysis
    path: Path | None
    status: int


def trace(request: Request, path: Path | None = None) -> Traced:
    """Run a command under strace, or attach to a process, and explain what it did.

    The command has our stdin, stdout, stderr and working directory; Ctrl-C is its own to handle.
    Raises UsageError (no such command), PermissionRefused, CaptureError, MissingTool,
    ScenarioFailed (a helper did not listen), WriteFailed.
    """
    from observatory.lab.attending import HeldSignals, attend
    from observatory.lab.watch import open_watch
    from observatory.sources import strace
    from observatory.sources.captures import Captures, Place
    from observatory.sources.counters import CounterTable
    from observatory.sources.ring import link_of
    from observatory.sources.sockets import SocketTable

    _check(request)
    remarks = [strace.check_version(strace.program())]
    with ExitStack() as stack:
        held = stack.enter_context(HeldSignals())
        watch = stack.enter_context(open_watch(_programs(request), _opener(request)))
        table = stack.enter_context(SocketTable(watch.pid or "self"))
        counters = CounterTable(watch.pid or "self", exact=request.private)
        stack.enter_context(counters)
        witnessing = stack.enter_context(witness_run(request.kernel))
        sockets = [socket.socket(fileno=fd) for fd in watch.capture_fds]
        captures = stack.enter_context(
            Captures([Place(sock, link_of(sock).name) for sock in sockets])
        )
        before = Trace(run=_header(request, captures, watch), interfaces=captures.planned)
        writer = None if path is None else stack.enter_context(open_writer(path, before))
        sources = _Sources(request, watch, captures, before)
        growth = Growth(
            writer,
            before,
            calls=sources.numbered_for_good,
            frames=lambda: captures.frames,
            own=None if request.private else sources.own,
            kernel=witnessing.so_far,
        )
        witnessing.ready()
        watch.go()
        remarks += attend(watch, growth.append, held, request.seconds, request.attach is not None)
        status = watch.wait()
        status = status if request.attach is None else 0  # strace's own, ended by us
        ended_ns = time.time_ns()
        held.release()
        captures.stop(settled=partial(sources.settled, table))
        observed = replace(sources.trace(remarks, ended_ns), counters=counters.changes())
        analysis = conclude(witnessing.testify(observed), writer)
    return Traced(analysis, None if writer is None else writer.path, status)


def join(capture: Path, log: Path) -> Trace:
    """A capture and a log of strace's that were recorded elsewhere, as one trace.

    Where the handshakes show that their clocks differ, the calls are moved to the capture's. What
    is missing, and what it costs, is in ``defects``. Raises BadFile.
    """
    from observatory.analysis.clocks import estimate, shift, shift_ends
    from observatory.codec.recorded import missing_options
    from observatory.codec.strace import parse
    from observatory.codec.strace.lines import Clock
    from observatory.sources import files
    from observatory.sources.strace import read_text

    trace = files.load(capture)
    lines = read_text(log)
    read = parse(lines)
    if not read.calls or read.clock not in (Clock.UNIX, Clock.TIME_OF_DAY):
        raise BadFile(
            f"{log} is no log of strace's with times: record it with strace -f -y -ttt -o FILE"
        )
    calls, processes = read.calls, read.processes
    offset = estimate(calls, trace.segments)
    remarks = list(missing_options(lines))
    if offset is None:
        remarks.append("no handshake is in both the capture and the log: their clocks may differ")
    elif not offset.same_clock:
        calls = shift(calls, offset.middle_ns)
        processes = shift_ends(processes, offset.middle_ns)
        remarks.append(str(offset))
    return replace(
        trace,
        run=replace(trace.run, calls_source="strace"),
        processes=processes,
        calls=calls,
        defects=(*trace.defects, *remarks, *read.defects, *_unread(read)),
    )


def only(analysis: Analysis, wanted: str) -> Analysis:
    """The part of ``analysis`` that is of one port, address, endpoint or process."""
    from observatory.analysis.narrow import narrow

    return narrow(analysis, wanted)


class _Sources:
    """What was observed so far, of both kinds."""

    def __init__(self, request: Request, watch: Watch, captures: Captures, before: Trace) -> None:
        from observatory.sources.held import commands_of, held_sockets
        from observatory.sources.strace import threads_of

        self._request = request
        self._watch = watch
        self._captures = captures
        self._before = before
        self._held = held_sockets(_attached(request))
        self._threads = threads_of(_attached(request))
        self._commands = commands_of(_attached(request))
        self._numbers: dict[tuple[int, int, int], int] = {}

    def log(self, ended_ns: int | None = None) -> StraceLog:
        from observatory.sources.strace import read_logs

        return read_logs(
            self._watch.logs,
            payload=self._request.payload,
            ended_ns=ended_ns,
            threads=self._threads,
        )

    def calls(self, log: StraceLog) -> tuple[Call, ...]:
        """All calls in the order of entry, first those that tell of sockets found open."""
        from observatory.lab.sites import add_sites, read_sites

        found = log.calls
        if self._request.stack:
            found = add_sites(found, read_sites(self._watch.sites))
        if not self._held:
            return found
        calls = sorted((*self._held, *found), key=attrgetter("entered_ns"))
        return tuple(replace(call, id=number) for number, call in enumerate(calls, 1))

    def numbered_for_good(self) -> tuple[Call, ...]:
        """The calls with numbers that they keep: strace tells a call that blocks only when it
        returns, and then calls that were entered later are written already."""
        numbers = self._numbers
        return tuple(
            replace(call, id=numbers.setdefault(_identity(call), len(numbers) + 1))
            for call in self.calls(self.log())
        )

    def own(self, frames: Sequence[Frame], calls: Sequence[Call]) -> list[Frame]:
        """Of ``frames`` those that ``calls`` account for, each packet once."""
        from observatory.analysis.ownership import once, own_segments
        from observatory.codec.headers import decode_all

        segments, _ = decode_all(frames, self._before.interfaces)
        kept = once(own_segments(calls, segments))
        return [segment.frame for segment in kept if segment.frame is not None]

    def _named(self, process: Process) -> Process:
        """What was attached to has its name from /proc; its log does not tell it."""
        command = self._commands.get(process.pid)
        if not command:
            return process
        return replace(process, role=Path(command.split()[0]).name, command=command)

    def settled(self, table: SocketTable) -> bool:
        """Whether nothing more will be sent. A process that was attached to goes on."""
        if self._request.attach is not None:
            return True
        if self._request.private:
            return table.settled()
        calls = self.log().calls
        return table.settled(
            _ports(self.own(self._captures.frames, calls), self._before.interfaces)
        )

    def trace(self, remarks: Iterable[str | None], ended_ns: int) -> Trace:
        """All of it, when it has ended."""
        from observatory.codec.sightings import decode_run

        log = self.log(ended_ns)
        calls = self.calls(log)
        frames: Sequence[Frame] = self._captures.frames
        if not self._request.private:
            frames = self.own(frames, calls)
        segments, unread = decode_run(frames, self._before.interfaces, None)
        told = [remark for remark in remarks if remark]
        return replace(
            self._before,
            interfaces=self._captures.interfaces,
            processes=tuple(self._named(process) for process in log.processes),
            calls=calls,
            segments=segments,
            frames=tuple(frames),
            defects=(*told, *log.defects, *_unread(log), *unread),
        )


def _identity(call: Call) -> tuple[int, int, int]:
    return (call.pid, call.tid, call.entered_ns)


def _ports(frames: Sequence[Frame], interfaces: Sequence[Interface]) -> frozenset[int]:
    from observatory.codec.headers import decode_all

    segments, _ = decode_all(frames, interfaces)
    return frozenset(port for one in segments for port in (one.src.port, one.dst.port))


MOST_SHOWN = 3


def _unread(log: StraceLog) -> Iterator[str]:
    if log.unread:
        some = "; ".join(log.unread[:MOST_SHOWN])
        yield f"what was not understood of strace's log: {some}"


def _check(request: Request) -> None:
    """Raises UsageError for what cannot be carried out."""
    if request.attach is not None:
        if request.command or request.helpers or request.private or request.user:
            raise UsageError("-p PID observes a process where it runs: no command, no --private")
        if not Path(f"/proc/{request.attach}").exists():
            raise UsageError(f"there is no process {request.attach}; `ps` lists them")
        return
    if not request.command:
        raise UsageError("say what to trace: `trace -- COMMAND ARG…` or `trace -p PID`")
    for words in (request.command, *request.helpers):
        if not words or shutil.which(words[0]) is None:
            name = words[0] if words else ""
            raise UsageError(f"{name!r} is no command: not found, or may not be executed")
    if request.private and request.interfaces and request.interfaces != ("lo",):
        raise UsageError("a private network has lo alone: leave -i or --private out")


def _attached(request: Request) -> list[int]:
    from observatory.lab.processes import descendants

    return [] if request.attach is None else [request.attach, *descendants([request.attach])]


def _programs(request: Request) -> Programs:
    from observatory.lab.runner import Programs
    from observatory.sources import strace

    options = strace.Options(request.payload, request.stack, request.user)
    pids = _attached(request)

    def tracing(log: Path, command: Sequence[str]) -> list[str]:
        return strace.command_line(log, options, command=command, attach=() if command else pids)

    return Programs(
        command=request.command,
        helpers=request.helpers,
        tracing=tracing,
        ready=strace.listens,
        private=request.private,
        network_of=request.attach,
        sites=request.stack,
    )


def _opener(request: Request) -> Callable[[], list[socket.socket]]:
    from observatory.sources.interfaces import open_captures

    return partial(open_captures, request.interfaces, request.filter)


def _header(request: Request, captures: Captures, watch: Watch) -> RunHeader:
    return RunHeader(
        command=request.words(),
        kernel=f"{platform.system()} {platform.release()}",
        started_ns=time.time_ns(),
        calls_source="strace",
        segments_source="capture",
        capture_method=captures.method,
        version=__version__,
        settings=watch.settings,
    )
