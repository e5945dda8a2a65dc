"""UDP datagrams, ICMP messages and raw sockets: what sent them, and which call got them.

A datagram keeps its boundaries and its order on one host, so sends and datagrams of one local
port pair up in order, each with its destination and length; so do datagrams and receives.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from observatory.analysis.arrivals import Arrivals
from observatory.analysis.callsets import RECEIVING, SENDING
from observatory.analysis.descriptors import Descriptors
from observatory.analysis.lives import SocketLife
from observatory.analysis.mail import Datagram, Mail, duplicated
from observatory.analysis.matching import FOREVER, SLACK_NS, local_endpoint
from observatory.analysis.scene import Findings, by_call, during, reply_to, unknown
from observatory.analysis.udp_ports import Moment, goes_to, learn_ports
from observatory.analysis.wire import Wire
from observatory.model import (
    Call,
    Cause,
    CauseKind,
    Confidence,
    Endpoint,
    Protocol,
    Segment,
    parse_address,
)

# ICMPv6 messages by which hosts keep house (RFC 4861, RFC 2710, RFC 3810).
_HOUSEKEEPING = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})
_ICMP = frozenset({Protocol.ICMP, Protocol.ICMPV6})
_ECHO_REPLIES = {(Protocol.ICMP, 0): 8, (Protocol.ICMPV6, 129): 128}
_ECHO_REQUESTS = {(Protocol.ICMP, 8), (Protocol.ICMPV6, 128)}


def attribute_raw(
    descriptors: Descriptors, segments: Iterable[Segment], findings: Findings
) -> None:
    """Give crafted packets to the raw-socket send that made them: the first packet inside the
    call that goes where it was sent and is as long as what was sent."""
    sends = [
        call
        for life in descriptors.sockets.values()
        if life.type == "SOCK_RAW" or life.family == "AF_PACKET"
        for call in life.calls
        if call.name in SENDING and call.succeeded
    ]
    waiting = deque(sorted(sends, key=lambda call: call.entered_ns))
    for segment in segments if sends else ():
        while waiting and (waiting[0].returned_ns or 0) + SLACK_NS < segment.time_ns:
            waiting.popleft()
        for call in waiting:
            if call.entered_ns > segment.time_ns:
                break
            if during(call, segment.time_ns) and _is_crafted(call, segment):
                findings.causes[segment.id] = by_call(
                    call, "crafted, sent through a raw socket", Confidence.CERTAIN
                )
                findings.sent.setdefault(call.id, []).append(segment.id)
                waiting.remove(call)
                break


def _is_crafted(call: Call, segment: Segment) -> bool:
    to = parse_address(call.args.get("address"))
    if isinstance(to, Endpoint) and to.address != segment.dst.address:
        return False
    if segment.frame is None:
        return True
    length = segment.frame.original_length
    return call.args.get("length") in (length, length - 14)


def attribute_udp(
    descriptors: Descriptors,
    segments: Sequence[Segment],
    findings: Findings,
    arrivals: Arrivals,
    *,
    lossy: bool,
) -> Mail:
    """Pair UDP datagrams with the sends and receives of the trace's UDP sockets: with the sends
    as they left, with the receives as they came."""
    mail = Mail()
    lives = [life for life in descriptors.sockets.values() if life.is_udp]
    if not lossy:
        learn_ports(((life, _moments(life)) for life in lives), segments)
    sends = _sends_by_port(lives)
    inbox: dict[int, list[Datagram]] = defaultdict(list)
    for segment in segments:
        if segment.protocol is Protocol.UDP and segment.id not in findings.causes:
            came = Datagram(segment, arrivals.of(segment))
            findings.causes[segment.id] = duplicated(
                came, inbox[segment.dst.port], mail
            ) or _sender(segment, sends, mail, findings)
            inbox[segment.dst.port].append(came)
    for waiting in inbox.values():
        waiting.sort(key=lambda one: one.came_ns)
    _deliver(lives, inbox, mail)
    return mail


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A datagram sent or received by a call of a UDP socket (sendmmsg() and recvmmsg() take many)
    with the names that the socket had at that moment."""

    call: Call
    socket: int
    local: Endpoint | None
    peer: Endpoint | None
    length: int


