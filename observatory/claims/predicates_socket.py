"""UNP 4.2: socket(), its families and its protocols; and sockets without a wire (15.6)."""

from __future__ import annotations

from observatory.claims.looking import (
    CannotTell,
    Run,
    first,
    found,
    ids,
    named,
    returned_ns,
    some,
    span,
    told_by,
)
from observatory.model import Address, ExplainedCall, UnixAddress
from observatory.model.claims import Finding

# linux/socket.h: the numbers are part of the kernel's ABI.
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
PROTOCOLS = {6: "TCP", 17: "UDP"}


def descriptor_is_not_negative(run: Run) -> Finding:
    """Every socket() that succeeded returned a number of 0 or more, every other one -1."""
    made = some(run.calls("socket"), "socket() that succeeded")
    failed = run.calls("socket", outcome="failed")
    wrong = [one for one in made if one.call.result is None or one.call.result < 0]
    wrong += [one for one in failed if one.call.result not in (-1, None)]
    numbers = sorted({str(one.call.result) for one in made}, key=int)
    seen = f"{len(made)} calls ({ids(made)}) returned {', '.join(numbers)}"
    if failed:
        seen += f"; {len(failed)} that failed ({ids(failed)}) returned -1"
    return found(not wrong, seen, made, failed)


def socket_sends_nothing(run: Run) -> Finding:
    """Nothing was on the wire between a socket() and the next call of its thread."""
    run.must_have_captured()
    made = some(run.calls("socket"), "socket() that succeeded")
    loud = [segment for one in made for segment in run.during(one)]
    if loud:
        return found(False, f"{ids(loud)} appeared during {ids(made)}", made, loud)
    start = run.analysis.segments[0]
    seen = f"no segment during {ids(made)}; the first of the run is {named(start)}"
    return found(True, f"{seen} at {run.when(start.segment.time_ns)}", made, [start])


def families_are_equal(run: Run) -> Finding:
    """The number that socket() took (PF_) is the one that SO_DOMAIN tells and that stands in the
    addresses (AF_) which the socket is bound to and tells."""
    checked: list[ExplainedCall] = []
    wrong: list[ExplainedCall] = []
    numbers: dict[str, int] = {}
    for made in run.calls("socket"):
        family = str(made.call.args.get("family"))
        domain = _option(run, made, "SO_DOMAIN")
        named_by = run.calls("getsockname", socket=made.socket)
        if domain is None or not named_by or family not in FAMILIES:
            continue
        numbers[family] = _number(domain)
        checked += [made, domain, *named_by]
        same = FAMILIES[family] == _number(domain)
        if not same or any(_family(told_by(one)) != family for one in named_by):
            wrong += [made, domain, *named_by]
    some(checked, "a socket asked for its domain and its name")
    told = ", ".join(f"{family[3:]} {number}" for family, number in numbers.items())
    if wrong:
        return found(False, f"the numbers are not the same in {ids(wrong)}", wrong)
    return found(
        True, f"socket(), SO_DOMAIN and the addresses bound and told agree: {told}", checked
    )


def protocol_0_is_the_default(run: Run) -> Finding:
    """A socket made with protocol 0 has the same SO_PROTOCOL as one of its family and type whose
    protocol was named."""
    by_name = {
        _kind(made): option
        for made in run.calls("socket")
        if made.call.args.get("protocol") and (option := _option(run, made, "SO_PROTOCOL"))
    }
    asked = [made for made in run.calls("socket", outcome="any") if _kind(made) in by_name]
    asked = [made for made in asked if made.call.args.get("protocol") == 0]
    some(asked, "sockets made with protocol 0 and by name")
    wrong, told = [], []
    for made in asked:
        chosen = _option(run, made, "SO_PROTOCOL")
        if chosen is None or _number(chosen) != _number(by_name[_kind(made)]):
            wrong.append(made)
        else:
            number = _number(chosen)
            told.append(f"{' '.join(_kind(made))}: {number} ({PROTOCOLS.get(number, 'unknown')})")
    if wrong:
        return found(False, f"{ids(wrong)} got no protocol, or another than by name", wrong)
    return found(True, f"SO_PROTOCOL after protocol 0: {', '.join(told)}", asked, by_name.values())


