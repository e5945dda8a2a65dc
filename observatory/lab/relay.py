"""The relay: a process that carries the packets of one link, and delays, doubles, reorders or
loses them on the way. It needs no kernel module and works in every user namespace.

::

    router:eth1 ═══ left │ relay's own namespace │ right ═══ server:eth0

    relay = Relay.start(("router", "server"), network.spawn)
    ...veth pairs are made whose far ends, LEFT and RIGHT, are in the namespace of relay.pid...
    relay.attach()
    relay.put(1, Delay(("router", "server"), 20 * MILLISECOND))
    relay.mend(1)                               how many packets it hit
    relay.close()

Both ends are packet sockets that hand on what the kernel says about checksums and segmentation
(PACKET_VNET_HDR), so that packets whose checksum was left to a network card that does not exist
arrive whole. Switch segmentation off at the hosts all the same (``lab.offload``): a packet here
may otherwise be 64 KiB of segments. The relay ends with its parent, however that ends.
"""

from __future__ import annotations

import fcntl
import gc
import json
import select
import socket
import struct
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import observatory.errors
from observatory.errors import ObservatoryError, PermissionRefused, ScenarioFailed
from observatory.lab import kernel, namespace
from observatory.lab.faults import Carried, Ends, from_record, to_record
from observatory.lab.relay_rules import Packet, Rule, Schedule, Tally, decide, read

Spawn = Callable[[Callable[[], object]], int]

LEFT, RIGHT = "left", "right"
NAME = "user-space relay"

_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_VNET_HDR = 15  # linux/if_packet.h
_PACKET_IGNORE_OUTGOING = 23
_VNET_HEADER = 10  # struct virtio_net_hdr (linux/virtio_net.h)
_PR_SET_TIMERSLACK = 29
_SO_RCVBUFFORCE = 33
_ETH_P_ALL = 0x0003
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914  # linux/sockios.h
_IFF_UP = 0x1
_IFREQ = struct.Struct("16sH22x")  # name and flags (netdevice(7))
_LARGEST = _VNET_HEADER + 14 + (1 << 16)
_ROOM = 8 << 20  # bytes that wait while the relay does something else
_AT_ONCE = 64  # packets of one end before the other has its turn
_MESSAGE = 1 << 16
_PATIENCE_S = 10.0


