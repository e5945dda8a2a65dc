"""The kernel's part of a run: its tracepoints and counters, from before the first call to after
the last packet.

::

    with witness_run(wanted=True) as witnessing:      # the instance is opened while root
        ...                                           # what is observed
        trace = witnessing.testify(trace)             # with the kernel's events that are its own
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from observatory.codec.tracepoints import TELLS
from observatory.model import KernelEvent, Trace, Witness

if TYPE_CHECKING:
    from observatory.sources.tracefs import Tracepoints

NOT_WANTED = "The kernel's tracepoints were not asked: --no-kernel."
WITHOUT = "states, reasons of RSTs and drops rest on calls and segments alone"


@dataclass(slots=True)
class Witnessing:
    """The kernel being asked; ``unwatched`` says in a sentence why it is not."""

    tracepoints: Tracepoints | None
    unwatched: str = ""

    def ready(self) -> None:
        """Returns when every event from now on will be seen, or it is known why none will."""
        if self.tracepoints is None:
            return
        try:
            self.tracepoints.ready()
        except OSError as error:
            why = error.strerror or str(error)
            self.unwatched = f"The kernel's tracepoints cannot be had ({why}): {WITHOUT}."
            self.tracepoints = None

    def so_far(self, trace: Trace) -> tuple[KernelEvent, ...]:
        """What the kernel has said of the run until now, as far as ``trace``, which goes on, tells
        what is the run's. Without the addresses of its functions."""
        if self.tracepoints is None:
            return ()
        from observatory.analysis.own_events import own_events

        return tuple(
            replace(event, detail={**event.detail, "location": ""})
            if "location" in event.detail
            else event
            for event in own_events(self.tracepoints.events(), trace).events
        )

    def testify(self, trace: Trace) -> Trace:
        """Stop, and add what the kernel said of the run to ``trace``."""
        from observatory.analysis.own_events import own_events

        self.ready()
        if self.tracepoints is None:
            return replace(trace, unwatched=self.unwatched)
        self.tracepoints.stop()
        own = own_events(self.tracepoints.events(), trace)
        missing = tuple(f"{event}: {TELLS[event]}" for event in self.tracepoints.missing)
        return replace(
            trace,
            run=replace(trace.run, kernel_source="tracefs"),
            kernel=with_symbols(own.events),
            witness=Witness(
                watched=self.tracepoints.watched,
                missing=missing,
                lost=self.tracepoints.lost + self.tracepoints.unread,
                foreign=own.foreign,
            ),
        )


@contextmanager
def witness_run(wanted: bool = True) -> Iterator[Witnessing]:
    """The kernel's tracepoints while the block runs, from ``ready()`` on, where they are to be had.

    They are opened meanwhile, which takes some 30 ms.
    """
    if not wanted:
        yield Witnessing(None, NOT_WANTED)
        return
    if os.geteuid() != 0:
        yield Witnessing(None, f"The kernel's tracepoints need root: {WITHOUT}.")
        return
    from observatory.sources.tracefs import Tracepoints

    tracepoints = Tracepoints(tuple(TELLS))
    tracepoints.start()
    try:
        # What judges the events is loaded meanwhile: in the midst of the run it would hold it up.
        import observatory.analysis.own_events  # noqa: F401

        yield Witnessing(tracepoints)
    finally:
        tracepoints.close()


@contextmanager
def witnesses_ready(count: int) -> Iterator[None]:
    """What takes time in opening tracepoints is done for ``count`` runs at once, which processes
    forked from this one carry out."""
    if os.geteuid() != 0 or not count:
        yield
        return
    from observatory.sources.tracefs_ready import ReadyInstances

    with ReadyInstances(count):
        yield


UNREASONED = frozenset({"", "NOT_SPECIFIED"})


def with_symbols(events: tuple[KernelEvent, ...]) -> tuple[KernelEvent, ...]:
    """The drops with the kernel's function in place of its address, but only where no reason says
    more: the table of functions takes as long to read as a short run takes altogether."""
    from observatory.sources.symbols import names_of

    asked = {_address(event) for event in events if _is_unreasoned(event)}
    names = names_of(asked) if asked else {}
    return tuple(
        replace(event, detail={**event.detail, "location": names.get(_address(event), "")})
        if "location" in event.detail
        else event
        for event in events
    )


def _is_unreasoned(event: KernelEvent) -> bool:
    return "location" in event.detail and event.detail.get("reason") in UNREASONED


def _address(event: KernelEvent) -> int:
    return int(str(event.detail["location"]), 16)
