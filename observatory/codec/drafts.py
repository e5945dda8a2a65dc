"""Frozen values built fast, for the classes of which a large capture has millions.

The constructor of a frozen dataclass sets each field through ``object.__setattr__``: 1.5 µs for a
Segment, most of what decoding one costs. A draft has the same slots and an ordinary constructor;
when it is filled in it becomes the frozen class, in 0.3 µs altogether. A test holds each draft's
slots and defaults to its class.
"""

from __future__ import annotations

from observatory.model.addresses import Endpoint
from observatory.model.segments import (
    NO_OPTIONS,
    Direction,
    Frame,
    Icmp,
    Protocol,
    Segment,
    TcpOptions,
)


class FrameDraft:
    """A Frame that is being made."""

    __slots__ = tuple(Frame.__dataclass_fields__)

    def __init__(
        self,
        time_ns: int,
        interface: int,
        data: bytes,
        original_length: int,
        direction: Direction = Direction.UNKNOWN,
    ) -> None:
        self.time_ns = time_ns
        self.interface = interface
        self.data = data
        self.original_length = original_length
        self.direction = direction


class OptionsDraft:
    """A TcpOptions that is being made."""

    __slots__ = tuple(TcpOptions.__dataclass_fields__)

    def __init__(
        self,
        mss: int | None = None,
        window_scale: int | None = None,
        sack_permitted: bool = False,
        sack: tuple[tuple[int, int], ...] = (),
        timestamp: tuple[int, int] | None = None,
        fast_open: bool = False,
    ) -> None:
        self.mss = mss
        self.window_scale = window_scale
        self.sack_permitted = sack_permitted
        self.sack = sack
        self.timestamp = timestamp
        self.fast_open = fast_open


class SegmentDraft:
    """A Segment that is being made."""

    __slots__ = tuple(Segment.__dataclass_fields__)

    def __init__(
        self,
        id: int,  # noqa: A002
        time_ns: int,
        interface: int,
        protocol: Protocol,
        src: Endpoint,
        dst: Endpoint,
        length: int,
        flags: str = "",
        seq: int = 0,
        ack: int = 0,
        window: int = 0,
        urgent: int = 0,
        options: TcpOptions = NO_OPTIONS,
        icmp: Icmp | None = None,
        frame: Frame | None = None,
    ) -> None:
        self.id = id
        self.time_ns = time_ns
        self.interface = interface
        self.protocol = protocol
        self.src = src
        self.dst = dst
        self.length = length
        self.flags = flags
        self.seq = seq
        self.ack = ack
        self.window = window
        self.urgent = urgent
        self.options = options
        self.icmp = icmp
        self.frame = frame


def finished_frame(draft: FrameDraft) -> Frame:
    """The frame that ``draft`` becomes; the draft is no more."""
    draft.__class__ = Frame  # type: ignore[assignment]
    return draft  # type: ignore[return-value]


def finished_options(draft: OptionsDraft) -> TcpOptions:
    """The options that ``draft`` becomes; the draft is no more."""
    draft.__class__ = TcpOptions  # type: ignore[assignment]
    return draft  # type: ignore[return-value]


def finished_segment(draft: SegmentDraft) -> Segment:
    """The segment that ``draft`` becomes; the draft is no more."""
    draft.__class__ = Segment  # type: ignore[assignment]
    return draft  # type: ignore[return-value]
