"""Records of the kernel's tracepoints to kernel events, in the observatory's words.

The words of each event's ``detail`` are listed in docs/run-file.md. Endpoints are the socket's own
(``src``) and its peer's (``dst``) as packets show them; None where the socket had none yet.
Sources: include/trace/events/sock.h, tcp.h, skb.h and net.h of the kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from observatory.codec.errnos import ERRNOS
from observatory.codec.ring_pages import ORDER
from observatory.codec.tracepoint_formats import (
    TCP_STATES,
    Format,
    Values,
    numeric,
    raw,
    text,
)
from observatory.model import Endpoint, KernelEvent
from observatory.model.calls import Argument
from observatory.model.quick import quick

STATE_CHANGE = "sock:inet_sock_set_state"
ERROR_REPORT = "sock:inet_sk_error_report"
SEND_RESET = "tcp:tcp_send_reset"
RECEIVE_RESET = "tcp:tcp_receive_reset"
RETRANSMIT = "tcp:tcp_retransmit_skb"
RETRANSMIT_SYNACK = "tcp:tcp_retransmit_synack"
DESTROY = "tcp:tcp_destroy_sock"
DROP = "skb:kfree_skb"
QUEUE = "net:net_dev_queue"

TELLS: Mapping[str, str] = {
    STATE_CHANGE: "which states the sockets went through",
    ERROR_REPORT: "which errors were reported to the sockets",
    SEND_RESET: "that the kernel sent an RST, and why",
    f"{SEND_RESET}.reason": "why each RST was sent, and any RST of a port where nobody listens",
    RECEIVE_RESET: "which socket each RST ended",
    RETRANSMIT: "which segments the kernel sent again",
    RETRANSMIT_SYNACK: "which SYN-ACKs the kernel sent again",
    DESTROY: "when each socket was gone",
    DROP: "which packets the kernel dropped, and why",
    f"{DROP}.reason": "why each packet was dropped",
    f"{DROP}.rx_sk": "which socket a dropped packet was for",
    QUEUE: "which segment a dropped packet was",
}
"""What is asked of the kernel (an event, or a field of one), and what is not known without it."""

RFC_STATES: Mapping[str, str] = {
    "TCP_SYN_SENT": "SYN-SENT",
    "TCP_SYN_RECV": "SYN-RECEIVED",
    "TCP_NEW_SYN_RECV": "SYN-RECEIVED",
    "TCP_FIN_WAIT1": "FIN-WAIT-1",
    "TCP_FIN_WAIT2": "FIN-WAIT-2",
    "TCP_TIME_WAIT": "TIME-WAIT",
    "TCP_CLOSE": "CLOSED",
    "TCP_CLOSE_WAIT": "CLOSE-WAIT",
    "TCP_LAST_ACK": "LAST-ACK",
}
"""The kernel's names where RFC 9293's are others."""

_STATE_NAMES = {number: name for name, number in TCP_STATES.items()}
_ERRNO_NAMES = {number: name for name, (number, _) in reversed(ERRNOS.items())}
_V4_MAPPED = bytes(10) + b"\xff\xff"

Identity = Callable[[int], str]
"""A name for a kernel address, the same for the same address, which does not give it away."""
Details = Mapping[str, Argument]


def in_hexadecimal(address: int) -> str:
    """An address as itself, for where nobody must be kept from knowing it."""
    return f"{address:x}" if address else ""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Turns records into events by the formats of the kernel that wrote them."""

    formats: Mapping[int, Format]
    identity: Identity = in_hexadecimal

    @classmethod
    def of(cls, formats: Iterable[Format], identity: Identity = in_hexadecimal) -> Decoder:
        """A decoder of these events; records of others are left out."""
        return cls({each.id: each for each in formats}, identity)

    def event(self, time_ns: int, record: bytes) -> KernelEvent | None:
        """The event (its id is 0), None if the record is of an event without a format.

        Raises BadTracepoint if the record is shorter than its format.
        """
        layout = self.formats.get(int.from_bytes(record[:2], ORDER))
        if layout is None:
            return None
        values = layout.values(record)
        src, dst = endpoints(values)
        told = DETAILS.get(layout.event)
        return _event(
            0,
            time_ns,
            layout.event,
            numeric(values, "common_pid"),
            src,
            dst,
            {} if told is None else told(layout, values, self.identity),
        )

    def events(self, records: Iterable[tuple[int, bytes]]) -> Iterator[KernelEvent]:
        """The events of ``records``, of which each is its time and its bytes."""
        for time_ns, record in records:
            event = self.event(time_ns, record)
            if event is not None:
                yield event


_event = quick(KernelEvent)


def merge(events: Iterable[KernelEvent]) -> list[KernelEvent]:
    """Events of all processors in the order of time."""
    return sorted(events, key=attrgetter("time_ns"))


