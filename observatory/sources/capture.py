"""Capturing: scapy sniffs through our capture socket, frames pile up in memory, none is lost.

::

    sock = open_packet_socket("lo")              # in the network namespace, with CAP_NET_RAW
    with Capture(sock) as capture:               # in any process; ready when the block begins
        ...                                      # the calls that are observed
        capture.stop(settled=lambda: no_socket_left())
    capture.frames, capture.statistics, capture.interface
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import TracebackType
from typing import Any, Final

from observatory.errors import CaptureError
from observatory.model import Frame, Interface
from observatory.sources.ring import (
    LARGEST_FRAME,
    RETIRE_MS,
    RING_BYTES,
    Batch,
    Source,
    link_of,
    open_source,
)

GRACE: Final = 0.05
"""Seconds of quiet after which nothing more is expected."""
LIMIT: Final = 5.0
DRAIN_LIMIT: Final = 1.0
READY_LIMIT: Final = 5.0
TICK: Final = 0.005

Sink = Callable[[tuple[Frame, ...]], None]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Frames that the kernel gave us, and frames that it counted but had no room for."""

    captured: int
    dropped: int


class Capture:
    """One interface's capture from :meth:`start` to :meth:`stop`. Owns ``sock`` and closes it.

    ``sock`` comes from :func:`observatory.sources.ring.open_packet_socket`, perhaps in another
    process. ``index`` is the interface's number in the trace. ``sink`` gets every batch of frames
    as it arrives, in the capturing thread, so that what was seen survives a crash of ours; what it
    raises ends up in stop(). ``may_be_down``: it is no failure that the interface is down at first.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        index: int = 0,
        sink: Sink | None = None,
        ring_bytes: int = RING_BYTES,
        may_be_down: bool = False,
    ) -> None:
        self._sock = sock
        self._index = index
        self._sink = sink
        self._ring_bytes = ring_bytes
        self._may_be_down = may_be_down
        self._link = link_of(sock)
        self._source: Source | None = None
        self._queued, self._missed = 0, 0
        self._sniffer: Any = None
        self._lock = threading.Lock()
        self._uncut: list[Batch] = []
        self._frames: list[Frame] = []
        self._taken = 0
        self._asked_to_end = False
        self.last_arrival = 0.0
        self.failure: Exception | None = None
        self._dropped: int | None = None
        self.method = ""

    def start(self) -> None:
        """Returns when every frame from now on will be captured.

        Raises CaptureError when the interface is down or scapy's sniffer does not start.
        """
        # Loaded here: 0.15 s that listing and reading files need not pay.
        from scapy.sendrecv import AsyncSniffer

        from observatory.sources.scapysocket import BulkSession, CaptureSocket

        ready = threading.Event()
        try:
            self._source = open_source(self._sock, self._ring_bytes, self._may_be_down)
        except BaseException:
            self._sock.close()
            raise
        self.method = f"scapy over {self._source.method}"
        self._capture_socket = CaptureSocket(self._source, self._link.linktype, self._index)
        self._sniffer = AsyncSniffer(
            opened_socket=self._capture_socket,
            session=BulkSession(self._receive, self._fail),
            store=False,
            started_callback=ready.set,
        )
        self._sniffer.start()
        if not ready.wait(READY_LIMIT):
            self._capture_socket.close()
            raise CaptureError(f"scapy's sniffer did not start: {self._sniffer.exception}")

    def stop(
        self,
        grace: float = GRACE,
        settled: Callable[[], bool] = lambda: True,
        limit: float = LIMIT,
    ) -> None:
        """Ends the capture when the last expected segment is in; a second call does nothing.

        Waits until ``settled()`` says that nothing more is expected, then until ``grace`` seconds
        have passed without a frame, for both together at most ``limit`` seconds; then until the
        kernel has handed over all that it had counted by then. Raises CaptureError when capturing
        failed on the way, or what the sink raised.
        """
        if self._dropped is not None or self._source is None:
            return
        try:
            wait_until_quiet([self], grace, settled, limit)
        finally:
            self.finish()
        if self.failure is not None:
            raise self.failure

    def halt(self) -> None:
        """From now on no frame is captured; what was captured may still have to be read."""
        if self._source is not None:
            self._source.halt()
            self._queued, self._missed = self._source.counted()

    def drain(self) -> None:
        """Having been halted: wait for what was captured, and ask the sniffer to end."""
        deadline = time.monotonic() + DRAIN_LIMIT
        while self._taken < self._queued and self.failure is None and time.monotonic() < deadline:
            time.sleep(TICK / 5)
        # Asked twice, it would write to a pipe that it is just closing.
        if self._sniffer.running and not self._asked_to_end:
            self._asked_to_end = True
            self._sniffer.stop(join=False)

    def finish(self) -> None:
        """Read what the kernel has captured, and end; without waiting for more."""
        if self._dropped is not None or self._source is None:
            return
        self.halt()
        self.drain()
        self._sniffer.thread.join()
        self._dropped = self._missed + max(0, self._queued - self._taken)
        self._capture_socket.close()

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All frames so far, in time order. While capturing, the last 10 ms may be missing.

        The stamp is taken before a frame queues for the processor that handles it, so frames of
        two processors can arrive in another order than they were sent in; sorting mends it.
        """
        with self._lock:
            uncut, self._uncut = self._uncut, []
            for batch in uncut:
                self._frames.extend(batch.frames(self._index))
            self._frames.sort(key=attrgetter("time_ns"))
            return tuple(self._frames)

    @property
    def statistics(self) -> Statistics:
        """Counts of the finished capture. Raises CaptureError while it is going on."""
        if self._dropped is None:
            raise CaptureError("the capture has not been stopped: counts are known only then")
        return Statistics(len(self.frames), self._dropped)

    @property
    def interface(self) -> Interface:
        """The interface as the trace and the run file have it."""
        counts = self.statistics
        return Interface(
            self._link.name,
            self._link.linktype,
            snaplen=LARGEST_FRAME,
            captured=counts.captured,
            dropped=counts.dropped,
        )

    def __enter__(self) -> Capture:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.finish()

    def _receive(self, batches: list[Batch]) -> None:
        """In the sniffer's thread."""
        with self._lock:
            self._uncut.extend(batches)
            self._taken += sum(batch.count for batch in batches)
            self.last_arrival = time.monotonic()
        if self._sink is not None:
            self._sink(tuple(frame for batch in batches for frame in batch.frames(self._index)))

    def _fail(self, error: Exception) -> None:
        """In the sniffer's thread: the first failure is kept, the sink is left alone after it."""
        self.failure = self.failure or error
        self._sink = None


def wait_until_quiet(
    captures: Sequence[Capture],
    grace: float = GRACE,
    settled: Callable[[], bool] = lambda: True,
    limit: float = LIMIT,
) -> None:
    """Return when ``settled()`` says that nothing more is expected, and then ``grace`` seconds have
    passed without a frame on any interface; after ``limit`` seconds in any case, and when one of
    them has failed."""
    deadline = time.monotonic() + limit

    def going() -> bool:
        return time.monotonic() < deadline and all(one.failure is None for one in captures)

    while not settled() and going():
        time.sleep(TICK)
    since = time.monotonic()
    # A block that is not full arrives only when it is retired.
    quiet = grace + RETIRE_MS / 1000
    while going():
        last = max(one.last_arrival for one in captures)
        if time.monotonic() - max(since, last) >= quiet:
            return
        time.sleep(TICK)
