"""What was on the wire: captured frames, and the segments, datagrams and messages in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any

from observatory.model.addresses import Endpoint


class Protocol(StrEnum):
    """The protocol of a segment, as the document prints it."""

    TCP = "TCP"
    UDP = "UDP"
    ICMP = "ICMP"
    ICMPV6 = "ICMPv6"


class Direction(StrEnum):
    """How the capturing interface saw a frame (pcapng epb_flags)."""

    UNKNOWN = "unknown"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured link-layer frame, as it was seen.

    ``interface`` is an index into ``Trace.interfaces``; ``data`` may be shorter than
    ``original_length`` when the capture was made with a snapshot length.
    """

    time_ns: int
    interface: int
    data: bytes
    original_length: int
    direction: Direction = Direction.UNKNOWN


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP or ICMPv6 message. For an error, the head of the packet that it quotes.

    ``quoted_seq`` is the TCP sequence number in the quoted header, None for UDP. ``quoted`` is the
    id of the segment that has the quoted bytes, None where none or more than one has.
    """

    type: int
    code: int
    quoted_protocol: Protocol | None = None
    quoted_src: Endpoint | None = None
    quoted_dst: Endpoint | None = None
    quoted_seq: int | None = None
    quoted: int | None = None


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """The TCP options that analysis reads; None or False where the segment has none.

    ``sack`` is the blocks as absolute (left, right) pairs; ``fast_open`` is True when a TFO
    option (RFC 7413) is present, with or without a cookie.
    """

    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    sack: tuple[tuple[int, int], ...] = ()
    timestamp: tuple[int, int] | None = None
    fast_open: bool = False


NO_OPTIONS = TcpOptions()


@dataclass(frozen=True, slots=True)
class Sighting:
    """A packet as one of the interfaces on its path saw it. ``interface`` is an index into
    ``Trace.interfaces``; ``frame`` is None in a play."""

    interface: int
    time_ns: int
    direction: Direction = Direction.UNKNOWN
    frame: Frame | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment, UDP datagram or ICMP message.

    ``flags`` is letters in the order S F R P A U E C, empty when not TCP. ``seq``, ``ack``,
    ``window`` and ``urgent`` are as on the wire (absolute, unscaled), 0 when not TCP.
    ``length`` is payload bytes. For ICMP the ports of ``src`` and ``dst`` are 0.

    In a lab a packet is seen by several interfaces: ``sightings`` are all of them in time order,
    of which ``time_ns``, ``interface`` and ``frame`` are the first. It is empty where one place
    sees the wire.
    """

    id: int
    time_ns: int
    interface: int
    protocol: Protocol
    src: Endpoint
    dst: Endpoint
    length: int
    flags: str = ""
    seq: int = 0
    ack: int = 0
    window: int = 0
    urgent: int = 0
    options: TcpOptions = NO_OPTIONS
    icmp: Icmp | None = None
    frame: Frame | None = field(default=None, repr=False, compare=False)
    sightings: tuple[Sighting, ...] = ()

    def scapy(self) -> Any:
        """This segment's frame dissected by scapy (loaded on first use, about 0.2 s).

        Raises ValueError if the segment was made without a frame (in a play).
        """
        if self.frame is None:
            raise ValueError("this segment has no captured frame to dissect")
        # The model imports nothing outward; a person who asks for scapy's view gets it here.
        return import_module("observatory.sources.dissect").dissect(self)
