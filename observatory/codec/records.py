"""The JSON records of a run file: calls, kernel events, processes and the run header.

Writing keeps every field of the model. Reading checks every type, since a file may hold
anything: a record that is not what it should be raises BadRecord, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from observatory.codec.contents import LATEST_NS
from observatory.model.addresses import Address, Endpoint, parse_address
from observatory.model.calls import Argument, Call, Process, Site
from observatory.model.trace import KernelEvent, RunHeader


class BadRecord(Exception):
    """A record in the file is not what it should be; the reader counts it and goes on."""


def dumps(record: Mapping[str, object]) -> str:
    """One line of ASCII, so that no tool on the way can spoil it."""
    return json.dumps(record, separators=(",", ":"))


def loads(text: bytes | str) -> dict[str, Any]:
    """The JSON object in ``text``. Raises BadRecord."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRecord("not JSON") from None
    if not isinstance(record, dict):
        raise BadRecord("not a JSON object")
    return record


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
    }


def read_call(record: Mapping[str, Any]) -> Call:
    """The call that ``call_record`` wrote. Raises BadRecord."""
    return Call(
        id=whole(record, "id"),
        name=_string(record, "name"),
        pid=whole(record, "pid"),
        tid=whole(record, "tid"),
        fd=_maybe_whole(record, "fd"),
        args=_arguments(record, "args"),
        entered_ns=_time(record, "entered_ns"),
        returned_ns=_maybe_time(record, "returned_ns"),
        result=_maybe_whole(record, "result"),
        errno=_maybe_string(record, "errno"),
        local=_address(record, "local"),
        peer=_address(record, "peer"),
        site=_site(record),
    )


# --- kernel events -------------------------------------------------------------------------------


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
        id=whole(record, "id"),
        time_ns=_time(record, "time_ns"),
        event=_string(record, "event"),
        pid=whole(record, "pid"),
        src=_endpoint(record, "src"),
        dst=_endpoint(record, "dst"),
        detail=_arguments(record, "detail"),
    )


# --- processes and the run -----------------------------------------------------------------------


def process_record(process: Process) -> dict[str, object]:
    """All of a process."""
    return {name: getattr(process, name) for name in Process.__dataclass_fields__}


def read_process(record: Mapping[str, Any]) -> Process:
    """The process that ``process_record`` wrote. Raises BadRecord."""
    return Process(
        pid=whole(record, "pid"),
        parent=_maybe_whole(record, "parent"),
        command=_string(record, "command"),
        role=_string(record, "role"),
        ended_ns=_maybe_time(record, "ended_ns"),
        status=_maybe_whole(record, "status"),
        signal=_maybe_string(record, "signal"),
    )


def run_record(run: RunHeader) -> dict[str, object]:
    """All of a run header."""
    fields = {name: getattr(run, name) for name in RunHeader.__dataclass_fields__}
    return {**fields, "settings": dict(run.settings)}


def read_run(record: Mapping[str, Any]) -> RunHeader:
    """The header that ``run_record`` wrote. Raises BadRecord."""
    settings = mapping(record, "settings")
    return RunHeader(
        scenario=_maybe_string(record, "scenario"),
        command=_maybe_string(record, "command"),
        kernel=_maybe_string(record, "kernel"),
        started_ns=_maybe_time(record, "started_ns"),
        calls_source=_maybe_string(record, "calls_source"),
        segments_source=_maybe_string(record, "segments_source"),
        kernel_source=_maybe_string(record, "kernel_source"),
        capture_method=_maybe_string(record, "capture_method"),
        version=_maybe_string(record, "version"),
        settings={name: _string(settings, name) for name in settings},
    )


# --- fields, checked -----------------------------------------------------------------------------


def mapping(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object under ``name``. Raises BadRecord, as all of these do."""
    value = record.get(name)
    if not isinstance(value, dict):
        raise BadRecord(name)
    return value


def mappings(record: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The list of objects under ``name``."""
    value = record.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRecord(name)
    return value


def strings(record: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The list of strings under ``name``."""
    value = record.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRecord(name)
    return tuple(value)


def whole(record: Mapping[str, Any], name: str) -> int:
    """The whole number under ``name``, of at most 64 bits."""
    value = record.get(name)
    if type(value) is not int or abs(value) > LATEST_NS:
        raise BadRecord(name)
    return value


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _maybe_whole(record: Mapping[str, Any], name: str) -> int | None:
    return None if record.get(name) is None else whole(record, name)


def _time(record: Mapping[str, Any], name: str) -> int:
    value = whole(record, name)
    if value < 0:
        raise BadRecord(name)
    return value


def _maybe_time(record: Mapping[str, Any], name: str) -> int | None:
    return None if record.get(name) is None else _time(record, name)


def _string(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise BadRecord(name)
    return value


def _maybe_string(record: Mapping[str, Any], name: str) -> str | None:
    return None if record.get(name) is None else _string(record, name)


def _address(record: Mapping[str, Any], name: str) -> Address | None:
    text = _maybe_string(record, name)
    if text is None:
        return None
    try:
        address = parse_address(text)
    except ValueError:  # more digits than int() takes
        address = None
    if address is None:
        raise BadRecord(name)
    return address


def _endpoint(record: Mapping[str, Any], name: str) -> Endpoint | None:
    address = _address(record, name)
    if address is not None and not isinstance(address, Endpoint):
        raise BadRecord(name)
    return address


def _arguments(record: Mapping[str, Any], name: str) -> Mapping[str, Argument]:
    return {key: _argument(item) for key, item in mapping(record, name).items()}


def _argument(value: Any) -> Argument:
    """JSON has no tuples: its arrays were."""
    if isinstance(value, list):
        return tuple(_argument(item) for item in value)
    if isinstance(value, dict):
        return {key: _argument(item) for key, item in value.items()}
    if isinstance(value, (str, int, float)) or value is None:
        return value
    raise BadRecord("an argument")


def _site(record: Mapping[str, Any]) -> Site | None:
    match record.get("site"):
        case None:
            return None
        case [str(file), int(line)]:
            return Site(file, line)
    raise BadRecord("site")