def _exchanges(life: SocketLife, names: frozenset[str]) -> Iterator[_Exchange]:
    """The socket's sends or receives that worked. Its port is known from any call that told
    it; its peer is what connect() set last, or the address in the call itself."""
    told = local_endpoint(life, FOREVER)
    connected: Endpoint | None = None
    for call in life.calls:
        address = parse_address(call.args.get("address"))
        named = address.on_the_wire() if isinstance(address, Endpoint) else None
        if call.name == "connect" and call.succeeded:
            connected = named
        elif call.name in names and call.succeeded:
            own = call.local.on_the_wire() if isinstance(call.local, Endpoint) else told
            for peer, length in _messages(call, named):
                yield _Exchange(call, life.id, own, peer or connected, length)


def _messages(call: Call, named: Endpoint | None) -> Iterator[tuple[Endpoint | None, int]]:
    """The address and the length of each datagram that a call sent or received."""
    taken, addresses = call.args.get("taken"), call.args.get("addresses")
    if call.name not in ("sendmmsg", "recvmmsg") or not isinstance(taken, (tuple, list)):
        yield named, call.result or 0
        return
    each = addresses if isinstance(addresses, (tuple, list)) else ()
    for index, length in enumerate(taken[: call.result or 0]):
        address = parse_address(each[index]) if index < len(each) else None
        peer = address.on_the_wire() if isinstance(address, Endpoint) else None
        yield peer, length if isinstance(length, int) else 0


def _moments(life: SocketLife) -> list[Moment]:
    """What a socket sent and received, for finding its port."""
    sent = [
        Moment(True, one.call.entered_ns, one.call.returned_ns or FOREVER, one.peer, one.length)
        for one in _exchanges(life, SENDING)
    ]
    received = [
        Moment(False, 0, one.call.returned_ns or FOREVER, one.peer, one.length)
        for one in _exchanges(life, RECEIVING)
    ]
    return [*sent, *received]


def _sends_by_port(lives: list[SocketLife]) -> dict[int, list[_Exchange]]:
    """Newest first, so that the oldest is taken from the end."""
    sends: dict[int, list[_Exchange]] = defaultdict(list)
    for life in lives:
        for send in _exchanges(life, SENDING):
            sends[send.local.port if send.local else 0].append(send)
    for waiting in sends.values():
        waiting.sort(key=lambda send: send.call.entered_ns, reverse=True)
    return sends


def _sender(
    segment: Segment, sends: Mapping[int, list[_Exchange]], mail: Mail, findings: Findings
) -> Cause:
    what = f"datagram, {segment.length} bytes"
    for port in (segment.src.port, 0):
        waiting = sends.get(port, [])
        for index in range(len(waiting) - 1, -1, -1):
            send = waiting[index]
            if send.call.entered_ns > segment.time_ns:
                break
            if send.length == segment.length and goes_to(send.peer, segment.dst):
                del waiting[index]
                mail.sender[segment.id] = send.socket
                findings.sent.setdefault(send.call.id, []).append(segment.id)
                sure = Confidence.CERTAIN if port else Confidence.LIKELY
                return by_call(send.call, what, sure)
    if sends.get(segment.src.port):
        return unknown(f"{what}: no recorded call of this socket accounts for it")
    return by_call(None, f"{what} (the call was not recorded)", Confidence.LIKELY)


def _deliver(lives: list[SocketLife], inbox: Mapping[int, list[Datagram]], mail: Mail) -> None:
    """Each receive takes the oldest datagram that it may: to its port, from its sender."""
    reads = [read for life in lives for read in _exchanges(life, RECEIVING)]
    for read in sorted(reads, key=lambda one: one.call.returned_ns or 0):
        waiting = inbox.get(read.local.port, []) if read.local else []
        datagram = next((s for s in waiting if _may_return(read, s)), None)
        if datagram is None:
            continue
        mail.received.setdefault(read.call.id, []).append(datagram.segment.id)
        mail.receiver[datagram.segment.id] = read.socket
        if "MSG_PEEK" not in str(read.call.args.get("flags")):
            waiting.remove(datagram)
    for life in lives:
        local = local_endpoint(life, FOREVER)
        for one in inbox.get(local.port, []) if local else ():
            mail.receiver.setdefault(one.segment.id, life.id)


def _may_return(read: _Exchange, datagram: Datagram) -> bool:
    call, segment = read.call, datagram.segment
    if datagram.came_ns > (call.returned_ns or FOREVER):
        return False
    if not goes_to(read.peer, segment.src):
        return False
    asked = call.args.get("length")
    whole = read.length == segment.length
    cut = isinstance(asked, int) and read.length == asked and segment.length > asked
    return whole or cut


