"""Random conversations between processes, with the truth about every byte of them.

A world plays plans: connections interleaved, servers that fork, sends cut and joined into
segments at random places, segments repeated, delayed and overtaken, numbers that wrap, ports used
again. Each byte that a send accepts carries that send's mark, so that for every segment it is
known whose bytes it shows; the analyzer, which sees no marks, has to find it by the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from observatory.model import Endpoint, Process, Trace
from tests.random_endings import END
from tests.random_world import MSS, SERVER_PID, End, Flow, Plan, Truth, World

__all__ = ["Plan", "Truth", "perform"]


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
    yield from END[plan.ending](world, first, second, plan)
    world.free_ports.add(port)


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
