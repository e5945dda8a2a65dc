"""Calls that wait for several descriptors: poll, select, epoll."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from observatory.codec.strace.arguments import (
    argument,
    descriptor_set,
    detail,
    milliseconds,
    number,
    poll_pairs,
    returned,
    symbol,
)
from observatory.codec.strace.draft import Asked, Converter, Draft, may_be_socket
from observatory.codec.strace.raw import Raw
from observatory.codec.strace.values import Array, Struct, Value
from observatory.model.calls import Argument


def poll(raw: Raw, asked: Asked) -> Draft | None:
    """poll and ppoll; None if no descriptor among them can be a socket."""
    entries = returned(argument(raw, 0))
    if not _any_socket(_polled(entries), entries):
        return None
    found = detail(raw)
    args: dict[str, Argument] = {
        "fds": poll_pairs(entries, "events"),
        "timeout_ms": milliseconds(returned(argument(raw, 2))),
        "ready": poll_pairs(found[0], "revents") if found else (),
    }
    return Draft("poll", None, args)


def _polled(entries: Value | None) -> Iterator[Value | None]:
    for entry in entries.items if isinstance(entries, Array) else ():
        if isinstance(entry, Struct):
            yield entry.members.get("fd")


def _any_socket(descriptors: Iterator[Value | None], printed: Value | None) -> bool:
    if isinstance(printed, Array) and printed.cut:
        return True
    return any(may_be_socket(descriptor) for descriptor in descriptors)


def select(raw: Raw, asked: Asked) -> Draft | None:
    """select and pselect6; None if no descriptor among them can be a socket."""
    sets = [returned(argument(raw, index)) for index in (1, 2, 3)]
    members = [item for one in sets if isinstance(one, Array) for item in one.items]
    if not any(may_be_socket(member) for member in members):
        return None
    ready = _ready_sets(detail(raw))
    args: dict[str, Argument] = {
        "read": descriptor_set(sets[0]),
        "write": descriptor_set(sets[1]),
        "except": descriptor_set(sets[2]),
        "timeout_ms": milliseconds(returned(argument(raw, 4))),
        "ready_read": ready.get("in", ()),
        "ready_write": ready.get("out", ()),
        "ready_except": ready.get("except", ()),
    }
    return Draft("select", None, args)


def _ready_sets(found: tuple[Value, ...]) -> dict[str, tuple[int, ...]]:
    """``in [5], out [5]``: each word is followed by its set."""
    return {word: descriptor_set(value) for word, value in pairwise(found) if isinstance(word, str)}


def epoll_ctl(raw: Raw, asked: Asked) -> Draft | None:
    """About the watched descriptor, which is ``fd``; the set is ``epoll``."""
    watched, event = argument(raw, 2), argument(raw, 3)
    if not may_be_socket(watched):
        return None
    args: dict[str, Argument] = {
        "epoll": number(argument(raw, 0)),
        "operation": symbol(argument(raw, 1)),
    }
    if isinstance(event, Struct):
        args["events"] = symbol(event.members.get("events"))
        args["data"] = _event_data(event)
    return Draft("epoll_ctl", number(watched), args)


def epoll_wait(raw: Raw, asked: Asked) -> Draft | None:
    """``ready`` are pairs of epoll's data and events here: whose descriptor that is, is known
    only from epoll_ctl."""
    events = returned(argument(raw, 1))
    entries = events.items if isinstance(events, Array) else ()
    ready = tuple(
        (_event_data(entry), symbol(entry.members.get("events")))
        for entry in entries
        if isinstance(entry, Struct)
    )
    args: dict[str, Argument] = {
        "epoll": number(argument(raw, 0)),
        "timeout_ms": milliseconds(argument(raw, 3)),
        "ready": ready,
    }
    return Draft("epoll_wait", None, args)


def _event_data(event: Struct) -> int | None:
    data = event.members.get("data")
    return number(data.members.get("u64")) if isinstance(data, Struct) else number(data)


WAITING: Mapping[str, Converter] = {
    **dict.fromkeys(("poll", "ppoll", "ppoll_time64"), poll),
    **dict.fromkeys(("select", "_newselect", "pselect6", "pselect6_time64"), select),
    "epoll_ctl": epoll_ctl,
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "epoll_pwait2"), epoll_wait),
}
