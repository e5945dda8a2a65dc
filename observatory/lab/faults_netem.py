"""netem, the kernel's own way to delay and double packets, where the kernel has it.

It knows no packets but all that leave an interface, and no counting: what a fault asks beyond
that is the relay's (``lab.relay``). Some kernels, of containers and small machines, have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from observatory.errors import ScenarioFailed
from observatory.lab.faults import Carried, Delay, Duplicate

if TYPE_CHECKING:
    from observatory.lab.network import Network

NAME = "netem"
_ROOT = 1 << 16  # handle 1:0
_LIMIT = 100_000  # packets that may be on their way
_MICROSECOND = 1_000


def parameters(fault: Carried) -> Mapping[str, Any] | None:
    """What pyroute2's netem is to be told, times in microseconds; None if it cannot do this."""
    if not fault.match.whole_path or fault.first or fault.every:
        return None
    match fault:
        case Delay(delay_ns=delay) if delay % _MICROSECOND == 0:
            return {"delay": delay // _MICROSECOND, "limit": _LIMIT}
        case Duplicate(gap_ns=0):
            return {"duplicate": 100, "limit": _LIMIT}
    return None


def available(network: Network) -> bool:
    """True if this kernel has netem: found by trying it on a loopback of the lab."""
    from pyroute2.netlink.exceptions import NetlinkError

    routes = network.routes(network.plan.names[0])
    try:
        routes.tc("add", "netem", index=1, handle=_ROOT, delay=1)
    except NetlinkError:
        return False
    routes.tc("del", index=1, handle=_ROOT)
    return True


def put_netem(fault: Carried, network: Network) -> Callable[[], int | None]:
    """Put ``fault`` in force where the packets leave; what mends it. netem tells no count.

    Raises ScenarioFailed where an interface has one already.
    """
    from pyroute2.netlink.exceptions import NetlinkError

    wanted = parameters(fault)
    assert wanted is not None
    mended: list[Callable[[], object]] = []

    def mend() -> int | None:
        for each in mended:
            each()
        return None  # it tells no count

    for sender, receiver in (fault.link, fault.link[::-1]):
        if fault.towards not in ("", receiver):
            continue
        routes, device = network.routes(sender), network.interface(sender, receiver)
        index = network.index(sender, device)
        try:
            routes.tc("add", "netem", index=index, handle=_ROOT, **wanted)
        except NetlinkError as refusal:
            mend()
            raise ScenarioFailed(
                f"the kernel did not take it: {fault.sentence}: {refusal}. An interface has one "
                "netem; where a link is to have several faults, have Relayed(link) among the first."
            ) from None
        network.carry(sender, device, NAME)
        mended.append(partial(_take_away, network, sender, device, index))
    return mend


def _take_away(network: Network, host: str, device: str, index: int) -> None:
    network.routes(host).tc("del", index=index, handle=_ROOT)
    network.carry(host, device, "")
