"""The run file: one pcapng with a run's packets, its calls between them, and all about the run.

The layout is described field by field in docs/run-file.md. ``write_run`` writes a whole trace;
``head``, ``call_rows``, ``kernel_row`` and ``tail`` are its parts, for a
writer that appends what it observes. ``read_capture`` reads run files and every other capture.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from typing import TYPE_CHECKING, Any

from observatory.codec.calltext import call_text, result_text
from observatory.codec.contents import Contents
from observatory.codec.errnos import ERRNOS
from observatory.codec.fields import (
    BadRecord,
    dumps,
    loads,
    mapping,
    mappings,
    string,
    strings,
    whole,
)
from observatory.codec.journal_export import encode_entry, parse_entry
from observatory.codec.network import with_hosts
from observatory.codec.packed import is_packed, read_contents, read_packed
from observatory.codec.packet_rows import packet_rows
from observatory.codec.pcapng import (
    COMMENT,
    LONGEST_OPTION,
    SECTION_APPLICATION,
    SECTION_OS,
    interface_description,
    interface_statistics,
    journal_entry,
    section_header,
    text,
)
from observatory.codec.records import (
    call_record,
    counter_record,
    kernel_record,
    process_record,
    read_call,
    read_counter,
    read_kernel,
    read_process,
    read_run,
    read_witness,
    run_record,
    witness_record,
)
from observatory.codec.sightings import decode_run
from observatory.model.calls import Call, Process
from observatory.model.trace import Counter as KernelCounter
from observatory.model.trace import Interface, KernelEvent, RunHeader, Trace, Witness

if TYPE_CHECKING:
    from observatory.codec.contents import Data

FORMAT = "observatory-run/1"
HEADER_START = '{"format":"observatory-run/'
IDENTIFIER = "observatory"
# syslog(3) levels: what failed stands out in Wireshark's list, kernel events are background.
PRIORITY_FAILED, PRIORITY_CALL, PRIORITY_KERNEL = 5, 6, 7

CALL_FIELD = "OBSERVATORY_CALL"
RESUMED_FIELD = "OBSERVATORY_RESUMED"
KERNEL_FIELD = "OBSERVATORY_KERNEL"
RUN_FIELD = "OBSERVATORY_RUN"

Row = tuple[int, bytes]


# --- writing -------------------------------------------------------------------------------------


def write_run(trace: Trace, comments: Mapping[int, Sequence[str]] | None = None) -> Iterator[bytes]:
    """The run file of ``trace`` in chunks, one a block.

    ``comments`` are the annotations of each segment, by its id; they are not read back. The
    segments themselves are not written but decoded again from ``trace.frames`` on reading.
    """
    yield from head(trace)
    times = sorted(frame.time_ns for frame in trace.frames)
    calls = sorted(_all_call_rows(trace, times), key=_time)
    kernel = sorted(((event.time_ns, kernel_row(event)) for event in trace.kernel), key=_time)
    # A call stands before the packets of the same nanosecond, as it may have sent them.
    rows = merge(calls, kernel, packet_rows(trace, comments or {}), key=_time)
    yield from (block for _, block in rows)
    yield tail(trace.interfaces, times[-1] if times else trace.run.started_ns or 0)


def head(trace: Trace) -> Iterator[bytes]:
    """The section header with all about the run, and the interfaces."""
    run = trace.run
    record = {
        "format": FORMAT,
        "run": run_record(run),
        "processes": [process_record(process) for process in trace.processes],
        "defects": list(trace.defects),
        "counters": [counter_record(counter) for counter in trace.counters],
        "witness": None if trace.witness is None else witness_record(trace.witness),
        "unwatched": trace.unwatched,
        "counts": {
            "calls": len(trace.calls),
            "frames": len(trace.frames),
            "kernel": len(trace.kernel),
            "statistics": _counted(trace.interfaces),
        },
    }
    comment = dumps(record)
    fits = len(comment) <= LONGEST_OPTION
    yield section_header(
        (
            (COMMENT, text(comment if fits else f"observatory: all about the run: {RUN_FIELD}")),
            (SECTION_OS, text(run.kernel or "unknown")),
            (SECTION_APPLICATION, text(f"observatory {run.version or ''}".rstrip())),
        )
    )
    yield from (interface_description(interface) for interface in trace.interfaces)
    if not fits:
        fields = {"MESSAGE": f"run of {run.scenario or run.command}", RUN_FIELD: comment}
        yield _row(run.started_ns or 0, PRIORITY_KERNEL, fields)


def tail(interfaces: Sequence[Interface], time_ns: int) -> bytes:
    """The statistics of each interface."""
    return b"".join(
        interface_statistics(index, interface, time_ns)
        for index, interface in enumerate(interfaces)
    )


def call_rows(call: Call, command: str, resumed: bool) -> Iterator[Row]:
    """The call at its entry, with its whole record; again at its return if ``resumed``."""
    who = {"_PID": str(call.pid), "_TID": str(call.tid), "_COMM": command}
    if call.errno in ERRNOS:
        who["ERRNO"] = str(ERRNOS[call.errno][0])
    if call.site is not None:
        who |= {"CODE_FILE": call.site.file, "CODE_LINE": str(call.site.line)}
    priority = PRIORITY_FAILED if call.failed else PRIORITY_CALL
    entry = {"MESSAGE": call_text(call), **who, CALL_FIELD: dumps(call_record(call))}
    yield call.entered_ns, _row(call.entered_ns, priority, entry)
    if resumed and call.returned_ns is not None:
        message = f"<... {call.name} resumed> = {result_text(call)}"
        again = {"MESSAGE": message, **who, RESUMED_FIELD: str(call.id)}
        yield call.returned_ns, _row(call.returned_ns, priority, again)


def kernel_row(event: KernelEvent) -> bytes:
    """A kernel event with its whole record."""
    ends = f" {event.src} > {event.dst}" if event.src and event.dst else ""
    detail = "".join(f" {name}={value}" for name, value in event.detail.items())
    fields = {
        "MESSAGE": f"{event.event}{ends}{detail}",
        "_TRANSPORT": "kernel",  # as journald has it: it tells them from the calls
        "_PID": str(event.pid),
        KERNEL_FIELD: dumps(kernel_record(event)),
    }
    return _row(event.time_ns, PRIORITY_KERNEL, fields)


def _all_call_rows(trace: Trace, times: Sequence[int]) -> Iterator[Row]:
    """Every call; one during which a packet was seen (``times``, sorted) stands twice."""
    roles = {process.pid: process.role or process.command for process in trace.processes}
    for call in trace.calls:
        resumed = call.returned_ns is not None and (
            bisect_left(times, call.entered_ns) < bisect_left(times, call.returned_ns)
        )
        yield from call_rows(call, roles.get(call.pid, ""), resumed)


def _row(time_ns: int, priority: int, fields: Mapping[str, str]) -> bytes:
    """A journal block; the time comes first, where Wireshark looks for it."""
    common = {
        "__REALTIME_TIMESTAMP": str(time_ns // 1000),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
    }
    return journal_entry(encode_entry({**common, **fields}))


def _counted(interfaces: Sequence[Interface]) -> int:
    """How many interfaces have statistics."""
    return sum(each.captured is not None or each.dropped is not None for each in interfaces)


def _time(row: Row) -> int:
    return row[0]


# --- reading -------------------------------------------------------------------------------------


def read_capture(data: Data) -> Trace:
    """The trace in a run file, or in any pcap or pcapng file, also gzipped.

    A file that is cut short or damaged gives what was there, and says so in ``defects``.
    Raises BadFile if it is no capture file or not even its header is whole.
    """
    contents = read_packed(data) if is_packed(data) else read_contents(data)
    reading = _Reading()
    for section, comments in enumerate(contents.comments):
        for comment in comments:
            if comment.startswith(HEADER_START):
                reading.record(section, RUN_FIELD, comment)
    for section, entry in contents.entries:
        reading.entry(section, parse_entry(entry))
    contents.damaged += reading.damaged
    return reading.trace(contents)


@dataclass(slots=True)
class _Reading:
    """The records of a file as they are found, by section and id."""

    run: RunHeader | None = None
    processes: list[Process] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    counters: list[KernelCounter] = field(default_factory=list)
    witness: Witness | None = None
    unwatched: str = ""
    calls: dict[tuple[int, int], Call] = field(default_factory=dict)
    kernel: dict[tuple[int, int], KernelEvent] = field(default_factory=dict)
    damaged: int = 0

    def entry(self, section: int, fields: Mapping[str, bytes]) -> None:
        """Takes the observatory's own entries; others are somebody else's journal."""
        if fields.get("SYSLOG_IDENTIFIER") == IDENTIFIER.encode():
            for name in fields.keys() & RECORDS.keys():
                self.record(section, name, fields[name])

    def record(self, section: int, name: str, text: bytes | str) -> None:
        try:
            RECORDS[name](self, section, loads(text))
        except (BadRecord, RecursionError):
            self.damaged += 1

    def add_run(self, section: int, record: Mapping[str, Any]) -> None:
        run = read_run(mapping(record, "run"))
        processes = [read_process(each) for each in mappings(record, "processes")]
        defects = strings(record, "defects")
        counts = mapping(record, "counts")
        counters = [read_counter(each) for each in mappings({"counters": [], **record}, "counters")]
        witness = read_witness(mapping(record, "witness")) if record.get("witness") else None
        unwatched = string({"unwatched": "", **record}, "unwatched")
        if record["format"] != FORMAT:
            defects = (*defects, NEWER_FORMAT.format(record["format"]))
        self.run = self.run or run
        self.processes += processes
        self.defects += defects
        self.counters += counters
        self.witness = self.witness or witness
        self.unwatched = self.unwatched or unwatched
        self.counts.update({name: whole(counts, name) for name in counts})

    def add_call(self, section: int, record: Mapping[str, Any]) -> None:
        """Of a growing file, the record of a call that blocked and then the one when it ended."""
        call = read_call(record)
        earlier = self.calls.get((section, call.id))
        if call.id < 1 or (earlier is not None and earlier.returned_ns is not None):
            raise BadRecord("id")
        self.calls[section, call.id] = call

    def add_kernel(self, section: int, record: Mapping[str, Any]) -> None:
        event = read_kernel(record)
        if event.id < 1 or (section, event.id) in self.kernel:
            raise BadRecord("id")
        self.kernel[section, event.id] = event

    def trace(self, contents: Contents) -> Trace:
        frames = sorted(contents.frames, key=lambda frame: frame.time_ns)
        run = self.run or RunHeader(segments_source="file")
        interfaces = with_hosts(contents.interfaces, run.topology)
        segments, unread = decode_run(frames, interfaces, run.topology)
        calls = [self.calls[key] for key in sorted(self.calls)]
        # A file that was growing has an event when it was known whose it is, not when it happened.
        rows = sorted(self.kernel.items(), key=lambda row: (row[0][0], row[1].time_ns, row[0][1]))
        kernel = [replace(event, id=n) for n, (_, event) in enumerate(rows, 1)]
        if len(contents.comments) > 1:  # files put one behind the other: each counts from 1
            calls = [replace(call, id=n) for n, call in enumerate(calls, 1)]
        found = {
            "calls": len(calls),
            "frames": len(frames),
            "kernel": len(kernel),
            "statistics": _counted(contents.interfaces),
        }
        missing = [
            MISSING.format(there=found[name], counted=counted, what=what)
            for name, what in COUNTED.items()
            if found[name] < (counted := self.counts[name])
        ]
        defects = dict.fromkeys((*self.defects, *contents.defects(), *missing, *unread))
        return Trace(
            run=run,
            interfaces=tuple(interfaces),
            processes=tuple(self.processes),
            calls=tuple(calls),
            segments=segments,
            kernel=tuple(kernel),
            frames=tuple(frames),
            defects=tuple(defects),
            counters=tuple(self.counters),
            witness=self.witness,
            unwatched=self.unwatched,
        )


RECORDS = {
    RUN_FIELD: _Reading.add_run,
    CALL_FIELD: _Reading.add_call,
    KERNEL_FIELD: _Reading.add_kernel,
}
COUNTED = {
    "calls": "calls",
    "frames": "packets",
    "kernel": "kernel events",
    "statistics": "counts of dropped packets",
}
MISSING = "the file holds {there} of the {counted} {what} that its header counts"
NEWER_FORMAT = "the run was written as {}, which this version does not know: install a newer one"
