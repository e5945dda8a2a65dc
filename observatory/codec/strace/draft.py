"""What a converter makes of one system call, and what all converters share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from observatory.codec.strace.arguments import argument, number
from observatory.codec.strace.raw import Raw
from observatory.codec.strace.values import Descriptor, Value
from observatory.model import Address
from observatory.model.calls import Argument


@dataclass(slots=True)
class Draft:
    """A call but for its process, its id and its times."""

    name: str
    fd: int | None
    args: dict[str, Argument]
    local: Address | None = None
    peer: Address | None = None
    inode: int | None = None
    returns: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """What to keep: ``payload`` bytes of what was sent and received."""

    payload: int = 0


Converter = Callable[[Raw, Asked], Draft | None]


def failed(raw: Raw) -> bool:
    return raw.outcome is None or raw.outcome.value is None or raw.outcome.value < 0


def may_be_socket(value: Value | None) -> bool:
    """False where -y says that a descriptor names something else."""
    return value.is_socket if isinstance(value, Descriptor) else True


def on_descriptor(raw: Raw, name: str, args: dict[str, Argument]) -> Draft | None:
    """A call about its first argument, if that may be a socket."""
    value = argument(raw, 0)
    return Draft(name, number(value), args) if may_be_socket(value) else None
