"""Packet sockets that hand over frames in bulk: a TPACKET_V3 ring, or plain AF_PACKET.

The socket may be opened in one process (inside a network namespace, with CAP_NET_RAW) and read
in another: :func:`open_packet_socket` does what needs the namespace and the capability, and
everything after it works on the descriptor alone, wherever that has been sent (SCM_RIGHTS).

Until a source is made of the socket it is bound to its interface but to no protocol, so nothing
is queued; the source sets its buffer up and then binds it to every protocol. Thus no frame slips
in before the options are in force, and the capture is complete from the moment the source exists.

Sources: packet(7); Documentation/networking/packet_mmap.rst and net/packet/af_packet.c of the
kernel; the numbers below are from include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from observatory.errors import CaptureError, PermissionRefused
from observatory.model import Direction, Frame

MIB: Final = 1 << 20
BLOCK_BYTES: Final = 1 * MIB
RING_BYTES: Final = 64 * MIB
FRAME_BYTES: Final = 2048
"""Only checked for plausibility by a version 3 ring, whose frames are as long as they need."""
RETIRE_MS: Final = 10
"""A block that is not full is handed over after this time, so the last frames arrive too."""
PLAIN_BUFFER_BYTES: Final = 256 * MIB
LARGEST_FRAME: Final = 256 * 1024
FRAMES_AT_ONCE: Final = 4096

ETH_P_ALL: Final = 0x0003
SOL_PACKET: Final = 263
PACKET_RX_RING: Final = 5
PACKET_STATISTICS: Final = 6
PACKET_VERSION: Final = 10
PACKET_IGNORE_OUTGOING: Final = 23
TPACKET_V3: Final = 2
TP_STATUS_USER: Final = 1
PACKET_OUTGOING: Final = 4
SO_TIMESTAMPNS: Final = getattr(socket, "SO_TIMESTAMPNS", 35)
SO_RCVBUFFORCE: Final = getattr(socket, "SO_RCVBUFFORCE", 33)
SO_ATTACH_FILTER: Final = getattr(socket, "SO_ATTACH_FILTER", 26)
BPF_RET_K: Final = 0x06

ARPHRD_LOOPBACK: Final = 772
LINKTYPE_ETHERNET: Final = 1
LINKTYPE_RAW: Final = 101
LINKTYPES: Final = {
    1: LINKTYPE_ETHERNET,
    ARPHRD_LOOPBACK: LINKTYPE_ETHERNET,
    768: LINKTYPE_RAW,  # IPv4 in IPv4
    769: LINKTYPE_RAW,  # IPv6 in IPv6
    776: LINKTYPE_RAW,  # IPv6 in IPv4
    778: LINKTYPE_RAW,  # GRE
    65534: LINKTYPE_RAW,  # TUN
}
"""ARPHRD_* of the interface to the pcap LINKTYPE of the frames it gives."""

# struct tpacket_block_desc, in 32-bit words from the start of a block.
STATUS_WORD: Final = 2
COUNT_WORD: Final = 3
FIRST_WORD: Final = 4
LENGTH_WORD: Final = 5
# struct tpacket3_hdr as far as tp_net, then sll_pkttype of the sockaddr_ll that follows it.
TPACKET3_HEADER: Final = struct.Struct("=IIIIIIHH30xB")
TPACKET_REQ3: Final = struct.Struct("=7I")
SOCK_FILTER: Final = struct.Struct("=HBBI")
TIMESPEC: Final = struct.Struct("@ll")
SECOND_NS: Final = 1_000_000_000


class Batch(Protocol):
    """Frames taken from the kernel together, not yet cut apart."""

    @property
    def count(self) -> int:
        """How many frames the kernel put in, unwanted ones included."""

    def frames(self, interface: int) -> Iterator[Frame]:
        """The frames in the order they came, as of interface number ``interface``."""


class Source(Protocol):
    """Something that frames are taken from. ``method`` says in words how."""

    @property
    def method(self) -> str: ...

    def fileno(self) -> int: ...

    def take(self) -> list[Batch]:
        """Everything that is ready now, without waiting. Raises CaptureError when it ended."""

    def halt(self) -> None:
        """Lets no further frame in; what is queued can still be taken."""

    def counted(self) -> tuple[int, int]:
        """Frames the kernel has queued and frames it had no room for, since the beginning."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Link:
    """The interface that a packet socket is bound to."""

    name: str
    linktype: int
    loopback: bool


