"""Capturing on several interfaces at once, perhaps of several network namespaces.

::

    with Captures([Place(sock, "client:eth0", "client"), …]) as captures:
        ...
        captures.stop(settled=…)
    captures.frames, captures.interfaces
"""

from __future__ import annotations

import heapq
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from operator import attrgetter
from types import TracebackType

from observatory.model import Frame, Interface
from observatory.sources.capture import GRACE, LIMIT, Capture, wait_until_quiet
from observatory.sources.ring import LARGEST_FRAME, RING_BYTES, link_of

SMALLEST_RING = 8 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of them listens: its packet socket, and as the trace names the interface."""

    sock: socket.socket
    name: str
    host: str = ""


class Captures:
    """One capture an interface, begun and ended together. Owns the sockets and closes them.

    ``may_be_down``: an interface that is down when capturing begins is no failure.
    """

    def __init__(self, places: Sequence[Place], *, may_be_down: bool = False) -> None:
        self._places = tuple(places)
        ring_bytes = max(SMALLEST_RING, RING_BYTES // len(self._places))
        self._captures = [
            Capture(place.sock, index=index, ring_bytes=ring_bytes, may_be_down=may_be_down)
            for index, place in enumerate(self._places)
        ]
        self.planned = tuple(
            Interface(place.name, link_of(place.sock).linktype, LARGEST_FRAME, host=place.host)
            for place in self._places
        )
        """The interfaces before anything was counted."""

    @property
    def method(self) -> str:
        """How frames are captured."""
        return self._captures[0].method

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All frames so far, of all interfaces, in time order."""
        every = [capture.frames for capture in self._captures]
        return tuple(heapq.merge(*every, key=attrgetter("time_ns")))

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """With the counts of each. Raises CaptureError while capturing goes on."""
        return tuple(
            replace(capture.interface, name=place.name, host=place.host)
            for capture, place in zip(self._captures, self._places, strict=True)
        )

    def stop(
        self,
        grace: float = GRACE,
        settled: Callable[[], bool] = lambda: True,
        limit: float = LIMIT,
    ) -> None:
        """End them all, when the last expected segment is in; see :meth:`Capture.stop`."""
        try:
            wait_until_quiet(self._captures, grace, settled, limit)
        finally:
            self._finish()
        for capture in self._captures:
            if capture.failure is not None:
                raise capture.failure

    def _finish(self) -> None:
        # First all are halted: a packet that one has seen and the next not yet would look lost.
        for capture in self._captures:
            capture.halt()
        for capture in self._captures:
            capture.drain()
        for capture in self._captures:
            capture.finish()

    def __enter__(self) -> Captures:
        try:
            with ExitStack() as stack:
                for capture in self._captures:
                    stack.enter_context(capture)
                self._stack = stack.pop_all()
        except BaseException:
            for place in self._places:  # those too whose capture had not begun
                place.sock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, failure, trace)
