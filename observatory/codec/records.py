"""The JSON records of a run file: calls, what the kernel said, processes and the run header.

Writing keeps every field of the model. Reading checks every type, since a file may hold
anything: a record that is not what it should be raises BadRecord, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from observatory.codec import fields
from observatory.codec.fields import BadRecord
from observatory.codec.network import read_topology, topology_record
from observatory.model.addresses import Address
from observatory.model.calls import Call, Process, Site
from observatory.model.trace import Counter, KernelEvent, RunHeader, Witness

# --- calls ---------------------------------------------------------------------------------------


def call_record(call: Call) -> dict[str, object]:
    """All of a call; see docs/run-file.md."""
    return {
        "id": call.id,
        "name": call.name,
        "pid": call.pid,
        "tid": call.tid,
        "fd": call.fd,
        "args": dict(call.args),
        "entered_ns": call.entered_ns,
        "returned_ns": call.returned_ns,
        "result": call.result,
        "errno": call.errno,
        "local": _text(call.local),
        "peer": _text(call.peer),
        "site": None if call.site is None else [call.site.file, call.site.line],
        "asked": dict(call.asked),
    }


def read_call(record: Mapping[str, Any]) -> Call:
    """The call that ``call_record`` wrote. Raises BadRecord."""
    return Call(
        id=fields.whole(record, "id"),
        name=fields.string(record, "name"),
        pid=fields.whole(record, "pid"),
        tid=fields.whole(record, "tid"),
        fd=fields.maybe_whole(record, "fd"),
        args=fields.arguments(record, "args"),
        entered_ns=fields.time(record, "entered_ns"),
        returned_ns=fields.maybe_time(record, "returned_ns"),
        result=fields.maybe_whole(record, "result"),
        errno=fields.maybe_string(record, "errno"),
        local=fields.address(record, "local"),
        peer=fields.address(record, "peer"),
        site=_site(record),
        asked=fields.arguments(record, "asked") if "asked" in record else {},
    )


# --- the kernel as a witness ----------------------------------------------------------------------


def kernel_record(event: KernelEvent) -> dict[str, object]:
    """All of a kernel event."""
    return {
        "id": event.id,
        "time_ns": event.time_ns,
        "event": event.event,
        "pid": event.pid,
        "src": _text(event.src),
        "dst": _text(event.dst),
        "detail": dict(event.detail),
    }


def read_kernel(record: Mapping[str, Any]) -> KernelEvent:
    """The event that ``kernel_record`` wrote. Raises BadRecord."""
    return KernelEvent(
        id=fields.whole(record, "id"),
        time_ns=fields.time(record, "time_ns"),
        event=fields.string(record, "event"),
        pid=fields.whole(record, "pid"),
        src=fields.endpoint(record, "src"),
        dst=fields.endpoint(record, "dst"),
        detail=fields.arguments(record, "detail"),
    )


def counter_record(counter: Counter) -> dict[str, object]:
    """All of a counter."""
    return {name: getattr(counter, name) for name in Counter.__dataclass_fields__}


def read_counter(record: Mapping[str, Any]) -> Counter:
    """The counter that ``counter_record`` wrote. Raises BadRecord."""
    return Counter(
        name=fields.string(record, "name"),
        before=fields.whole(record, "before"),
        after=fields.whole(record, "after"),
        host=fields.string(record, "host"),
        exact=fields.truth(record, "exact"),
    )


def witness_record(witness: Witness) -> dict[str, object]:
    """All of what was asked of the kernel's tracepoints."""
    return {
        "watched": list(witness.watched),
        "missing": list(witness.missing),
        "lost": witness.lost,
        "foreign": witness.foreign,
    }


def read_witness(record: Mapping[str, Any]) -> Witness:
    """The witness that ``witness_record`` wrote. Raises BadRecord."""
    return Witness(
        watched=fields.strings(record, "watched"),
        missing=fields.strings(record, "missing"),
        lost=fields.whole(record, "lost"),
        foreign=fields.whole(record, "foreign"),
    )


# --- processes and the run -----------------------------------------------------------------------


def process_record(process: Process) -> dict[str, object]:
    """All of a process."""
    return {name: getattr(process, name) for name in Process.__dataclass_fields__}


def read_process(record: Mapping[str, Any]) -> Process:
    """The process that ``process_record`` wrote. Raises BadRecord."""
    return Process(
        pid=fields.whole(record, "pid"),
        parent=fields.maybe_whole(record, "parent"),
        command=fields.string(record, "command"),
        role=fields.string(record, "role"),
        ended_ns=fields.maybe_time(record, "ended_ns"),
        status=fields.maybe_whole(record, "status"),
        signal=fields.maybe_string(record, "signal"),
        host=fields.string(record, "host") if "host" in record else "",
    )


def run_record(run: RunHeader) -> dict[str, object]:
    """All of a run header."""
    record = {name: getattr(run, name) for name in RunHeader.__dataclass_fields__}
    topology = None if run.topology is None else topology_record(run.topology)
    return {**record, "settings": dict(run.settings), "topology": topology}


def read_run(record: Mapping[str, Any]) -> RunHeader:
    """The header that ``run_record`` wrote. Raises BadRecord."""
    settings = fields.mapping(record, "settings")
    return RunHeader(
        scenario=fields.maybe_string(record, "scenario"),
        command=fields.maybe_string(record, "command"),
        kernel=fields.maybe_string(record, "kernel"),
        started_ns=fields.maybe_time(record, "started_ns"),
        calls_source=fields.maybe_string(record, "calls_source"),
        segments_source=fields.maybe_string(record, "segments_source"),
        kernel_source=fields.maybe_string(record, "kernel_source"),
        capture_method=fields.maybe_string(record, "capture_method"),
        version=fields.maybe_string(record, "version"),
        settings={name: fields.string(settings, name) for name in settings},
        topology=read_topology(record),
    )


# --- parts of them --------------------------------------------------------------------------------


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _site(record: Mapping[str, Any]) -> Site | None:
    match record.get("site"):
        case None:
            return None
        case [str(file), int(line)]:
            return Site(file, line)
    raise BadRecord("site")
