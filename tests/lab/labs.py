"""A lab for a test: built in a process of its own, with real sockets on its hosts."""

import errno
import json
import os
import select
import socket
import struct
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import pytest

from observatory.errors import MissingTool, PermissionRefused
from observatory.lab import force, namespace
from observatory.lab.network import Network, build
from observatory.lab.topology import ROUTED, Plan

NOBODY = 65534
PORT = 80
PATIENCE_S = 10.0
IPV4, IPV6 = socket.AF_INET, socket.AF_INET6

_RECVERR = {IPV4: (socket.IPPROTO_IP, 11), IPV6: (socket.IPPROTO_IPV6, 25)}
_EXTENDED_ERROR = struct.Struct("IBBBxII")  # struct sock_extended_err (ip(7))


def people() -> list[int | None]:
    """Who the tests can be: themselves, and where that is root an ordinary user too."""
    return [None, NOBODY] if os.geteuid() == 0 else [None]


class Bench:
    """A built lab and what is tried on it. Every socket is on the host that is named."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._listeners: list[socket.socket] = []

    def put(self, *faults):
        """Put them in force, having prepared for them."""
        force.prepare(faults, self.network)
        for fault in faults:
            force.put(fault, self.network)

    def mend(self, fault):
        """How many packets it hit."""
        return force.mend(fault, self.network)

    def socket(self, host, family=IPV4, kind=socket.SOCK_STREAM):
        with self.network.enter(host):
            made = socket.socket(family, kind)
        made.settimeout(PATIENCE_S)
        return made

    def listener(self, family=IPV4):
        sock = self.socket("server", family)
        sock.bind((self.network.address("server", family), PORT))
        sock.listen(16)
        return sock

    def connection(self, listener, family=IPV4):
        """Both ends of a new connection, the client's first."""
        client = self.socket("client", family)
        client.connect((self.network.address("server", family), PORT))
        return client, listener.accept()[0]

    def outcome(self, family=IPV4, seconds=3.0, port=PORT):
        """How a connect() from client to server ends: ``ok``, an errno's name, or ``waits``."""
        with self.socket("client", family) as sock:
            sock.settimeout(seconds)
            try:
                sock.connect((self.network.address("server", family), port))
            except TimeoutError as failure:
                return "waits" if failure.errno is None else "ETIMEDOUT"
            except OSError as failure:
                return errno.errorcode[failure.errno]
            return "ok"

    def icmp_error(self, family=IPV4):
        """Type and code of the ICMP message that a datagram from client to server draws; None if
        there is none within half a second."""
        with self.socket("client", family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(*_RECVERR[family], 1)
            sock.sendto(b"anybody?", (self.network.address("server", family), PORT))
            if not select.select([sock], [], [], 0.5)[0]:
                return None
            with suppress(OSError):
                sock.recv(100)
            _, control, _, _ = sock.recvmsg(100, 512, socket.MSG_ERRQUEUE)
            _, _, kind, code, _, _ = _EXTENDED_ERROR.unpack_from(control[0][2])
            return [kind, code]

    def datagrams(self, count, first=0):
        """Send numbered datagrams from client to server."""
        with self.socket("client", kind=socket.SOCK_DGRAM) as sock:
            for number in range(first, first + count):
                sock.sendto(b"%d" % number, (self.network.address("server"), PORT))

    def bound(self):
        """A UDP socket of the server's, for :meth:`datagrams`."""
        sock = self.socket("server", kind=socket.SOCK_DGRAM)
        sock.bind((self.network.address("server"), PORT))
        return sock

    @staticmethod
    def received(sock, count, quiet_s=0.1):
        """The numbers that arrive at ``sock``: ``count``, and no more for ``quiet_s``."""
        found = [int(sock.recv(100)) for _ in range(count)]
        if select.select([sock], [], [], quiet_s)[0]:
            found.append(int(sock.recv(100)))
        return found


def in_lab(check: Callable[[Bench], object], plan: Plan = ROUTED, uid: int | None = None):
    """What ``check(bench)`` returns, as JSON holds it, in a lab that is built for it alone.

    Skips the test where there can be none; what it raises fails the test.
    """
    import pyroute2  # an ordinary user may not be able to read root's Python

    with pyroute2.IPRoute():
        pass
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(readable)
            os.write(writable, json.dumps(_answer(check, plan, uid)).encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        kind, value = json.loads(pipe.read())
    os.waitpid(pid, 0)
    if kind == "skip":
        pytest.skip(value)
    if kind == "failed":
        pytest.fail(value, pytrace=False)
    return value


def _answer(check, plan, uid):
    try:
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        namespace.enter_private_network()
        with build(plan) as network:
            return ["value", check(Bench(network))]
    except (PermissionRefused, MissingTool) as reason:
        return ["skip", str(reason)]
    except BaseException:
        return ["failed", traceback.format_exc()]


def elapsed(work: Callable[[], object]) -> float:
    """How many seconds ``work()`` takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