def attribute_icmp(segments: Sequence[Segment], wire: Wire, mail: Mail, findings: Findings) -> None:
    """ICMP errors answer the segment they quote; echo replies their request."""
    if not any(s.icmp is not None or s.protocol in _ICMP for s in segments):
        return
    sent: dict[tuple[Endpoint, Endpoint], list[Segment]] = defaultdict(list)
    echoes: dict[tuple[str, str], Segment] = {}
    for segment in segments:
        if segment.protocol in (Protocol.TCP, Protocol.UDP):
            sent[(segment.src, segment.dst)].append(segment)
        else:
            # A message that a raw socket made has its cause; what it quotes matters all the same.
            cause = _icmp_cause(segment, sent, echoes, wire, mail)
            findings.causes.setdefault(segment.id, cause)


def _icmp_cause(
    segment: Segment,
    sent: Mapping[tuple[Endpoint, Endpoint], list[Segment]],
    echoes: dict[tuple[str, str], Segment],
    wire: Wire,
    mail: Mail,
) -> Cause:
    icmp = segment.icmp
    if icmp is None:
        return unknown("an ICMP message that could not be read")
    hosts = (segment.src.address, segment.dst.address)
    key = (segment.protocol, icmp.type)
    if icmp.quoted_src is not None and icmp.quoted_dst is not None:
        return _icmp_error(segment, sent, wire, mail)
    if key in _ECHO_REQUESTS:
        echoes[hosts] = segment
        return by_call(None, "echo request (the call was not recorded)", Confidence.LIKELY)
    if key in _ECHO_REPLIES:
        request = echoes.get((hosts[1], hosts[0]))
        answered = request.id if request else None
        return Cause(CauseKind.REPLY, "echo reply", Confidence.LIKELY, segment=answered)
    if segment.protocol is Protocol.ICMPV6 and icmp.type in _HOUSEKEEPING:
        return Cause(CauseKind.TIMER, "the kernel keeps house: no call", Confidence.LIKELY)
    return unknown(f"ICMP type {icmp.type} code {icmp.code}")


def _icmp_error(
    segment: Segment,
    sent: Mapping[tuple[Endpoint, Endpoint], list[Segment]],
    wire: Wire,
    mail: Mail,
) -> Cause:
    """The answer to the segment that it quotes: the one whose bytes these are, or the newest of
    several that they fit."""
    icmp = segment.icmp
    assert icmp is not None and icmp.quoted_src is not None and icmp.quoted_dst is not None
    same = sent.get((icmp.quoted_src, icmp.quoted_dst), [])
    reason = f"ICMP {describe_icmp(segment)}"
    if not same:
        return reply_to(None, f"{reason}, about a packet not seen", Confidence.LIKELY)
    if icmp.quoted_seq is not None:
        same = [one for one in same if one.seq == icmp.quoted_seq] or same[-1:]
    same = [one for one in same if one.id == icmp.quoted] or same
    quoted = same[-1]
    sure = Confidence.LIKELY if len(same) > 1 else Confidence.CERTAIN
    sighting = wire.sightings.get(quoted.id)
    mail.quotes[segment.id] = quoted.id
    socket = mail.sender.get(quoted.id)
    if sighting is not None:
        socket = sighting.half.socket
    if socket is not None:
        mail.errors.setdefault(socket, []).append(segment)
    return Cause(CauseKind.REPLY, reason, sure, segment=quoted.id)


_V4_UNREACHABLE = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "network administratively prohibited",
    10: "host administratively prohibited",
    13: "communication administratively prohibited",
}
_V6_UNREACHABLE = {
    0: "no route to destination",
    1: "administratively prohibited",
    2: "beyond scope of source address",
    3: "address unreachable",
    4: "port unreachable",
    5: "source address failed policy",
    6: "reject route to destination",
}


def describe_icmp(segment: Segment) -> str:
    """What an ICMP error says, in words (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3)."""
    icmp = segment.icmp
    if icmp is None:
        return "message"
    if segment.protocol is Protocol.ICMP and icmp.type == 3:
        return _V4_UNREACHABLE.get(icmp.code, f"destination unreachable, code {icmp.code}")
    if segment.protocol is Protocol.ICMPV6 and icmp.type == 1:
        return _V6_UNREACHABLE.get(icmp.code, f"destination unreachable, code {icmp.code}")
    exceeded = {(Protocol.ICMP, 11), (Protocol.ICMPV6, 3)}
    if (segment.protocol, icmp.type) in exceeded:
        return "time exceeded"
    if segment.protocol is Protocol.ICMPV6 and icmp.type == 2:
        return "packet too big"
    return f"type {icmp.type} code {icmp.code}"