def open_packet_socket(interface: str) -> socket.socket:
    """A packet socket for ``interface`` of this process's network namespace, not yet receiving.

    On the loopback interface every packet passes twice, going out and coming in, and only the
    second passing is asked for. Needs CAP_NET_RAW in the namespace. Raises PermissionRefused
    without it, CaptureError when there is no such interface.
    """
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as refusal:
        raise PermissionRefused(
            "capturing needs CAP_NET_RAW: run it with sudo, "
            "or without --host so that it gets a private network namespace"
        ) from refusal
    try:
        sock.bind((interface, 0))
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if link_of(sock).loopback:
            # Before Linux 4.20 there is no such option; the outgoing sight is then left out
            # when frames are cut.
            with suppress(OSError):
                sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    except OSError as error:
        sock.close()
        raise CaptureError(
            f"cannot capture on {interface!r}: {error.strerror}; `ip link` lists the interfaces"
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock


def link_of(sock: socket.socket) -> Link:
    """What the socket of :func:`open_packet_socket` is bound to. Works in any process.

    Raises CaptureError for a kind of interface whose frames have no known form.
    """
    name, _protocol, _kind, hardware, *_address = sock.getsockname()
    if hardware not in LINKTYPES:
        raise CaptureError(
            f"{name} is of a kind (ARPHRD {hardware}) whose frames cannot be decoded; "
            "capture on lo, an Ethernet, veth or TUN interface"
        )
    return Link(name, LINKTYPES[hardware], hardware == ARPHRD_LOOPBACK)


def open_source(
    sock: socket.socket, ring_bytes: int = RING_BYTES, may_be_down: bool = False
) -> Source:
    """The best source there is for ``sock``, capturing from now on. It owns the socket.

    Raises CaptureError when the interface is down, unless it ``may_be_down``: it is then captured
    from when it comes up.
    """
    try:
        return Ring(sock, ring_bytes, may_be_down=may_be_down)
    except OSError:
        # No TPACKET_V3 (before Linux 3.2, or an emulated kernel) or no memory for the ring.
        with suppress(OSError):
            sock.setsockopt(SOL_PACKET, PACKET_RX_RING, TPACKET_REQ3.pack(*[0] * 7))
        return PlainSocket(sock, may_be_down=may_be_down)


class Ring:
    """A TPACKET_V3 ring: the kernel writes frames into blocks of memory shared with us.

    Blocks are copied out whole, at memory speed, and given back at once; cutting them into
    frames can wait until there is time. Raises OSError when the kernel refuses the ring.
    """

    def __init__(
        self, sock: socket.socket, ring_bytes: int = RING_BYTES, *, may_be_down: bool = False
    ) -> None:
        blocks = max(2, ring_bytes // BLOCK_BYTES)
        size = blocks * BLOCK_BYTES
        self._link = link_of(sock)
        self._sock = sock
        sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        sock.setsockopt(
            SOL_PACKET,
            PACKET_RX_RING,
            TPACKET_REQ3.pack(
                BLOCK_BYTES, blocks, FRAME_BYTES, size // FRAME_BYTES, RETIRE_MS, 0, 0
            ),
        )
        self._memory = mmap.mmap(sock.fileno(), size)
        # A forked child that kept the ring mapped would keep the capture alive.
        self._memory.madvise(mmap.MADV_DONTFORK)
        self._words = memoryview(self._memory).cast("I")
        self._blocks = blocks
        self._next = 0
        self._counts = _Counts(sock, "=III")
        self.method = f"TPACKET_V3 ring, {size // MIB} MiB"
        _receive_all(sock, self._link, may_be_down)

    def fileno(self) -> int:
        return self._sock.fileno()

    def take(self) -> list[Batch]:
        """Copies every block that the kernel has handed over, and gives them back."""
        batches: list[Batch] = []
        words = self._words
        for _ in range(self._blocks):
            base = self._next * BLOCK_BYTES
            header = base // 4
            if not words[header + STATUS_WORD] & TP_STATUS_USER:
                break
            count = words[header + COUNT_WORD]
            first = words[header + FIRST_WORD]
            data = self._memory[base : base + words[header + LENGTH_WORD]]
            words[header + STATUS_WORD] = 0
            self._next = (self._next + 1) % self._blocks
            batches.append(RingBlock(data, count, first, self._link.loopback))
        if not batches:
            _check_alive(self._sock, self._link.name)
        return batches

    def halt(self) -> None:
        _refuse_all(self._sock)

    def counted(self) -> tuple[int, int]:
        return self._counts.read()

    def close(self) -> None:
        self._words.release()
        self._memory.close()
        self._sock.close()


@dataclass(frozen=True, slots=True)
class RingBlock:
    """One block of the ring, copied. ``first`` is where its first frame's header is."""

    data: bytes
    count: int
    first: int
    skip_outgoing: bool

    def frames(self, interface: int) -> Iterator[Frame]:
        data, at = self.data, self.first
        unpack = TPACKET3_HEADER.unpack_from
        for _ in range(self.count):
            step, seconds, nanos, kept, length, _status, mac, _net, kind = unpack(data, at)
            if kind != PACKET_OUTGOING:
                direction = Direction.INBOUND
            elif not self.skip_outgoing:
                direction = Direction.OUTBOUND
            else:
                at += step
                continue
            start = at + mac
            yield Frame(
                seconds * SECOND_NS + nanos,
                interface,
                data[start : start + kept],
                length,
                direction,
            )
            at += step


class PlainSocket:
    """An ordinary packet socket with as large a buffer as we are given, read with recvmsg."""

    def __init__(
        self,
        sock: socket.socket,
        buffer_bytes: int = PLAIN_BUFFER_BYTES,
        *,
        may_be_down: bool = False,
    ) -> None:
        self._link = link_of(sock)
        self._sock = sock
        sock.setblocking(False)
        _enlarge_buffer(sock, buffer_bytes)
        self._counts = _Counts(sock, "=II")
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.method = f"AF_PACKET socket, {granted // 1024} KiB"
        _receive_all(sock, self._link, may_be_down)

    def fileno(self) -> int:
        return self._sock.fileno()

    def take(self) -> list[Batch]:
        """What is queued, at most ``FRAMES_AT_ONCE`` frames."""
        received: list[Received] = []
        while len(received) < FRAMES_AT_ONCE:
            try:
                data, control, _flags, address = self._sock.recvmsg(LARGEST_FRAME, 256)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENETDOWN:
                    break
                raise _lost(self._link.name, error.errno) from error
            received.append(Received(_stamp(control), data, address[2]))
        return [PlainBatch(tuple(received), self._link.loopback)] if received else []

    def halt(self) -> None:
        _refuse_all(self._sock)

    def counted(self) -> tuple[int, int]:
        return self._counts.read()

    def close(self) -> None:
        self._sock.close()


@dataclass(frozen=True, slots=True)
class Received:
    """One frame from recvmsg; ``kind`` is its sll_pkttype."""

    time_ns: int
    data: bytes
    kind: int


@dataclass(frozen=True, slots=True)
class PlainBatch:
    """Frames received one by one."""

    received: tuple[Received, ...]
    skip_outgoing: bool

    @property
    def count(self) -> int:
        return len(self.received)

    def frames(self, interface: int) -> Iterator[Frame]:
        for each in self.received:
            outgoing = each.kind == PACKET_OUTGOING
            if outgoing and self.skip_outgoing:
                continue
            direction = Direction.OUTBOUND if outgoing else Direction.INBOUND
            yield Frame(each.time_ns, interface, each.data, len(each.data), direction)


class _Counts:
    """PACKET_STATISTICS added up: the kernel starts its counters anew at each reading."""

    def __init__(self, sock: socket.socket, form: str) -> None:
        self._sock = sock
        self._form = struct.Struct(form)
        self._packets = 0
        self._drops = 0

    def read(self) -> tuple[int, int]:
        answer = self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, self._form.size)
        packets, drops, *_frozen = self._form.unpack(answer)
        # tp_packets includes tp_drops (packet_getsockopt in af_packet.c).
        self._packets += packets - drops
        self._drops += drops
        return self._packets, self._drops


def _enlarge_buffer(sock: socket.socket, size: int) -> None:
    # Beyond net.core.rmem_max only with CAP_NET_ADMIN of the whole machine, not of a namespace.
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _stamp(control: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) == TIMESPEC.size:
            seconds, nanos = TIMESPEC.unpack(data)
            return int(seconds * SECOND_NS + nanos)
    raise CaptureError("the kernel gave a frame without a time (SO_TIMESTAMPNS)")


def _receive_all(sock: socket.socket, link: Link, may_be_down: bool) -> None:
    sock.bind((link.name, ETH_P_ALL))
    pending = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if pending and not (may_be_down and pending == errno.ENETDOWN):
        raise _lost(link.name, pending)


def _refuse_all(sock: socket.socket) -> None:
    # A bound packet socket cannot be unbound; a filter that keeps zero bytes of everything
    # shuts it, and what it refuses is not counted either.
    program = ctypes.create_string_buffer(SOCK_FILTER.pack(BPF_RET_K, 0, 0, 0))
    length_and_address = struct.pack("@HP", 1, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, length_and_address)


def _check_alive(sock: socket.socket, interface: str) -> None:
    # An interface that goes down says so once, and the socket works again when it comes up.
    pending = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if pending not in (0, errno.ENETDOWN):
        raise _lost(interface, pending)


def _lost(interface: str, number: int | None) -> CaptureError:
    if number == errno.ENETDOWN:
        return CaptureError(f"{interface} is down; `ip link set {interface} up` brings it up")
    return CaptureError(f"capturing on {interface} failed: {os.strerror(number or 0)}")
