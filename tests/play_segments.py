"""The lines of a play that are packets: TCP as tcpdump prints it, UDP, ICMP."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol as Shape

from observatory.model import Endpoint, Icmp, Protocol, Segment, TcpOptions

SPACE = 1 << 32
UNSEEN_ISN = 10_000

_TCP = re.compile(
    r"(?P<flags>[SFRPUEC]*\.?)(?:\s+(?P<seq>-?\d+))?(?::(?P<end>\d+))?(?:\s*\((?P<length>\d+)\))?"
    r"(?:\s+ack (?P<ack>-?\d+))?(?:\s+win (?P<win>\d+))?(?:\s+urg (?P<urg>\d+))?"
    r"(?:\s+<(?P<options>[^>]*)>)?\s*"
)
_UDP = re.compile(r"udp \((?P<length>\d+)\)")
_ICMP = re.compile(r"icmp(?P<six>6)? (?P<type>\d+)/(?P<code>\d+)(?: quotes #(?P<quotes>\d+))?")


@dataclass
class Stream:
    """One direction of a four-tuple: its ISN and the next number to come (relative)."""

    isn: int = UNSEEN_ISN
    next: int = 1


class Telling(Shape):
    """What a packet's line needs to know of the play so far."""

    now: int
    segments: list[Segment]
    streams: dict[tuple[Endpoint, Endpoint], Stream]


def packet(told: Telling, src: Endpoint, dst: Endpoint, text: str) -> Segment:
    """The segment, datagram or message that ``text`` writes. Raises ValueError if it does not."""
    for pattern, make in _PROTOCOLS:
        what = pattern.fullmatch(text)
        if what:
            return make(told, len(told.segments) + 1, src, dst, what)
    raise ValueError(f"{text!r} is neither TCP, udp nor icmp")


def _tcp(told: Telling, number: int, src: Endpoint, dst: Endpoint, what: re.Match[str]) -> Segment:
    flags = "".join(f for f in "SFRPAUEC" if f in what["flags"].replace(".", "A"))
    stream = told.streams.setdefault((src, dst), Stream())
    other = told.streams.setdefault((dst, src), Stream())
    given = int(what["seq"]) if what["seq"] else None
    if "S" in flags:
        if given is not None and given != stream.isn:
            stream.isn, stream.next = given, 1
        seq = 0
    else:
        seq = stream.next if given is None else given
    length = int(what["length"] or 0)
    if what["end"] and int(what["end"]) - seq != length:
        raise ValueError(f"{seq}:{what['end']} are not {length} bytes")
    if "R" not in flags:
        stream.next = max(stream.next, seq + length + ("S" in flags) + ("F" in flags))
    ack = int(what["ack"] or 0)
    # A port nobody listens on has no ISN: its RST is numbered 0 on the wire (RFC 9293 3.10.7.1).
    isn = 0 if stream.isn == UNSEEN_ISN and "R" in flags and given == 0 else stream.isn
    return Segment(
        number,
        told.now,
        0,
        Protocol.TCP,
        src,
        dst,
        length,
        flags,
        (isn + seq) % SPACE,
        (other.isn + ack) % SPACE if "A" in flags else 0,
        512 if what["win"] is None else int(what["win"]),
        int(what["urg"] or 0),
        _options(what["options"] or "", other.isn),
    )


def _udp(told: Telling, number: int, src: Endpoint, dst: Endpoint, what: re.Match[str]) -> Segment:
    return Segment(number, told.now, 0, Protocol.UDP, src, dst, int(what["length"]))


def _icmp(told: Telling, number: int, src: Endpoint, dst: Endpoint, what: re.Match[str]) -> Segment:
    protocol = Protocol.ICMPV6 if what["six"] else Protocol.ICMP
    message = Icmp(int(what["type"]), int(what["code"]))
    if what["quotes"]:
        about = told.segments[int(what["quotes"]) - 1]
        seq = about.seq if about.protocol is Protocol.TCP else None
        message = replace(
            message,
            quoted_protocol=about.protocol,
            quoted_src=about.src,
            quoted_dst=about.dst,
            quoted_seq=seq,
            quoted=about.id,
        )
    return Segment(number, told.now, 0, protocol, src, dst, 0, icmp=message)


def _options(text: str, other_isn: int) -> TcpOptions:
    """``mss 1460, wscale 7, sackOK, sack 1:101, ts 5 6, tfo``; sack counts from the other ISN."""
    known: dict[str, object] = {}
    for word, *numbers in (item.split() for item in text.split(",") if item.strip()):
        if word == "sack":
            edges = [tuple((other_isn + int(e)) % SPACE for e in n.split(":")) for n in numbers]
            known["sack"] = tuple(edges)
        elif word == "ts":
            known["timestamp"] = (int(numbers[0]), int(numbers[1]))
        else:
            key = {"mss": "mss", "wscale": "window_scale"}.get(word)
            flag = {"sackOK": "sack_permitted", "tfo": "fast_open"}.get(word)
            known[key or flag or word] = int(numbers[0]) if key else True
    return TcpOptions(**known)  # type: ignore[arg-type]


_PROTOCOLS: tuple[tuple[re.Pattern[str], Callable[..., Segment]], ...] = (
    (_UDP, _udp),
    (_ICMP, _icmp),
    (_TCP, _tcp),
)
