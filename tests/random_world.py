"""The world in which random traces play: clock, processes, wire, and the truth about both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from observatory.model import (
    Call,
    Endpoint,
    Interface,
    Process,
    Protocol,
    RunHeader,
    Segment,
    Trace,
)

SPACE = 1 << 32
START_NS = 1_700_000_000_000_000_000
MSS = 1448
SERVER_PID = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """One connection: who opens it, what each end sends, how it is cut up and closed."""

    client: int = 100
    client_isn: int = 1000
    server_isn: int = 5000
    client_sends: tuple[int, ...] = (10,)
    server_sends: tuple[int, ...] = ()
    forks: bool = False
    exits: bool = False
    duplicates: bool = False
    client_closes_first: bool = True
    unruly: bool = True  # repeats and reorders segments
    ending: str = "close"  # a key of random_endings.END
    reuses_port_of: int | None = None


@dataclass(slots=True)
class Truth:
    """Segment id to the calls whose bytes, SYN or FIN it shows; recv id to its segments."""

    owners: dict[int, list[int]] = field(default_factory=dict)
    repeats: set[int] = field(default_factory=set)
    completed_by: dict[int, set[int]] = field(default_factory=dict)
    connections: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Flow:
    """One direction. ``marks[i]`` is the send that byte i belongs to."""

    src: Endpoint
    dst: Endpoint
    isn: int
    marks: list[int] = field(default_factory=list)
    carriers: list[int] = field(default_factory=list)  # byte to the segment that showed it first
    sent: int = 0
    read: int = 0
    acked: int = 0
    fin_call: int | None = None
    fin_sent: bool = False


class World:
    """Clock, processes and the wire."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = START_NS
        self.calls: list[Call] = []
        self.segments: list[Segment] = []
        self.truth = Truth()
        self.processes = {SERVER_PID: Process(SERVER_PID, 1, "server", "server")}
        self.fds: dict[int, set[int]] = {}
        self.queue: list[int] = []
        self.blocked: set[int] = set()
        self.ports: dict[int, int] = {}
        self.free_ports: set[int] = set()

    def tick(self) -> int:
        self.now += self.random.randint(2_000, 20_000)
        return self.now

    def open(self, pid: int) -> int:
        """The lowest free descriptor, as the kernel gives it."""
        used = self.fds.setdefault(pid, set())
        fd = next(n for n in range(3, 10_000) if n not in used)
        used.add(fd)
        return fd

    def enter(self, pid: int, name: str, fd: int | None = None, **args: object) -> Call:
        self.tick()
        call = Call(len(self.calls) + 1, name, pid, pid, fd, args, self.now)  # type: ignore[arg-type]
        self.calls.append(call)
        return call

    def leave(self, call: Call, result: int, errno: str | None = None, *names: Endpoint) -> int:
        local, peer = names or (None, None)
        done = replace(call, returned_ns=self.now + 1_000, result=result, errno=errno)
        self.calls[call.id - 1] = replace(done, local=local, peer=peer)
        return call.id

    def call(self, pid: int, name: str, fd: int | None, result: int, **args: object) -> int:
        return self.leave(self.enter(pid, name, fd, **args), result)

    def until_free(self, end: End) -> Iterator[None]:
        """Wait while the process of ``end`` sits in another call."""
        while end.pid in self.blocked:
            yield

    def close(self, pid: int, fd: int) -> int:
        self.fds[pid].discard(fd)
        return self.call(pid, "close", fd, 0)

    def emit(self, flow: Flow, other: Flow, flags: str, first: int = -1, length: int = 0) -> int:
        """Put a segment on the wire; ``first`` is its byte's index, -1 for the SYN."""
        seq = flow.isn + 1 + first if "S" not in flags else flow.isn
        ack = other.isn + 1 + flow.acked if "A" in flags else 0
        number = len(self.segments) + 1
        self.segments.append(
            Segment(
                number,
                self.tick(),
                0,
                Protocol.TCP,
                flow.src,
                flow.dst,
                length,
                flags,
                seq % SPACE,
                ack % SPACE,
                502,
            )
        )
        owners = list(dict.fromkeys(flow.marks[first : first + length])) if length else []
        if "F" in flags and flow.fin_call is not None:
            owners.append(flow.fin_call)
        if owners:
            self.truth.owners[number] = owners
        return number

    def trace(self) -> Trace:
        return Trace(
            run=RunHeader(calls_source="journal", segments_source="capture"),
            interfaces=(Interface("lo", 1, 0, len(self.segments), 0),),
            processes=tuple(self.processes.values()),
            calls=tuple(self.calls),
            segments=tuple(self.segments),
        )


@dataclass(slots=True)
class End:
    """A process's end of a connection: what it sends goes ``out``, what it reads comes ``into``."""

    pid: int
    fd: int
    out: Flow
    into: Flow