class Relay:
    """The one side of a relay that gives it its orders; see the module's head.

    ``pid`` is the process, in whose namespace the two veth ends belong; ``ends`` the nodes whose
    link it is, LEFT's first.
    """

    def __init__(self, pid: int, control: socket.socket, ends: Ends) -> None:
        self.pid = pid
        self.ends = ends
        self._control = control

    @classmethod
    def start(cls, ends: Ends, spawn: Spawn) -> Relay:
        """Start the relay, in a network namespace of its own. ``spawn(work)`` runs ``work()`` in
        a process that ends with its parent (:meth:`network.Network.spawn`).

        The caller must hold CAP_SYS_ADMIN in its user namespace and be single-threaded. Raises
        PermissionRefused where there can be no namespace.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def work() -> None:
            ours.close()
            _run(theirs)

        relay = cls(spawn(work), ours, ends)
        theirs.close()
        try:
            relay._answer()
        except BaseException:
            relay.close()
            raise
        return relay

    def attach(self) -> None:
        """Begin to carry packets: both veth ends are in the relay's namespace now."""
        self._order({"attach": True})

    def put(
        self,
        number: int,
        fault: Carried,
        addresses: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Put ``fault`` in force from the next packet on. ``number`` names it in ``mend``;
        ``addresses`` are those of the hosts that its match names."""
        sides = [1 - self.ends.index(fault.towards)] if fault.towards else [0, 1]
        known = {host: sorted(found) for host, found in (addresses or {}).items()}
        order = {"number": number, "fault": to_record(fault), "sides": sides, "addresses": known}
        self._order({"put": order})

    def mend(self, number: int) -> int:
        """Take a fault away; how many packets it hit. What it delayed still arrives late."""
        return int(self._order({"mend": number})["hits"])

    def hits(self, number: int) -> int:
        """How many packets a fault has hit so far."""
        return int(self._order({"count": number})["hits"])

    def overflow(self) -> int:
        """How many packets came faster than the relay could take them, and were lost."""
        return int(self._order({"overflow": True})["lost"])

    def close(self) -> None:
        """End the relay. Its namespace goes with it, and the veth pairs with that."""
        self._control.close()

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        with suppress(OSError):  # it has ended, and does not answer
            self._control.send(json.dumps(order).encode())
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        whose = f"the relay of {' - '.join(self.ends)}"
        if not select.select([self._control], [], [], _PATIENCE_S)[0]:
            raise ScenarioFailed(f"{whose} does not answer")
        text = b""
        with suppress(ConnectionError):
            text = self._control.recv(_MESSAGE)
        if not text:
            raise ScenarioFailed(f"{whose} has ended")
        answer: dict[str, Any] = json.loads(text)
        if "error" in answer:
            raise getattr(observatory.errors, answer["error"])(answer["text"])
        return answer


def _run(control: socket.socket) -> None:
    """The relay process, until its parent closes the other end."""
    try:
        gc.freeze()
        kernel.prctl(kernel.PR_SET_NAME, b"relay")
        kernel.prctl(_PR_SET_TIMERSLACK, 1)  # or every wait is 50 µs longer
        _leave_for_own_network()
        control.send(b"{}")
        _Carrier(control).carry()
    except BaseException as failure:
        known = isinstance(failure, ObservatoryError)
        message = {
            "error": type(failure).__name__ if known else ScenarioFailed.__name__,
            "text": str(failure) if known else f"the relay failed: {traceback.format_exc()}",
        }
        with suppress(OSError):
            control.send(json.dumps(message).encode()[:_MESSAGE])


def _leave_for_own_network() -> None:
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
    except OSError as failure:
        raise PermissionRefused(namespace.refusal(failure)) from failure
    # It is a wire, and must say nothing itself: no neighbour discovery, no multicast.
    silence = {f"net.ipv6.conf.{which}.disable_ipv6": "1" for which in ("all", "default")}
    namespace.write_settings(
        {name: silence[name] for name in namespace.read_settings(silence) if name in silence}
    )


class _Carrier:
    """In the relay process: the packets, and the orders about them."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.ends: tuple[socket.socket, ...] = ()
        self.schedule = Schedule()
        self.rules: tuple[Rule, ...] = ()
        self.tally: Tally = {}
        self.hits: dict[int, int] = {}
        self.lost = 0
        self.orders: dict[str, Callable[[Any], dict[str, Any]]] = {
            "attach": self._attach,
            "put": self._put,
            "mend": self._mend,
            "count": self._count,
            "overflow": self._overflow,
        }

    def carry(self) -> None:
        """Until the parent closes its end."""
        while True:
            readable, _, _ = select.select([self.control, *self.ends], [], [], self._patience())
            if self.control in readable:
                text = self.control.recv(_MESSAGE)
                if not text:
                    return
                self._obey(json.loads(text))
            for side, end in enumerate(self.ends):
                if end in readable:
                    self._take(side, end)
            self._send_due()

    def _patience(self) -> float | None:
        due = self.schedule.next_ns()
        return None if due is None else max(0, due - time.monotonic_ns()) / 1e9

    def _obey(self, order: Mapping[str, Any]) -> None:
        ((word, argument),) = order.items()
        self.control.send(json.dumps(self.orders[word](argument)).encode())

    def _attach(self, _: object) -> dict[str, Any]:
        self.ends = (_open_end(LEFT), _open_end(RIGHT))
        return {}

    def _put(self, order: Mapping[str, Any]) -> dict[str, Any]:
        fault = from_record(order["fault"])
        assert isinstance(fault, Carried)
        rule = Rule(order["number"], fault, order["sides"], order["addresses"])
        self.rules = (*self.rules, rule)
        self.hits[rule.number] = 0
        return {}

    def _mend(self, number: int) -> dict[str, Any]:
        self.rules = tuple(rule for rule in self.rules if rule.number != number)
        return self._count(number)

    def _count(self, number: int) -> dict[str, Any]:
        return {"hits": self.hits[number]}

    def _overflow(self, _: object) -> dict[str, Any]:
        for end in self.ends:  # asking sets the kernel's count back to 0
            both = end.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            self.lost += struct.unpack("II", both)[1]
        return {"lost": self.lost}

    def _take(self, side: int, end: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                raw = end.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # the interface went down: told once, and no packet
                return
            packet = self._packet(side, raw)
            fate, self.tally = decide(self.rules, self.tally, packet)
            for number in fate.hits:
                self.hits[number] += 1
            self.schedule.take(time.monotonic_ns(), side, raw, fate)

    def _packet(self, side: int, raw: bytes) -> Packet:
        if not self.rules:
            return Packet(side, None)
        return read(raw[_VNET_HEADER:], side)

    def _send_due(self) -> None:
        for side, raw in self.schedule.due(time.monotonic_ns()):
            with suppress(OSError):  # its other end is down, or full: the wire loses it
                self.ends[1 - side].send(raw)


def _open_end(device: str) -> socket.socket:
    """A packet socket on one of our veth ends, which it sets up."""
    _set_up(device)
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # 0: no packets before bind
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    try:
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    except PermissionError:  # older kernels: for the first user namespace alone
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    end.bind((device, _ETH_P_ALL))
    end.setblocking(False)
    return end


def _set_up(device: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _IFREQ.pack(device.encode(), 0))
        _, flags = _IFREQ.unpack(answer)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _IFREQ.pack(device.encode(), flags | _IFF_UP))
