"""The kernel's events with what it was doing at the time: context, stack, processor.

A second instance of tracefs beside the one that a run opens for itself (needs root)::

    with KernelStacks() as kernel:
        ...                               # runs, one after the other
        records = kernel.take()           # all since the last time, in order of time

When a packet is queued to a device (``net:net_dev_queue``) the kernel writes its own call stack
beside the event: at its root stands the system call that the running thread is in, or the
interrupt, and nearer to its tip what made the packet (``tcp_send_fin``, ``tcp_delack_timer``). So
it says more than the events of system calls would (``raw_syscalls``), and those of the whole
machine need not be read.
Source: Documentation/trace/events.rst, "stacktrace"; include/linux/trace_events.h for the flags.
"""

from __future__ import annotations

import os
import struct
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from observatory.codec.ring_pages import PageLayout, parse_header_page, read_page
from observatory.codec.tracepoint_formats import Format, Values
from observatory.sources.tracefs import lost_of, set_clock
from observatory.sources.tracefs_instances import (
    PREFIX,
    listed,
    read,
    read_format,
    remove_instance,
    write,
)
from observatory.sources.tracefs_mount import open_folder

QUEUE = "net:net_dev_queue"
XMIT = "net:net_dev_start_xmit"
DELIVER = "net:netif_receive_skb"
STATE = "sock:inet_sock_set_state"
SENT = "sock:sock_send_length"
PROBE = "tcp:tcp_probe"
EVENTS = (QUEUE, XMIT, DELIVER, STATE, SENT, PROBE)
STACKED = (QUEUE, STATE)
"""Beside which the kernel writes its stack. A packet that is queued is given to the device at once
where that has no queue of its own (loopback, veth), but maybe in parts: the parts have its stack.
"""

BUFFER_KB = 8192
TICK_S = 0.05
TRACE_STACK = 4  # kernel/trace/trace.h, the record's type
STACK_HEAD = 16  # type, flags, pid; how many callers; padding
IN_SOFTIRQ = 0x10  # TRACE_FLAG_SOFTIRQ
IN_INTERRUPT = 0x18  # and TRACE_FLAG_HARDIRQ


@dataclass(frozen=True, slots=True)
class Record:
    """One event. ``thread`` was running, ``softirq`` says that it was merely interrupted;
    ``stack`` is the kernel's functions, the innermost first, empty where it was not asked."""

    time_ns: int
    event: str
    cpu: int
    thread: int
    softirq: bool
    values: Values
    stack: tuple[str, ...] = ()


