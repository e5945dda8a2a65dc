"""Random conversations between processes, with the truth about every byte of them.

A world plays plans: connections interleaved, servers that fork, sends cut and joined into
segments at random places, segments repeated, delayed and overtaken, numbers that wrap, ports used
again. Each byte that a send accepts carries that send's mark, so that for every segment it is
known whose bytes it shows; the analyzer, which sees no marks, has to find it by the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def perform(plans: Sequence[Plan], seed: int) -> tuple[Trace, Truth]:
    """Play all plans at once, in an order that ``seed`` decides."""
    world = World(seed)
    listener = world.open(SERVER_PID)
    world.call(
        SERVER_PID, "socket", None, listener, family="AF_INET", type="SOCK_STREAM", protocol=0
    )
    world.call(SERVER_PID, "bind", listener, 0, address="10.0.0.2:80")
    world.call(SERVER_PID, "listen", listener, 0, backlog=100)
    running = {n: _connection(world, n, plan, listener) for n, plan in enumerate(plans)}
    while running:
        number = world.random.choice(list(running))
        try:
            next(running[number])
        except StopIteration:
            del running[number]
    return world.trace(), world.truth


def _connection(world: World, number: int, plan: Plan, listener: int) -> Iterator[None]:
    """One connection from socket() to the last ACK; a yield is where others may go on."""
    port = 40_000 + number
    if plan.reuses_port_of is not None and plan.reuses_port_of < number:
        while world.ports.get(plan.reuses_port_of) not in world.free_ports:
            yield
        port = world.ports[plan.reuses_port_of]
        world.free_ports.discard(port)
    world.ports[number] = port
    here, there = Endpoint("10.0.0.1", port), Endpoint("10.0.0.2", 80)
    up = Flow(here, there, plan.client_isn + 7919 * number)  # never the ISN of an earlier life
    down = Flow(there, here, plan.server_isn + 7919 * number)
    pid = plan.client
    world.processes.setdefault(pid, Process(pid, 1, "client", f"client{pid}"))
    while pid in world.blocked:
        yield
    fd = world.open(pid)
    world.call(pid, "socket", None, fd, family="AF_INET", type="SOCK_STREAM", protocol=0)
    yield from _handshake(world, pid, fd, up, down, number)
    world.queue.append(number)
    while world.queue[0] != number:
        yield
    world.queue.pop(0)
    accepted = world.open(SERVER_PID)
    call = world.enter(SERVER_PID, "accept4", listener, flags="SOCK_CLOEXEC")
    world.leave(call, accepted, None, there, here)
    server = _fork(world, listener, accepted) if plan.forks else SERVER_PID
    if plan.duplicates:
        while pid in world.blocked:
            yield
        copy = world.open(pid)
        world.call(pid, "dup", fd, copy)
        world.close(pid, fd)  # not the last name: no FIN
        fd = copy
    ends = (End(pid, fd, up, down), End(server, accepted, down, up))
    yield from _exchange(world, plan, *ends)
    first, second = ends if plan.client_closes_first else ends[::-1]
    yield from _close(world, first, second, plan)
    world.free_ports.add(port)


@dataclass(slots=True)
class End:
    """A process's end of a connection: what it sends goes ``out``, what it reads comes ``into``."""

    pid: int
    fd: int
    out: Flow
    into: Flow


def _handshake(
    world: World, pid: int, fd: int, up: Flow, down: Flow, number: int
) -> Iterator[None]:
    connect = world.enter(pid, "connect", fd, address=str(up.dst))
    world.blocked.add(pid)
    opening = [world.emit(up, down, "S")]
    yield
    down.acked = 0
    opening.append(world.emit(down, up, "SA"))
    opening.append(world.emit(up, down, "A", 0))
    world.truth.owners[opening[0]] = [connect.id]
    world.truth.completed_by[connect.id] = {opening[1]}
    for segment in opening:
        world.truth.connections[segment] = number
    world.leave(connect, 0, None, up.src, up.dst)
    world.blocked.discard(pid)


def _fork(world: World, listener: int, accepted: int) -> int:
    """A child takes the connection over; each closes what is the other's business."""
    child = SERVER_PID + len(world.processes)
    world.processes[child] = Process(child, SERVER_PID, "server", f"server.{child}")
    world.call(SERVER_PID, "fork", None, child)
    world.fds[child] = set(world.fds[SERVER_PID])
    for fd in sorted(world.fds[child] - {accepted}):
        world.close(child, fd)
    world.close(SERVER_PID, accepted)
    return child


