"""The kernel's tracepoints, through an instance of tracefs of our own.

::

    with Tracepoints(EVENTS) as tracepoints:     # needs root
        ...                                      # what is observed
        tracepoints.stop()
    tracepoints.events(), tracepoints.lost, tracepoints.missing

The instance is a buffer of our own (``instances/observatory-PID``): what others trace on this
machine is neither seen nor disturbed. Its events are the whole machine's, of every process in
every namespace. Source: Documentation/trace/ftrace.rst, "Instances", ``trace_pipe_raw``.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from observatory.codec.ring_pages import BadTracepoint, PageLayout, parse_header_page, read_page
from observatory.codec.tracepoint_formats import Format
from observatory.codec.tracepoints import Decoder, merge
from observatory.model import KernelEvent
from observatory.sources.tracefs_instances import (
    PREFIX,
    lacks,
    listed,
    read,
    read_format,
    refuse_foreign_pids,
    remove_instance,
    remove_leftovers,
    set_clock,
    write,
)
from observatory.sources.tracefs_mount import open_folder
from observatory.sources.tracefs_ready import take_ready

TICK_S: Final = 0.05
"""How often the buffers are emptied. They have room for far longer: 1.4 MB for each processor."""
MOST_PAGES: Final = 1 << 16
"""256 MB of events, some 8 million: what comes after is only counted, as lost."""


class Tracepoints:
    """The events of ``wanted`` from :meth:`ready` to :meth:`stop`; what stands there with a dot
    (``SYSTEM:NAME.FIELD``) asks only whether the event has the field.

    ``watched`` are the events that this kernel has, ``missing`` what of ``wanted`` it has not.
    After stop() ``lost`` are the events that did not fit the buffer, and after events()
    ``unread`` the pages of it that were not understood.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self._folder = -1
        self._instance = -1
        self._name = ""
        self._pipes: list[int] = []
        self._pages: list[bytes] = []
        self._decoded = 0  # how many of them
        self._events: list[KernelEvent] = []
        self._beyond = 0
        self._lost_before = 0
        self._formats: list[Format] = []
        self._layout = PageLayout()
        self._to_realtime_ns = 0
        self._key = secrets.token_bytes(16)
        self._identities: dict[int, str] = {0: ""}
        self._failure: OSError | None = None
        self._open = threading.Event()
        self._end = threading.Event()
        self._emptied = threading.Event()
        # One thread opens, reads and removes. Changing the clock and removing the instance wait
        # for every processor, some 30 ms each, in which the run can be set up and analyzed; and
        # Ctrl-C does not reach a thread between the two.
        self._thread = threading.Thread(target=self._work, name="tracepoints")
        self.watched: tuple[str, ...] = ()
        self.missing: tuple[str, ...] = ()
        self.lost = 0
        self.unread = 0

    def start(self) -> None:
        """Begin to open the instance."""
        self._thread.start()

    def ready(self) -> None:
        """Returns when every event from now on will be seen.

        Raises OSError where tracefs is not to be had (no root, no such file system, no memory for
        another instance), after which nothing is left behind.
        """
        self._open.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Take what is still in the buffers, and begin to remove the instance."""
        self._end.set()
        self._emptied.wait()

    def close(self) -> None:
        """Returns when the instance is removed; idempotent. What was read can be had still."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        """The thread, from opening to removal."""
        try:
            try:
                self._set_up()
            finally:
                self._open.set()
            while not self._end.wait(TICK_S):
                self._drain()
            write("tracing_on", "0", self._instance)
            self._drain()
            self.lost = self._count_lost() - self._lost_before + self._beyond
        except OSError as failure:
            self._failure = failure
        except BadTracepoint as failure:
            self._failure = OSError(f"tracefs is not as it should be: {failure}")
        finally:
            self._open.set()
            self._emptied.set()
            self._remove()

    def _set_up(self) -> None:
        refuse_foreign_pids()
        self._folder = open_folder()
        remove_leftovers(self._folder)
        taken = take_ready(self._folder)
        self._instance = self._make_instance() if taken is None else taken
        self._layout = parse_header_page(read("events/header_page", self._folder))
        self._to_realtime_ns = set_clock(self._instance)
        self._enable()
        for cpu in self._processors():
            path = f"per_cpu/{cpu}/trace_pipe_raw"
            pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=self._instance)
            self._pipes.append(pipe)
        if taken is not None:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """What another run has left in the buffers is none of ours."""
        self._drain()
        self._pages.clear()
        write("tracing_on", "1", self._instance)
        self._lost_before = self._count_lost()

    def events(self) -> list[KernelEvent]:
        """All that was read so far, in order of time (CLOCK_REALTIME), not numbered."""
        decoder = Decoder.of(self._formats, self._identity)
        until = len(self._pages)
        for raw in self._pages[self._decoded : until]:
            try:
                page = read_page(raw, self._layout)
                self._events += decoder.events(
                    (time_ns + self._to_realtime_ns, record) for time_ns, record in page.records
                )
            except BadTracepoint:
                self.unread += 1
        self._decoded = until
        return merge(self._events)

    def _identity(self, address: int) -> str:
        """Kernel addresses are secrets of the machine; a run file may be shown to anybody."""
        known = self._identities.get(address)
        if known is None:
            raw = (address % 2**64).to_bytes(8, "little")
            known = hashlib.blake2b(raw, digest_size=6, key=self._key).hexdigest()
            self._identities[address] = known
        return known

    def _make_instance(self) -> int:
        for number in range(1, 100):  # two runs in one process
            name = f"{PREFIX}{os.getpid()}" + (f".{number}" if number > 1 else "")
            with suppress(FileExistsError):
                os.mkdir(f"instances/{name}", 0o700, dir_fd=self._folder)
                self._name = name
                break
        return os.open(f"instances/{name}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._folder)

    def _enable(self) -> None:
        found = {wanted: read_format(wanted, self._instance) for wanted in self._wanted}
        self.missing = tuple(wanted for wanted, layout in found.items() if lacks(layout, wanted))
        there = {layout.event: layout for layout in found.values() if layout is not None}
        for event in there:
            write(f"events/{event.replace(':', '/')}/enable", "1", self._instance)
        self.watched, self._formats = tuple(there), list(there.values())

    def _processors(self) -> list[str]:
        return listed("per_cpu", self._instance)

    def _drain(self) -> None:
        for pipe in self._pipes:
            with suppress(BlockingIOError):
                while page := os.read(pipe, self._layout.size):
                    if len(self._pages) < MOST_PAGES:
                        self._pages.append(page)
                    else:
                        self._beyond += len(read_page(page, self._layout).records)

    def _count_lost(self) -> int:
        every = (read(f"per_cpu/{cpu}/stats", self._instance) for cpu in self._processors())
        return sum(map(lost_of, every))

    def _remove(self) -> None:
        for file in (*self._pipes, self._instance):
            if file >= 0:
                os.close(file)
        if self._name:
            remove_instance(self._folder, self._name)
        if self._folder >= 0:
            os.close(self._folder)
        self._folder, self._instance, self._name = -1, -1, ""
        self._pipes.clear()

    def __enter__(self) -> Tracepoints:
        self.start()
        try:
            self.ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_LOST = re.compile(r"^(?:overrun|dropped events): (\d+)", re.MULTILINE)


def lost_of(stats: str) -> int:
    """Events overwritten or not written, as a buffer's ``stats`` counts them."""
    return sum(map(int, _LOST.findall(stats)))