class KernelStacks:
    """See the module's head. Raises OSError where tracefs is not to be had."""

    def __init__(self, buffer_kb: int = BUFFER_KB) -> None:
        self._folder = open_folder()
        self._name = f"{PREFIX}{os.getpid()}.99"
        os.mkdir(f"instances/{self._name}", 0o700, dir_fd=self._folder)
        self._instance = os.open(
            f"instances/{self._name}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._folder
        )
        self._pages: dict[int, list[bytes]] = defaultdict(list)
        self._pipes: dict[int, int] = {}
        self._lock, self._end = threading.Lock(), threading.Event()
        self._functions = Functions()
        self._layout = PageLayout()
        self._formats: dict[int, Format] = {}
        self._to_realtime_ns = 0
        self._thread = threading.Thread(target=self._work, name="kernel stacks")
        try:
            self._set_up(buffer_kb)
        except BaseException:
            self._remove()
            raise

    def _set_up(self, buffer_kb: int) -> None:
        write("buffer_size_kb", str(buffer_kb), self._instance)
        self._layout = parse_header_page(read("events/header_page", self._folder))
        self._to_realtime_ns = set_clock(self._instance)
        for event in EVENTS:
            layout = read_format(event, self._instance)
            if layout is None:
                raise OSError(f"this kernel has no event {event}")
            self._formats[layout.id] = layout
            place = f"events/{event.replace(':', '/')}"
            if event in STACKED:
                write(f"{place}/trigger", "stacktrace", self._instance)
            write(f"{place}/enable", "1", self._instance)
        for name in listed("per_cpu", self._instance):
            path = f"per_cpu/{name}/trace_pipe_raw"
            pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=self._instance)
            self._pipes[int(name.removeprefix("cpu"))] = pipe

    def _work(self) -> None:
        while not self._end.wait(TICK_S):
            self._drain()

    def _drain(self) -> None:
        with self._lock:
            for cpu, pipe in self._pipes.items():
                with suppress(BlockingIOError):
                    while page := os.read(pipe, self._layout.size):
                        self._pages[cpu].append(page)

    def take(self) -> list[Record]:
        """What happened since the last time, in order of time (CLOCK_REALTIME)."""
        self._drain()
        with self._lock:
            pages, self._pages = self._pages, defaultdict(list)
        found: list[Record] = []
        for cpu, each in pages.items():
            found += self._records(cpu, each)
        return sorted(found, key=attrgetter("time_ns"))

    def _records(self, cpu: int, pages: Iterable[bytes]) -> Iterator[Record]:
        """A stack follows its event, maybe on the next page; what interrupts between the two
        writes whole pairs of its own."""
        raw = (each for page in pages for each in read_page(page, self._layout).records)
        # By thread and context: whose stack is still to come.
        waiting: dict[tuple[int, bytes], tuple[int, bytes]] = {}
        queued: dict[tuple[int, bytes], tuple[str, ...]] = {}
        for time_ns, record in raw:
            kind = int.from_bytes(record[:2], "little")
            whose = (record[2] & IN_INTERRUPT, record[4:8])
            if kind == TRACE_STACK:
                if whose in waiting:
                    began_ns, event = waiting.pop(whose)
                    stack = self._stack(record)
                    if self._event(event) == QUEUE:
                        queued[whose] = stack
                    else:
                        yield self._record(cpu, began_ns, event, stack)
                continue
            event = self._event(record)
            if event in STACKED:
                waiting[whose] = (time_ns, record)
                queued.pop(whose, None)
            elif event == XMIT:
                yield self._record(cpu, time_ns, record, queued.get(whose, ()))
            elif event:
                yield self._record(cpu, time_ns, record)

    def _event(self, record: bytes) -> str:
        layout = self._formats.get(int.from_bytes(record[:2], "little"))
        return layout.event if layout else ""

    def _record(self, cpu: int, time_ns: int, record: bytes, stack: tuple[str, ...] = ()) -> Record:
        layout = self._formats[int.from_bytes(record[:2], "little")]
        flags, thread = record[2], int.from_bytes(record[4:8], "little")
        return Record(
            time_ns + self._to_realtime_ns,
            layout.event,
            cpu,
            thread,
            bool(flags & IN_SOFTIRQ),
            layout.values(record),
            stack,
        )

    def _stack(self, record: bytes) -> tuple[str, ...]:
        count = min(int.from_bytes(record[8:12], "little"), (len(record) - STACK_HEAD) // 8)
        return tuple(map(self._functions.at, struct.unpack_from(f"={count}Q", record, STACK_HEAD)))

    @property
    def lost(self) -> int:
        """Events that did not fit the buffers, so far."""
        names = listed("per_cpu", self._instance)
        return sum(lost_of(read(f"per_cpu/{name}/stats", self._instance)) for name in names)

    def __enter__(self) -> KernelStacks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._remove()

    def _remove(self) -> None:
        for file in (*self._pipes.values(), self._instance):
            os.close(file)
        remove_instance(self._folder, self._name)
        os.close(self._folder)


class Functions:
    """The kernel's functions by address (/proc/kallsyms), without the compiler's suffixes."""

    def __init__(self, path: Path = Path("/proc/kallsyms")) -> None:
        found: list[tuple[int, str]] = []
        with path.open(encoding="ascii") as lines:
            for line in lines:
                start, kind, name, *_ = line.split()
                if kind in "tTwW":
                    found.append((int(start, 16), name.partition(".")[0]))
        found.sort()
        self._starts = [start for start, _ in found]
        self._names = [name for _, name in found]
        self._known: dict[int, str] = {}

    def at(self, address: int) -> str:
        """The function that an address is in."""
        name = self._known.get(address)
        if name is None:
            place = bisect_right(self._starts, address) - 1
            name = self._known[address] = self._names[place] if place >= 0 else "?"
        return name
