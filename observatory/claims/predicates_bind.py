"""UNP 4.4: which address and port a socket gets from bind(), and which it does not."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from observatory.claims.looking import (
    ANY_OUTCOME,
    CannotTell,
    Run,
    first,
    found,
    ids,
    local_of,
    named,
    outcome_of,
    returned_ns,
    socket_of,
    some,
    told_by,
)
from observatory.model import Endpoint, ExplainedCall, parse_address
from observatory.model.claims import Finding

LOOPBACK_NAME = "lo"
LOOPBACK_ADDRESSES = ("127.0.0.1/8", "::1/128")


def port_0_lets_the_kernel_choose(run: Run) -> Finding:
    """bind() to port 0 succeeded, bind() itself told nothing, and getsockname() told a port."""
    asked = [one for one in run.calls("bind", outcome=ANY_OUTCOME) if _wanted(one).port == 0]
    some(asked, "bind() to port 0")
    told: list[tuple[ExplainedCall, ExplainedCall, Endpoint]] = []
    for one in asked:
        later = run.calls("getsockname", socket=socket_of(one))
        name = next((each for each in later if each.call.entered_ns > one.call.entered_ns), None)
        address = told_by(name) if name else None
        if one.call.failed:
            return found(False, f"{named(one)} to port 0 returned {outcome_of(one)}", one)
        if name is not None and isinstance(address, Endpoint):
            told.append((one, name, address))
    some(told, "bind() to port 0 with a getsockname() after it")
    ports = ", ".join(f"{address.port} after {named(one)}" for one, _, address in told)
    seen = f"getsockname() told port {ports}"
    holds = all(address.port != 0 for _, _, address in told)
    return found(holds, seen, *((one, name) for one, name, _ in told))


def wildcard_is_settled_by_the_connection(run: Run) -> Finding:
    """A listener bound to the wildcard keeps it; each accepted socket has the address that its
    client's SYN went to."""
    bound = first(
        (one for one in run.calls("bind") if _wanted(one).is_wildcard), "bind() to the wildcard"
    )
    accepts = some(run.calls("accept4", "accept"), "accept() that succeeded")
    own = run.calls("getsockname", socket=socket_of(bound))
    listener = told_by(first(own, "getsockname() on the listener"))
    told, syns, wrong = [], [], []
    for accept in accepts:
        local = local_of(accept)
        syn = first(
            (s for s in run.segments("SYN") if s.segment.src == accept.call.peer),
            f"SYN of the connection of {named(accept)}",
        )
        syns.append(syn)
        told.append(f"{local.address} from {named(accept)}, to which {named(syn)} went")
        if local.is_wildcard or local != syn.segment.dst:
            wrong.append(accept)
    holds = not wrong and isinstance(listener, Endpoint) and listener.is_wildcard
    seen = f"the listener's name is {listener}; the accepted sockets have {'; '.join(told)}"
    return found(holds, seen, bound, own, accepts, syns)


def address_must_be_of_an_interface(run: Run) -> Finding:
    """bind() to an address that no interface of the host has fails, to one that it has works."""
    networks = [ip_interface(text).network for text in _own_addresses(run)]
    binds = run.calls("bind", outcome=ANY_OUTCOME)
    binds = [one for one in binds if not _wanted(one).is_wildcard]

    def is_own(one: ExplainedCall) -> bool:
        return any(ip_address(_wanted(one).address) in network for network in networks)

    foreign = some([one for one in binds if not is_own(one)], "bind() to an address of nobody here")
    own = some([one for one in binds if is_own(one)], "bind() to an address of this host")
    seen = "; ".join(
        f"{named(one)} to {_wanted(one).address} returned {outcome_of(one)}"
        for one in (*foreign, *own)
    )
    refused = all(one.call.errno == "EADDRNOTAVAIL" for one in foreign)
    return found(refused and all(one.call.succeeded for one in own), seen, foreign, own)


def _own_addresses(run: Run) -> tuple[str, ...]:
    """The addresses of the host that the run took place on: of a lab's nodes, or loopback's."""
    topology = run.analysis.trace.run.topology
    if topology is not None and topology.nodes:
        return tuple(text for node in topology.nodes for _, text in node.addresses)
    if {one.name for one in run.analysis.trace.interfaces} != {LOOPBACK_NAME}:
        raise CannotTell("which addresses the host has is not known")
    return LOOPBACK_ADDRESSES


def taken_address_is_refused(run: Run) -> Finding:
    """bind() to the very address and port of another open socket fails with EADDRINUSE."""
    for holder in run.calls("bind"):
        rivals = [
            one
            for one in run.calls("bind", outcome=ANY_OUTCOME)
            if one.socket != holder.socket
            and _wanted(one) == holder.call.local
            and one.call.entered_ns > returned_ns(holder)
            and not _closed_by(run, holder, one.call.entered_ns)
        ]
        if rivals:
            seen = f"{named(holder)} took {holder.call.local}; " + "; ".join(
                f"{named(one)} to it returned {outcome_of(one)}" for one in rivals
            )
            in_use = all(one.call.errno == "EADDRINUSE" for one in rivals)
            return found(in_use, seen, holder, rivals)
    raise CannotTell("the run shows no bind() to an address that another socket had")


def _closed_by(run: Run, holder: ExplainedCall, time_ns: int) -> bool:
    socket = next(one for one in run.analysis.sockets if one.id == holder.socket)
    calls = {one.call.id: one for one in run.analysis.calls}
    end = calls.get(socket.closed_by or 0)
    return end is not None and end.call.entered_ns < time_ns


def _wanted(one: ExplainedCall) -> Endpoint:
    """The address that bind() was given; one that is no IP address is nobody's."""
    address = parse_address(one.call.args.get("address"))
    if not isinstance(address, Endpoint):
        raise CannotTell(f"{ids([one])} binds no IP address")
    return address
