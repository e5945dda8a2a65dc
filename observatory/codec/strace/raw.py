"""Calls as strace told them, whole but not yet understood."""

from __future__ import annotations

from dataclasses import dataclass, field

from observatory.codec.strace.grammar import Outcome
from observatory.codec.strace.lines import Clock
from observatory.codec.strace.tasks import Task, Tasks
from observatory.codec.strace.values import Change, Named, Struct, Value

FORKING = frozenset({"fork", "vfork", "clone", "clone2", "clone3"})


@dataclass(slots=True, eq=False)
class Raw:
    """A call as strace told it. ``returned_ns`` None: it never returned, as far as the log goes.

    ``own_bound_ns`` is the stamp of its thread's next line, ``next_bound_ns`` of the log's.
    ``order`` is the number of the line at which it was entered. ``overtaken`` says of a call
    that a signal interrupted that its thread has called something else since, ``took_over`` of
    an execve that it gave its thread the process's id.
    """

    task: Task
    name: str
    text: str
    order: int
    entered_ns: int
    arguments: tuple[Value, ...] = ()
    outcome: Outcome | None = None
    resumed_ns: int | None = None
    own_bound_ns: int | None = None
    next_bound_ns: int | None = None
    overtaken: bool = False
    took_over: bool = False
    frames: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Assembled:
    """A log's calls in the order of their entry, and what else its lines were."""

    calls: list[Raw]
    tasks: Tasks
    unread: list[str]
    notes: int
    lines: int
    one_writer: bool
    clock: Clock
    resolution_ns: int
    last_ns: int
    headless: int


def makes_thread(arguments: tuple[Value, ...]) -> bool:
    """Whether a clone made a thread of the same process, not a process."""
    return "CLONE_THREAD" in clone_flags(arguments)


def clone_flags(arguments: tuple[Value, ...]) -> str:
    """The flags of clone (by name) or clone3 (in its structure), empty for fork and vfork."""
    for argument in arguments:
        passed = argument.before if isinstance(argument, Change) else argument
        if isinstance(passed, Named) and passed.name == "flags":
            return str(passed.value)
        if isinstance(passed, Struct) and "flags" in passed.members:
            return str(passed.members["flags"])
    return ""