def endpoints(values: Values) -> tuple[Endpoint | None, Endpoint | None]:
    """Local and remote. Newer resets have two socket addresses, all others ports beside the
    addresses of both families."""
    saddr = raw(values, "saddr")
    if not saddr:
        return None, None
    if len(saddr) >= _SOCKADDR_IN6:
        return _socket_address(saddr), _socket_address(raw(values, "daddr"))
    return (
        _endpoint(saddr, raw(values, "saddr_v6"), numeric(values, "sport")),
        _endpoint(
            raw(values, "daddr"),
            raw(values, "daddr_v6"),
            numeric(values, "dport"),
        ),
    )


_SOCKADDR_IN6 = 28


def _endpoint(v4: bytes, v6: bytes, port: int) -> Endpoint | None:
    """The IPv6 address stands in its field even for IPv4, then mapped (RFC 4291 2.5.5.2)."""
    if len(v6) == 16 and any(v6) and not v6.startswith(_V4_MAPPED):
        return Endpoint(socket.inet_ntop(socket.AF_INET6, v6), port)
    if len(v6) == 16 and not any(v4) and any(v6[12:]):
        v4 = v6[12:]
    if len(v4) != 4 or not (any(v4) or port):
        return None
    if len(v6) == 16 and not any(v6) and not any(v4):
        return Endpoint("::", port)
    return Endpoint(socket.inet_ntop(socket.AF_INET, v4), port)


def _socket_address(raw: bytes) -> Endpoint | None:
    """A struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7))."""
    family = int.from_bytes(raw[:2], ORDER)
    port = int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET:
        address, mapped = raw[4:8], b""
    elif family == socket.AF_INET6:
        address, mapped = bytes(4), raw[8:24]
    else:
        return None
    return _endpoint(address, mapped, port)


def rfc_state(name: str) -> str:
    """A state of the kernel's as RFC 9293 names it."""
    return RFC_STATES.get(name, name.removeprefix("TCP_").replace("_", "-"))


def _state(layout: Format, values: Values, name: str) -> str:
    """A state's name; nothing where there is no socket to have one (0)."""
    number = numeric(values, name)
    if number == 0:
        return ""
    return rfc_state(layout.symbols.get(name, _STATE_NAMES).get(number, str(number)))


def _state_change(layout: Format, values: Values, identity: Identity) -> Details:
    return {
        "old": _state(layout, values, "oldstate"),
        "new": _state(layout, values, "newstate"),
        "socket": identity(numeric(values, "skaddr")),
        **_family_and_protocol(layout, values),
    }


def _family_and_protocol(layout: Format, values: Values) -> Details:
    number = numeric(values, "protocol")
    return {
        "family": layout.symbol(values, "family"),
        "protocol": PROTOCOLS.get(number)
        or layout.symbol(values, "protocol").removeprefix("IPPROTO_"),
    }


PROTOCOLS: Mapping[int, str] = {
    socket.IPPROTO_ICMP: "ICMP",
    socket.IPPROTO_TCP: "TCP",
    socket.IPPROTO_UDP: "UDP",
    socket.IPPROTO_ICMPV6: "ICMPv6",
}
"""In the words of segments; the kernel's own table has only those of streams."""


def _send_reset(layout: Format, values: Values, identity: Identity) -> Details:
    return {
        "reason": layout.symbol(values, "reason"),
        "state": _state(layout, values, "state"),
        "socket": identity(numeric(values, "skaddr")),
        "packet": identity(numeric(values, "skbaddr")),
    }


def _error_report(layout: Format, values: Values, identity: Identity) -> Details:
    number = numeric(values, "error")
    return {
        "error": _ERRNO_NAMES.get(number, str(number)),
        **_family_and_protocol(layout, values),
    }


def _retransmit(layout: Format, values: Values, identity: Identity) -> Details:
    return {
        "state": _state(layout, values, "state"),
        "socket": identity(numeric(values, "skaddr")),
        "packet": identity(numeric(values, "skbaddr")),
    }


def _socket(layout: Format, values: Values, identity: Identity) -> Details:
    return {"socket": identity(numeric(values, "skaddr"))}


def _drop(layout: Format, values: Values, identity: Identity) -> Details:
    return {
        "reason": layout.symbol(values, "reason"),
        "location": f"{numeric(values, 'location'):x}",
        "packet": identity(numeric(values, "skbaddr")),
        "receiver": identity(numeric(values, "rx_sk")),
        "protocol": ETHERTYPES.get(numeric(values, "protocol"), ""),
    }


ETHERTYPES: Mapping[int, str] = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP"}


def _queue(layout: Format, values: Values, identity: Identity) -> Details:
    return {
        "packet": identity(numeric(values, "skbaddr")),
        "length": numeric(values, "len"),
        "interface": text(values, "name"),
    }


DETAILS: Mapping[str, Callable[[Format, Values, Identity], Details]] = {
    STATE_CHANGE: _state_change,
    ERROR_REPORT: _error_report,
    SEND_RESET: _send_reset,
    RECEIVE_RESET: _socket,
    RETRANSMIT: _retransmit,
    RETRANSMIT_SYNACK: _socket,
    DESTROY: _socket,
    DROP: _drop,
    QUEUE: _queue,
}