def _exchange(world: World, plan: Plan, client: End, server: End) -> Iterator[None]:
    """Send, transmit, repeat, acknowledge and read in random order until all is read."""
    left = {id(client): list(plan.client_sends), id(server): list(plan.server_sends)}
    while True:
        actions = []
        for end, peer in ((client, server), (server, client)):
            if left[id(end)] and end.pid not in world.blocked:
                actions.append((_send, end, left[id(end)]))
            if end.out.sent < len(end.out.marks):
                actions += [(_transmit, end, plan)] * 2
            elif peer.into.read < end.out.sent and peer.pid not in world.blocked:
                actions.append((_receive, peer, plan))
            if plan.unruly and end.out.sent and world.random.random() < 0.1:
                actions.append((_repeat, end, plan))
        if not actions:
            if not any(left.values()) and all(
                e.into.read == len(e.into.marks) for e in (client, server)
            ):
                return
            yield
            continue
        act, end, with_what = world.random.choice(actions)
        act(world, end, with_what)  # type: ignore[operator]
        yield


def _send(world: World, end: End, sizes: list[int]) -> None:
    size = sizes.pop(0)
    name = world.random.choice(["send", "write", "sendmsg", "sendto"])
    if world.random.random() < 0.1:
        refused = world.enter(end.pid, name, end.fd, length=size, flags="MSG_DONTWAIT")
        world.leave(refused, -1, "EAGAIN", end.out.src, end.out.dst)
    asked = size + world.random.choice([0, 0, 0, 100])  # the kernel may take less than was asked
    call = world.enter(end.pid, name, end.fd, length=asked, flags="0")
    world.leave(call, size, None, end.out.src, end.out.dst)
    end.out.marks += [call.id] * size


def _transmit(world: World, end: End, plan: Plan) -> None:
    """One segment of what is buffered, or two in the wrong order; FIN and all else is later."""
    flow = end.out
    flow.acked = max(flow.acked, end.into.sent)
    spans = [_span(world, flow)]
    if plan.unruly and world.random.random() < 0.15 and flow.sent < len(flow.marks):
        spans.append(_span(world, flow))
        spans.reverse()
    carriers = {}
    for first, length in spans:
        carriers[first] = (world.emit(flow, end.into, "PA", first, length), length)
    for first in sorted(carriers):
        segment, length = carriers[first]
        flow.carriers += [segment] * length
    if world.random.random() < 0.5:
        end.into.acked = flow.sent
        world.emit(end.into, flow, "A", end.into.sent)


def _span(world: World, flow: Flow) -> tuple[int, int]:
    first = flow.sent
    most = min(MSS, len(flow.marks) - first)
    length = world.random.choice([most, world.random.randint(1, most)])
    flow.sent += length
    return first, length


def _repeat(world: World, end: End, plan: Plan) -> None:
    """Bytes that were shown before, cut at other places."""
    flow = end.out
    first = world.random.randrange(flow.sent)
    length = min(world.random.randint(1, MSS), flow.sent - first)
    if length == 1 and first == flow.sent - 1:
        return  # looks like a keepalive probe of the old kind, even to Wireshark
    world.truth.repeats.add(world.emit(flow, end.into, "PA", first, length))
    end.into.acked = flow.sent
    world.emit(end.into, flow, "A", end.into.sent)


def _receive(world: World, end: End, plan: Plan) -> None:
    flow = end.into
    size = world.random.choice([flow.sent - flow.read, world.random.randint(1, flow.sent)])
    size = min(size, flow.sent - flow.read)
    name = world.random.choice(["recv", "read", "recvmsg"])
    call = world.enter(end.pid, name, end.fd, length=size, flags="0")
    world.leave(call, size, None, end.out.src, end.out.dst)
    world.truth.completed_by[call.id] = set(flow.carriers[flow.read : flow.read + size])
    flow.read += size


def _close(world: World, first: End, second: End, plan: Plan) -> Iterator[None]:
    """FIN, EOF, FIN: an orderly close, the forked child's by exit where the plan says so."""
    for end, peer in ((first, second), (second, first)):
        while end.pid in world.blocked:
            yield
        flow = end.out
        if end.pid not in (SERVER_PID, plan.client) and plan.exits:
            call = world.enter(end.pid, "exit", status=0)
            flow.fin_call = call.id
            process = world.processes[end.pid]
            world.processes[end.pid] = replace(process, ended_ns=world.now + 90_000, status=0)
        else:
            flow.fin_call = world.close(end.pid, end.fd)
        flow.acked = end.into.sent + end.into.fin_sent
        fin = world.emit(flow, end.into, "FA", flow.sent)
        flow.fin_sent = True
        end.into.acked = flow.sent + 1
        world.emit(end.into, flow, "A", end.into.sent + end.into.fin_sent)
        yield
        if end is first:
            while peer.pid in world.blocked:
                yield
            eof = world.enter(peer.pid, "recv", peer.fd, length=100, flags="0")
            world.leave(eof, 0, None, peer.out.src, peer.out.dst)
            world.truth.completed_by[eof.id] = {fin}
