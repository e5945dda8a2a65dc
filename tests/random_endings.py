"""How random connections end: each way from its first call to its last segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tests.random_world import SERVER_PID, End, Plan, World

Ending = Callable[[World, End, End, Plan], Iterator[None]]


def _orderly(world: World, first: End, second: End, plan: Plan) -> Iterator[None]:
    """FIN, EOF, FIN; the forked child's by exit where the plan says so."""
    yield from world.until_free(first)
    fin = _fin(world, first, _give_up(world, first, plan))
    yield
    yield from world.until_free(second)
    _eof(world, second, fin)
    yield from world.until_free(second)
    _fin(world, second, _give_up(world, second, plan))


def _half_closed(world: World, first: End, second: End, plan: Plan) -> Iterator[None]:
    """The first FIN is a shutdown's; the close after the peer's FIN sends nothing."""
    yield from world.until_free(first)
    fin = _fin(world, first, world.call(first.pid, "shutdown", first.fd, 0, how="SHUT_WR"))
    yield
    yield from world.until_free(second)
    _eof(world, second, fin)
    last = _fin(world, second, _give_up(world, second, plan))
    yield
    yield from world.until_free(first)
    _eof(world, first, last)
    world.close(first.pid, first.fd)


def _aborted(world: World, first: End, second: End, plan: Plan) -> Iterator[None]:
    """SO_LINGER with 0: RST, which the peer's next receive is told."""
    yield from world.until_free(first)
    world.call(
        first.pid, "setsockopt", first.fd, 0, level="SOL_SOCKET", option="SO_LINGER", value=(1, 0)
    )
    call = world.close(first.pid, first.fd)
    first.out.acked = first.into.sent
    reset = world.emit(first.out, first.into, "RA", first.out.sent)
    world.truth.owners[reset] = [call]
    yield
    yield from world.until_free(second)
    told = world.enter(second.pid, "recv", second.fd, length=100, flags="0")
    world.leave(told, -1, "ECONNRESET")
    world.truth.completed_by[told.id] = {reset}
    world.close(second.pid, second.fd)


END: Mapping[str, Ending] = {"close": _orderly, "shutdown": _half_closed, "abort": _aborted}


def _give_up(world: World, end: End, plan: Plan) -> int:
    """Close the descriptor, or leave that to exit()."""
    if end.pid in (SERVER_PID, plan.client) or not plan.exits:
        return world.close(end.pid, end.fd)
    call = world.enter(end.pid, "exit", status=0)
    process = world.processes[end.pid]
    world.processes[end.pid] = replace(process, ended_ns=world.now + 90_000, status=0)
    return call.id


def _fin(world: World, end: End, call: int) -> int:
    """The FIN that ``call`` sends, and its ACK."""
    flow = end.out
    flow.fin_call = call
    flow.acked = end.into.sent + end.into.fin_sent
    fin = world.emit(flow, end.into, "FA", flow.sent)
    flow.fin_sent = True
    end.into.acked = flow.sent + 1
    world.emit(end.into, flow, "A", end.into.sent + end.into.fin_sent)
    return fin


def _eof(world: World, end: End, fin: int) -> None:
    call = world.enter(end.pid, "recv", end.fd, length=100, flags="0")
    world.leave(call, 0, None, end.out.src, end.out.dst)
    world.truth.completed_by[call.id] = {fin}
