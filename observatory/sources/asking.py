"""What every journaled socket call is made of: asking the kernel once, waiting, asking again.

Python hides some of what it asks: a timeout makes the descriptor non-blocking and polls before
each call, an interrupted call is made again (PEP 475). Here each of those is a call in the
journal; toward the caller the socket behaves as Python's own does (``sock_call_ex`` in CPython's
socketmodule.c).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from observatory.sources import constants, syscalls, waiting
from observatory.sources.inquiry import Answer, about, about_sending
from observatory.sources.journal import Journal, environment_journal
from observatory.sources.syscalls import address_text, pack_address, unpack_address

Names = tuple[str | None, str | None]

NO_NAMES: Names = (None, None)
WOULD_BLOCK = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})
# _socket.socket, whose methods are one system call each while the object believes it blocks.
C_SOCKET: Any = socket.socket.__base__

SLOW_NS = 1_000_000  # a send that takes longer waited for room in its buffer, or for a processor
_SENDING = frozenset({"send", "sendto", "sendmsg", "write", "sendfile"})


def failure_of(error: int) -> OSError:
    """The exception for an errno: ConnectionRefusedError and its kin where Python has one."""
    return OSError(error, os.strerror(error))


def names_of(sock: socket.socket) -> Names:
    """Local and peer address as the kernel answers now; None where it has no answer."""
    try:
        local = address_text(C_SOCKET.getsockname(sock))
    except OSError:
        return NO_NAMES
    try:
        return local, address_text(C_SOCKET.getpeername(sock))
    except OSError:
        return local, None


class AskingSocket(socket.socket):
    """A socket that can make one journaled call, and repeat it as Python would.

    With ``interruptible``, a call that a signal interrupted is not made again: it raises
    InterruptedError (``connect_ex`` returns EINTR), as the C interface has it.
    """

    __slots__ = ("_journal", "_seconds", "_told", "interruptible")

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002
        proto: int = -1,
        fileno: int | None = None,
        *,
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal or environment_journal()
        self._seconds: float | None = None
        self._told = False
        self.interruptible = False
        if fileno is None:
            kind = socket.SOCK_STREAM if type == -1 else type
            family = socket.AF_INET if family == -1 else family
            proto = 0 if proto == -1 else proto
            fileno = self._create(family, kind, proto)
            self._seconds = 0.0 if kind & socket.SOCK_NONBLOCK else None
            type = kind & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)  # noqa: A001
        super().__init__(family, type, proto, fileno)
        # The C object must believe that it blocks: then each of its methods is one call.
        default = socket.getdefaulttimeout()
        if default is not None:
            super().settimeout(None)
            self.settimeout(default)

    def _create(self, family: int, kind: int, proto: int) -> int:
        kind = int(kind) | socket.SOCK_CLOEXEC
        args = {
            "family": constants.family_name(family),
            "type": constants.type_name(kind),
            "protocol": proto,
        }
        return self._must("socket", args, syscalls.new_socket, family, kind, proto, fd=None)

    # One call, journaled.

    def _ask(
        self,
        name: str,
        args: dict[str, object],
        function: Callable[..., int],
        *arguments: object,
        fd: int | None = -2,
        names: Callable[[int], Names] | None = None,
        out: Callable[[], dict[str, object]] | None = None,
        before: Answer = None,
    ) -> tuple[int, int]:
        """Make one call of the C library: ``(result, errno)``.

        ``names`` is asked afterwards, with the call's result. Should a signal handler raise as
        the call returns, what errno tells is journaled first. ``before`` is what the kernel said
        of the socket beforehand, where it was asked.
        """
        journal = self._journal
        number = journal.entered(name, self.fileno() if fd == -2 else fd, args, True, before)
        began = time.time_ns()
        ctypes.set_errno(0)
        try:
            result = function(*arguments)
        except BaseException:
            journal.returned(number, None, ctypes.get_errno())
            raise
        error = ctypes.get_errno() if result < 0 else 0
        now = time.time_ns()
        local, peer = names(result) if names else NO_NAMES
        found = out() if out is not None and not error else None
        asked = self._asked_after(name, error, now - began)
        journal.returned(number, result, error, local, peer, found, now, asked)
        return result, error

    def _must(self, *arguments: Any, **options: Any) -> int:
        """:meth:`_ask`, raising OSError on failure."""
        result, error = self._ask(*arguments, **options)
        if error:
            raise failure_of(error)
        return result

    def _python(
        self,
        name: str,
        args: dict[str, object],
        method: Callable[..., Any],
        *arguments: Any,
        names: Callable[[int], Names] | None = None,
        result: Callable[[Any], int] = lambda value: 0,
        out: Callable[[Any], dict[str, object]] | None = None,
        before: Answer = None,
    ) -> Any:
        """Make one call through CPython's own method, which must not retry or poll."""
        journal = self._journal
        number = journal.entered(name, self.fileno(), args, True, before)
        began = time.time_ns()
        try:
            value = method(self, *arguments)
        except OSError as failure:
            now, error = time.time_ns(), failure.errno or 0
            local, peer = names(-1) if names else NO_NAMES
            asked = self._asked_after(name, error, now - began)
            journal.returned(number, None, error, local, peer, None, now, asked)
            raise
        now = time.time_ns()
        local, peer = names(0) if names else NO_NAMES
        found = None if out is None else out(value)
        asked = self._asked_after(name, 0, now - began)
        journal.returned(number, result(value), 0, local, peer, found, now, asked)
        return value

    def _asked_after(self, name: str, error: int, took_ns: int) -> Answer:
        """What the kernel says of the socket after a call, where that explains something: after
        each that failed or connected, and where a send may have waited for room."""
        if name in _SENDING:
            return about_sending(self) if error or took_ns >= SLOW_NS else None
        return about(self) if error or name == "connect" else None

    def _names(self, _result: int = 0) -> Names:
        """This socket's names, whatever the call returned: after a refused connect the kernel
        still tells the local port."""
        return names_of(self)

    def _names_of_new(self, fd: int) -> Names:
        """The names of the socket that a call returned as ``fd``; none if it failed."""
        if fd < 0:
            return NO_NAMES
        probe = socket.socket(self.family, self.type, self.proto, fileno=fd)
        try:
            return names_of(probe)
        finally:
            probe.detach()

    # Waiting and repeating, as CPython's sock_call_ex does it.

    def _deadline(self) -> float | None:
        return time.monotonic() + self._seconds if self._seconds else None

    def _wait(self, events: int, deadline: float | None) -> bool:
        """Poll until ``events``; False when the deadline passed."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        pairs = [(self.fileno(), events)]
        return bool(waiting.poll(self._journal, pairs, left, self.interruptible))

    def _repeat(
        self, events: int, call: Callable[[], tuple[int, int]], deadline: float | None
    ) -> int:
        """Make ``call`` until it is neither interrupted nor falsely woken; its result."""
        wait_first = deadline is not None
        while True:
            if wait_first and not self._wait(events, deadline):
                raise TimeoutError("timed out")
            result, error = call()
            if not error:
                return result
            if error == errno.EINTR and not self.interruptible:
                wait_first = False
            elif error in WOULD_BLOCK and deadline is not None:
                wait_first = True
            else:
                raise failure_of(error)

    def _receiving(self, call: Callable[[], tuple[int, int]]) -> int:
        return self._repeat(select.POLLIN, call, self._deadline())

    def _sending(self, call: Callable[[], tuple[int, int]]) -> int:
        return self._repeat(select.POLLOUT, call, self._deadline())

    def _packed(self, address: Any) -> tuple[bytes, str]:
        raw = pack_address(self.family, address)
        if raw is None:
            raise ValueError(f"cannot journal addresses of family {self.family}")
        return raw, address_text(unpack_address(raw)) or "AF_UNSPEC"

    def _outcome(self, call: Callable[[], int]) -> tuple[int, int]:
        """``(result, errno)`` of a call made through CPython's method."""
        try:
            return call(), 0
        except OSError as failure:
            if failure.errno is None:
                raise
            return -1, failure.errno
