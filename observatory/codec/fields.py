"""The fields of a run file's JSON records, checked one by one as they are read.

A file may hold anything: what is not what it should be raises BadRecord, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from observatory.codec.contents import LATEST_NS
from observatory.model.addresses import Address, Endpoint, parse_address
from observatory.model.calls import Argument


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


def truth(record: Mapping[str, Any], name: str) -> bool:
    """True or false under ``name``."""
    value = record.get(name)
    if not isinstance(value, bool):
        raise BadRecord(name)
    return value


def whole(record: Mapping[str, Any], name: str) -> int:
    """The whole number under ``name``, of at most 64 bits."""
    value = record.get(name)
    if type(value) is not int or abs(value) > LATEST_NS:
        raise BadRecord(name)
    return value


def maybe_whole(record: Mapping[str, Any], name: str) -> int | None:
    """The whole number under ``name``, None where there is none."""
    return None if record.get(name) is None else whole(record, name)


def time(record: Mapping[str, Any], name: str) -> int:
    """The time under ``name``, nanoseconds since 1970."""
    value = whole(record, name)
    if value < 0:
        raise BadRecord(name)
    return value


def maybe_time(record: Mapping[str, Any], name: str) -> int | None:
    """The time under ``name``, None where there is none."""
    return None if record.get(name) is None else time(record, name)


def string(record: Mapping[str, Any], name: str) -> str:
    """The string under ``name``."""
    value = record.get(name)
    if not isinstance(value, str):
        raise BadRecord(name)
    return value


def maybe_string(record: Mapping[str, Any], name: str) -> str | None:
    """The string under ``name``, None where there is none."""
    return None if record.get(name) is None else string(record, name)


def address(record: Mapping[str, Any], name: str) -> Address | None:
    """The address that ``str(address)`` printed under ``name``, None where there is none."""
    text = maybe_string(record, name)
    if text is None:
        return None
    try:
        found = parse_address(text)
    except ValueError:  # more digits than int() takes
        found = None
    if found is None:
        raise BadRecord(name)
    return found


def endpoint(record: Mapping[str, Any], name: str) -> Endpoint | None:
    """The IP endpoint under ``name``, None where there is none."""
    found = address(record, name)
    if found is not None and not isinstance(found, Endpoint):
        raise BadRecord(name)
    return found


def arguments(record: Mapping[str, Any], name: str) -> Mapping[str, Argument]:
    """The object under ``name`` as the arguments of a call."""
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
