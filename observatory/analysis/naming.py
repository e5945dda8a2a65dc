"""A socket's own endpoint, as its calls told it."""

from __future__ import annotations

from observatory.analysis.callsets import ACCEPTING
from observatory.analysis.lives import SocketLife
from observatory.model import Call, Endpoint, parse_address

FOREVER = 1 << 63


def local_endpoint(life: SocketLife, before_ns: int) -> Endpoint | None:
    """The socket's own endpoint as its calls told it up to a time, as packets show it."""
    _read(life)
    return life.told.at(before_ns)


def told_between(life: SocketLife, first_ns: int, last_ns: int) -> Endpoint | None:
    """What was told first after a time and before another."""
    _read(life)
    return life.told.between(first_ns, last_ns)


def learn(life: SocketLife, time_ns: int, endpoint: Endpoint) -> None:
    """Enter an endpoint that no call told: packets showed whose it must be."""
    _read(life)
    life.told.learn(time_ns, endpoint.on_the_wire())


def _read(life: SocketLife) -> None:
    told = life.told
    for call in life.calls[told.calls :]:
        address = _told_by(life, call)
        if isinstance(address, Endpoint) and address.port:
            told.tell(call.entered_ns, address.on_the_wire())
    told.calls = len(life.calls)


def _told_by(life: SocketLife, call: Call) -> object:
    if call.name in ACCEPTING and life.created_by != call.id:
        return None  # accept() tells the new socket's names, not the listener's
    if call.local is not None:
        return call.local
    if call.name in ("getsockname", "bind") and not call.failed:
        return parse_address(call.args.get("address"))
    return None
