"""The run file while the run goes on: what was observed is appended as it comes.

Whenever the observatory is killed, what it had seen by then is in a file that can be read. It is
not what the finished file holds: of the kernel's events only those that can already be told to be
the run's are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from observatory.model import Call, Frame, KernelEvent, Trace

if TYPE_CHECKING:
    from observatory.sources.files import RunWriter

HOLD_BACK_NS = 50_000_000
"""What is younger may still be overtaken: by a frame of another processor, by a journal."""

Own = Callable[[Sequence[Frame], Sequence[Call]], Sequence[Frame]]
"""Of all frames those that belong to the calls."""
Kernel = Callable[[Trace], Sequence[KernelEvent]]
"""Of the kernel's events so far those that belong to a trace, in any order."""


class Growth:
    """Appends to the run file what was observed since the last time.

    ``before`` is what was known before the first packet; ``calls`` and ``frames`` give all so
    far; ``own`` leaves out the frames of others.
    """

    def __init__(
        self,
        writer: RunWriter | None,
        before: Trace,
        *,
        calls: Callable[[], Sequence[Call]],
        frames: Callable[[], Sequence[Frame]],
        own: Own | None,
        kernel: Kernel,
    ) -> None:
        self._writer = writer
        self._before = before
        self._calls = calls
        self._frames = frames
        self._own = own
        self._kernel = kernel
        self._until_ns = 0
        self._returned: dict[int, bool] = {}  # by the id of a call written: whether it had returned
        self._kept: list[Frame] = []
        self._told: set[tuple[int, int, str]] = set()  # of events written: when, which thread, what

    def append(self) -> None:
        if self._writer is None:
            return
        until_ns = time.time_ns() - HOLD_BACK_NS
        calls = self._calls()
        frames: Sequence[Frame] = [
            frame for frame in self._frames() if self._until_ns < frame.time_ns <= until_ns
        ]
        own = self._own(frames, calls) if self._own else frames
        self._kept += own
        self._writer.frames(own)
        self._writer.calls(self._new_calls(calls, until_ns))
        self._writer.kernel(self._new_events(calls))
        self._until_ns = until_ns

    def _new_calls(self, calls: Iterable[Call], until_ns: int) -> list[Call]:
        """Calls not yet written, and those written while they blocked that now have returned."""
        news = []
        for call in calls:
            returned = call.returned_ns is not None
            if call.entered_ns <= until_ns and self._returned.get(call.id) not in (returned, True):
                self._returned[call.id] = returned
                news.append(call)
        return news

    def _new_events(self, calls: Sequence[Call]) -> list[KernelEvent]:
        """Events not yet written, also older ones of which it was not known whose they are. They
        are numbered as they are written; readers put them in order of time."""
        from observatory.codec.sightings import decode_run

        segments, _ = decode_run(self._kept, self._before.interfaces, self._before.run.topology)
        seen = replace(self._before, calls=tuple(calls), segments=segments)
        try:
            events = self._kernel(seen)
        except Exception:
            # Ours, and no reason to end the run: the analysis will tell it, at the end.
            return []
        news = []
        for event in events:
            key = (event.time_ns, event.pid, event.event)
            if key not in self._told:
                self._told.add(key)
                news.append(replace(event, id=len(self._told)))
        return news