def unix_stream_shows_the_same_calls(run: Run) -> Finding:
    """Of one conversation over TCP and one over a Unix stream, the calls and their outcomes are
    the same, and only the first has packets."""
    run.must_have_captured()
    over_tcp = _conversation(run, "AF_INET")
    over_unix = _conversation(run, "AF_UNIX")
    same = [_outline(one) for one in over_tcp] == [_outline(one) for one in over_unix]
    start = min(one.call.entered_ns for one in over_unix)
    ends = {end for one in over_tcp for end in (one.call.local, one.call.peer) if end is not None}
    carried = [s for s in run.segments() if {s.segment.src, s.segment.dst} <= ends]
    loud = [s for s in run.between(start, None) if s not in carried]
    quiet = not loud
    seen = f"{len(over_tcp)} calls over TCP with {len(carried)} segments ({ids(carried, 3)}); "
    seen += f"then {len(over_unix)} calls over the Unix stream, "
    seen += "the same ones with the same outcomes, " if same else "and not the same ones, "
    seen += "with no packet" if quiet else f"with packets: {ids(loud)}"
    return found(same and quiet, seen, over_tcp, over_unix, carried[:3], loud)


def udp_connect_sends_nothing(run: Run) -> Finding:
    """Nothing on the wire during connect() on a datagram socket; its first send() is captured."""
    datagrams = {one.id for one in run.analysis.sockets if "SOCK_DGRAM" in one.type}
    connects = [one for one in run.calls("connect") if one.socket in datagrams]
    connect = first(connects, "connect() on a UDP socket that succeeded")
    loud = run.during(connect)
    if loud:
        return found(False, f"{ids(loud)} during {named(connect)}", connect, loud)
    sent = first(run.segments("UDP"), "datagram, so that the capture is known to see them")
    seen = f"{named(connect)} returned after {span(returned_ns(connect) - connect.call.entered_ns)}"
    seen += f", no packet in it; the first is {named(sent)} at {run.when(sent.segment.time_ns)}"
    return found(True, seen, connect, sent)


def _option(run: Run, made: ExplainedCall, option: str) -> ExplainedCall | None:
    asked = run.calls("getsockopt", socket=made.socket) if made.socket is not None else []
    return next((one for one in asked if one.call.args.get("option") == option), None)


def _number(one: ExplainedCall) -> int:
    value = one.call.args.get("value")
    if not isinstance(value, int):
        raise CannotTell(f"{named(one)} told no number")
    return value


def _family(address: Address | None) -> str:
    if isinstance(address, UnixAddress):
        return "AF_UNIX"
    return "" if address is None else "AF_INET6" if ":" in address.address else "AF_INET"


def _kind(made: ExplainedCall) -> tuple[str, str]:
    kind = str(made.call.args.get("type")).partition("|")[0]
    return str(made.call.args.get("family")), kind


def _conversation(run: Run, family: str) -> list[ExplainedCall]:
    """All calls on sockets of a family that came to something, in the order of roles and time."""
    sockets = {one.id for one in run.analysis.sockets if one.family == family}
    calls = [one for one in run.analysis.calls if one.socket in sockets and one.call.name != "exit"]
    some(calls, f"calls on {family} sockets")
    return sorted(calls, key=lambda one: (run.role(one), one.call.id))


def _outline(one: ExplainedCall) -> tuple[str, str | None, int | None]:
    """What is the same whatever carries the bytes: the call, its errno, its count of bytes."""
    counts = one.call.name in ("send", "recv")
    return one.call.name, one.call.errno, one.call.result if counts else None
