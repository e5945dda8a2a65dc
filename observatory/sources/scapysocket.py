"""The ring behind scapy's SuperSocket interface.

``CaptureSocket`` goes wherever scapy takes an opened socket: ``sniff(opened_socket=...)``,
``AsyncSniffer(opened_socket=...)``, ``sock.recv()``; frames then come dissected, one by one, with
``packet.time`` exact to the nanosecond. ``BulkSession`` makes the same sniffer take everything
that is ready at once, raw and undissected: what a lossless capture needs.

Importing this loads scapy.supersocket (0.1 s), nothing of ``scapy.all`` (0.9 s).
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from scapy.sessions import DefaultSession
from scapy.supersocket import SuperSocket
from scapy.utils import EDecimal

from observatory.model import Frame
from observatory.sources.ring import LARGEST_FRAME, LINKTYPE_ETHERNET, SECOND_NS, Batch, Source


class CaptureSocket(SuperSocket):
    """A capture source (a ring or a plain packet socket) as a scapy socket. Receives only.

    It owns the source: close() gives it up.
    """

    desc = "read frames in bulk from a TPACKET_V3 ring"

    def __init__(self, source: Source, linktype: int = LINKTYPE_ETHERNET, index: int = 0) -> None:
        self.source = source
        self.linktype = linktype
        self.index = index
        self.ins = cast(Any, source)
        self.outs = None
        self._waiting: deque[Frame] = deque()

    def drain(self) -> list[Batch]:
        """Everything that is ready, uncut; the bulk way. Frames of recv_raw are not in it."""
        return self.source.take()

    def frames(self) -> Iterator[Frame]:
        """Everything that is ready, cut into frames but not dissected."""
        yield from self._waiting
        self._waiting.clear()
        for batch in self.drain():
            yield from batch.frames(self.index)

    def recv_raw(self, x: int = LARGEST_FRAME) -> tuple[Any, bytes | None, Any]:
        """One frame as scapy wants it: the class of its outermost layer, bytes, time in seconds.

        ``(None, None, None)`` when none is ready.
        """
        if not self._waiting:
            self._waiting.extend(self.frames())
        if not self._waiting:
            return None, None, None
        frame = self._waiting.popleft()
        seconds, nanos = divmod(frame.time_ns, SECOND_NS)
        # EDecimal is the type scapy's own readers give packet.time: it keeps nanoseconds.
        time = EDecimal(seconds) + EDecimal(nanos) / EDecimal(SECOND_NS)
        return _outermost(self.linktype, frame.data), frame.data[:x], time

    def fileno(self) -> int:
        return self.source.fileno()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.source.close()

    @property
    def pending(self) -> bool:
        """True when frames are already cut, so that there is no need to wait for the kernel."""
        return bool(self._waiting)

    @staticmethod
    def select(sockets: Sequence[Any], remain: float | None = None) -> list[Any]:
        """The sockets that can be read, waiting ``remain`` seconds (for ever when None).

        poll instead of scapy's select: a descriptor may be above 1023.
        """
        ready = [sock for sock in sockets if getattr(sock, "pending", False)]
        if ready:
            return ready
        poll = select.poll()
        by_number = {sock.fileno(): sock for sock in sockets}
        for number in by_number:
            poll.register(number, select.POLLIN)
        wait = None if remain is None else max(0, int(remain * 1000))
        return [by_number[number] for number, _events in poll.poll(wait)]


class BulkSession(DefaultSession):
    """A sniffing session that hands whole batches to ``receive`` and dissects nothing.

    The sniffer, for which every session is a source of packets, gets none. Failures go to
    ``fail``: the sniffer itself would close the socket with no more than a warning.
    """

    def __init__(
        self,
        receive: Callable[[list[Batch]], None],
        fail: Callable[[Exception], None],
    ) -> None:
        super().__init__()
        self._receive = receive
        self._fail = fail

    def recv(self, sock: Any) -> Iterator[Any]:
        try:
            batches = sock.drain()
            if batches:
                self._receive(batches)
        except Exception as failure:
            self._fail(failure)
        return iter(())


def _outermost(linktype: int, data: bytes) -> Any:
    # Layers are loaded only where something is dissected.
    if linktype == LINKTYPE_ETHERNET:
        from scapy.layers.l2 import Ether

        return Ether
    if data[:1] and data[0] >> 4 == 6:
        from scapy.layers.inet6 import IPv6

        return IPv6
    from scapy.layers.inet import IP

    return IP
