"""Journals read back: the calls and processes of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from observatory.codec.tcp_info import named
from observatory.model import Call, Process, Site, parse_address
from observatory.model.calls import Argument


class Reading(NamedTuple):
    """What the journals of a run hold. ``defects`` are sentences about what is damaged."""

    calls: tuple[Call, ...]
    processes: tuple[Process, ...]
    defects: tuple[str, ...]


def read_journals(folder: Path | str) -> Reading:
    """Read every journal in ``folder``, also while it is being written.

    Calls are in the order they were entered, with ids from 1; one without a return never
    returned. A line cut short at the end of a file (its process was killed, or is writing) is
    left out; a damaged line elsewhere is left out and told as a defect.
    """
    calls: list[Call] = []
    processes: dict[int, Process] = {}
    ends: list[list[Any]] = []
    defects: list[str] = []
    for path in sorted(Path(folder).glob("*.calls")):
        records, damaged = _records(path)
        if damaged:
            defects.append(f"{damaged} damaged records in the journal of process {path.stem}")
        _take(records, calls, processes, ends)
    for _, pid, ended_ns, status, signal in ends:
        known = processes.get(pid)
        if known is not None:
            processes[pid] = replace(known, ended_ns=ended_ns, status=status, signal=signal)
    calls.sort(key=lambda call: call.entered_ns)
    numbered = tuple(replace(call, id=number) for number, call in enumerate(calls, 1))
    return Reading(numbered, _in_order(processes, numbered), tuple(defects))


def _records(path: Path) -> tuple[list[list[Any]], int]:
    records, damaged = [], 0
    lines = path.read_bytes().split(b"\n")
    for line in lines[:-1]:  # what follows the last newline is half a record, or nothing
        try:
            record = json.loads(line)
        except ValueError:
            damaged += 1
            continue
        records.append(record)
    return records, damaged


def _take(
    records: list[list[Any]],
    calls: list[Call],
    processes: dict[int, Process],
    ends: list[list[Any]],
) -> None:
    pid = 0
    pending: dict[int, Call] = {}
    for record in records:
        if record[0] == "p":
            calls.extend(pending.values())  # a new program in the same process: exec
            pending = {}
            _, pid, parent, role, command, _ = record
            earlier = processes.get(pid)
            parent = earlier.parent if earlier and parent is None else parent
            if not role:
                continue  # not of the play: the stage, which saw the others end
            processes[pid] = Process(pid=pid, parent=parent, command=command, role=role)
        elif record[0] == "f":
            _, child, parent, role, command, _ = record
            processes.setdefault(child, Process(child, parent, command, role))
        elif record[0] == "e":
            pending[record[1]] = _entered(pid, record)
        elif record[0] == "r":
            call = pending.pop(record[1], None)
            if call is not None:
                calls.append(_returned(call, record))
        else:
            ends.append(record)
    calls.extend(pending.values())


def _entered(pid: int, record: list[Any]) -> Call:
    _, _, tid, name, fd, args, entered_ns, file, line, *asked = record
    site = None if file is None else Site(file, line)
    frozen = {key: _argument(value) for key, value in args.items()}
    before = {"before": _answer(asked[0])} if asked else {}
    return Call(0, name, pid, tid, fd, frozen, entered_ns, site=site, asked=before)


def _returned(call: Call, record: list[Any]) -> Call:
    _, _, result, error, returned_ns, local, peer, out, *asked = record
    args = call.args
    if out:
        args = {**args, **{key: _argument(value) for key, value in out.items()}}
    return replace(
        call,
        args=args,
        result=result,
        errno=error,
        returned_ns=returned_ns,
        local=parse_address(local),
        peer=parse_address(peer),
        asked={**call.asked, "after": _answer(asked[0])} if asked else call.asked,
    )


def _answer(value: Any) -> Argument:
    """What the kernel answered, by name; that of several sockets by descriptor."""
    if isinstance(value, list):
        return named(value)
    return {
        key: _answer(each) if isinstance(each, list | dict) else each for key, each in value.items()
    }


def _argument(value: Any) -> Argument:
    """JSON lists are the model's tuples."""
    if isinstance(value, list):
        return tuple(_argument(item) for item in value)
    return value  # type: ignore[no-any-return]


def _in_order(processes: dict[int, Process], calls: tuple[Call, ...]) -> tuple[Process, ...]:
    """Processes by their first call, those that made none last."""
    first: dict[int, int] = {}
    for call in calls:
        first.setdefault(call.pid, call.id)
    return tuple(sorted(processes.values(), key=lambda one: (first.get(one.pid, 1 << 62), one.pid)))
