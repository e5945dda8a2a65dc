"""A drop-in ``socket.socket`` that journals every call as the kernel was asked it.

Python hides some of what it asks: a timeout makes the descriptor non-blocking and polls before
each call, an interrupted call is made again (PEP 475), ``sendall`` is many sends. Here each of
those is a call in the journal; toward the caller the socket behaves as Python's own does.

Sites that want to see EINTR set ``interruptible``: an interrupted call then raises
InterruptedError (``connect_ex`` returns EINTR), as the C interface has it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import os
import select
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from observatory.sources import constants, syscalls, waiting
from observatory.sources.journal import Journal, environment_journal
from observatory.sources.syscalls import address_text, pack_address, unpack_address

_WOULD_BLOCK = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})
_C = socket.socket.__base__  # _socket.socket: one system call a method while it has no timeout


def _failure(error: int) -> OSError:
    return OSError(error, os.strerror(error))


def _buffer(data: Any) -> tuple[Any, int]:
    """What C can read ``data`` from, and its length in bytes."""
    if not isinstance(data, bytes):
        data = memoryview(data).tobytes()
    return data, len(data)


class InstrumentedSocket(socket.socket):
    """``socket.socket(family, type, proto, fileno)`` with a journal.

    ``journal`` defaults to the one that the environment names. Raises what ``socket.socket``
    raises.
    """

    __slots__ = ("_journal", "_seconds", "_told", "interruptible")

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
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
            family = socket.AF_INET if family == -1 else family
            type = socket.SOCK_STREAM if type == -1 else type
            proto = 0 if proto == -1 else proto
            fileno = self._create(family, type, proto)
            if type & socket.SOCK_NONBLOCK:
                self._seconds = 0.0
            type &= ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
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
        names: bool = False,
        out: Callable[[], dict[str, object]] | None = None,
    ) -> tuple[int, int]:
        """Make one call of the C library: ``(result, errno)``.

        ``names`` asks the socket's own names afterwards. Should a signal handler raise as the
        call returns, what errno tells is journaled first.
        """
        journal = self._journal
        number = journal.entered(name, self.fileno() if fd == -2 else fd, args)
        ctypes.set_errno(0)
        try:
            result = function(*arguments)
        except BaseException:
            journal.returned(number, None, ctypes.get_errno())
            raise
        error = ctypes.get_errno() if result < 0 else 0
        now = time.time_ns()
        local, peer = self._names() if names else (None, None)
        found = out() if out is not None and not error else None
        journal.returned(number, result, error, local, peer, found, now)
        return result, error

    def _must(self, *arguments: Any, **options: Any) -> int:
        """:meth:`_ask`, raising OSError on failure."""
        result, error = self._ask(*arguments, **options)
        if error:
            raise _failure(error)
        return result

    def _python(
        self,
        name: str,
        args: dict[str, object],
        method: Callable[..., Any],
        *arguments: Any,
        names: bool = False,
        result: Callable[[Any], int] = lambda value: 0,
        out: Callable[[Any], dict[str, object]] | None = None,
    ) -> Any:
        """Make one call through CPython's own method, which must not retry or poll."""
        journal = self._journal
        number = journal.entered(name, self.fileno(), args)
        try:
            value = method(self, *arguments)
        except OSError as failure:
            now = time.time_ns()
            local, peer = self._names() if names else (None, None)
            journal.returned(number, None, failure.errno or 0, local, peer, None, now)
            raise
        now = time.time_ns()
        local, peer = self._names() if names else (None, None)
        found = None if out is None else out(value)
        journal.returned(number, result(value), 0, local, peer, found, now)
        return value

    def _names(self) -> tuple[str | None, str | None]:
        """Local and peer address as the kernel answers now; None where it has no answer."""
        try:
            local = address_text(_C.getsockname(self))
        except OSError:
            return None, None
        try:
            return local, address_text(_C.getpeername(self))
        except OSError:
            return local, None

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
            elif error in _WOULD_BLOCK and deadline is not None:
                wait_first = True
            else:
                raise _failure(error)

    def _receiving(self, call: Callable[[], tuple[int, int]]) -> int:
        return self._repeat(select.POLLIN, call, self._deadline())

    def _sending(self, call: Callable[[], tuple[int, int]]) -> int:
        return self._repeat(select.POLLOUT, call, self._deadline())

    # Opening.

    def _packed(self, address: Any) -> tuple[bytes, str]:
        raw = pack_address(self.family, address)
        if raw is None:
            raise ValueError(f"cannot journal addresses of family {self.family}")
        return raw, address_text(unpack_address(raw)) or "AF_UNSPEC"

    def bind(self, address: Any) -> None:
        raw, text = self._packed(address)
        self._must(
            "bind", {"address": text}, syscalls.bind, self.fileno(), raw, len(raw), names=True
        )

    def listen(self, backlog: int = 128) -> None:
        self._python("listen", {"backlog": backlog}, _C.listen, backlog, names=True)

    def connect(self, address: Any) -> None:
        error = self._connect(address)
        if error in _WOULD_BLOCK and self._seconds:
            raise TimeoutError("timed out")
        if error:
            raise _failure(error)

    def connect_ex(self, address: Any) -> int:
        return self._connect(address)

    def dissolve(self) -> None:
        """connect() to an address of family AF_UNSPEC, which Python has no way to say: a
        datagram socket forgets its peer, a TCP connection is aborted (connect(2))."""
        raw = bytes(16)
        args: dict[str, object] = {"address": "AF_UNSPEC"}
        self._must("connect", args, syscalls.connect, self.fileno(), raw, len(raw), names=True)

    def _connect(self, address: Any) -> int:
        raw, text = self._packed(address)
        deadline = self._deadline()
        args: dict[str, object] = {"address": text}
        _, error = self._ask(
            "connect", args, syscalls.connect, self.fileno(), raw, len(raw), names=True
        )
        interrupted = error == errno.EINTR and not self.interruptible
        if not interrupted and not (error == errno.EINPROGRESS and self._seconds):
            return error
        # The kernel goes on connecting. Calling connect again would only say EALREADY.
        if not self._wait(select.POLLOUT, deadline):
            return errno.EWOULDBLOCK
        return int(self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _accepted(self) -> tuple[int, bytes]:
        """One accept4 until it succeeds: the new descriptor and the peer's raw address."""
        raw = ctypes.create_string_buffer(syscalls.ADDRESS_SIZE)
        size = ctypes.c_uint(syscalls.ADDRESS_SIZE)
        journal = self._journal

        def call() -> tuple[int, int]:
            size.value = syscalls.ADDRESS_SIZE
            number = journal.entered("accept4", self.fileno(), {"flags": "SOCK_CLOEXEC"})
            ctypes.set_errno(0)
            try:
                result = syscalls.accept4(
                    self.fileno(), raw, ctypes.byref(size), socket.SOCK_CLOEXEC
                )
            except BaseException:
                journal.returned(number, None, ctypes.get_errno())
                raise
            error = ctypes.get_errno() if result < 0 else 0
            now = time.time_ns()
            local, peer = (None, None) if error else self._names_of(result)
            journal.returned(number, result, error, local, peer, None, now)
            return result, error

        return self._receiving(call), raw.raw[: size.value]

    def _names_of(self, fd: int) -> tuple[str | None, str | None]:
        probe = socket.socket(self.family, self.type, self.proto, fileno=fd)
        try:
            return InstrumentedSocket._names(probe)  # type: ignore[arg-type]
        finally:
            probe.detach()

    def accept(self) -> tuple[InstrumentedSocket, Any]:
        fd, raw = self._accepted()
        new = type(self)(self.family, self.type, self.proto, fileno=fd, journal=self._journal)
        new.interruptible = self.interruptible
        if socket.getdefaulttimeout() is None and self._seconds:
            new.setblocking(True)  # as CPython does (its issue 7995)
        return new, unpack_address(raw)

    # Sending.

    def send(self, data: Any, flags: int = 0) -> int:
        return self._send(data, flags, self._deadline())

    def _send(self, data: Any, flags: int, deadline: float | None) -> int:
        raw, length = _buffer(data)
        args: dict[str, object] = {"length": length, "flags": constants.flags_name(flags)}

        def call() -> tuple[int, int]:
            return self._ask("send", args, syscalls.send, self.fileno(), raw, length, flags)

        return self._repeat(select.POLLOUT, call, deadline)

    def sendall(self, data: Any, flags: int = 0) -> None:
        left = memoryview(data).cast("B")
        deadline = self._deadline()
        while True:
            left = left[self._send(left, flags, deadline) :]
            if not left:
                return

    def sendto(self, data: Any, *rest: Any) -> int:  # type: ignore[override]
        flags, address = (0, rest[0]) if len(rest) == 1 else rest
        raw, length = _buffer(data)
        where, text = self._packed(address)
        args: dict[str, object] = {
            "length": length,
            "flags": constants.flags_name(flags),
            "address": text,
        }
        arguments = (raw, length, flags, where, len(where))

        def call() -> tuple[int, int]:
            names, self._told = not self._told, True
            return self._ask(
                "sendto", args, syscalls.sendto, self.fileno(), *arguments, names=names
            )

        return self._sending(call)

    def sendmsg(
        self,
        buffers: Iterable[Any],
        ancdata: Iterable[Any] = (),
        flags: int = 0,
        address: Any = None,
    ) -> int:
        parts, control = list(buffers), list(ancdata)
        args: dict[str, object] = {
            "length": sum(memoryview(part).nbytes for part in parts),
            "flags": constants.flags_name(flags),
            "address": None if address is None else self._packed(address)[1],
        }
        extra = (flags,) if address is None else (flags, address)

        def call() -> tuple[int, int]:
            names, self._told = address is not None and not self._told, True
            return self._outcome(
                lambda: self._python(
                    "sendmsg", args, _C.sendmsg, parts, control, *extra, names=names, result=int
                )
            )

        return self._sending(call)

    def _outcome(self, call: Callable[[], int]) -> tuple[int, int]:
        """``(result, errno)`` of a call made through CPython's method."""
        try:
            return call(), 0
        except OSError as failure:
            if failure.errno is None:
                raise
            return -1, failure.errno

    def write(self, data: Any) -> int:
        """write(2) to the descriptor, as ``os.write`` asks it."""
        raw, length = _buffer(data)
        args: dict[str, object] = {"length": length}
        return self._sending(
            lambda: self._ask("write", args, syscalls.write, self.fileno(), raw, length)
        )

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        if self._seconds == 0:
            raise ValueError("non-blocking sockets are not supported")
        try:
            source = file.fileno()
            size = os.fstat(source).st_size
        except (AttributeError, io.UnsupportedOperation):
            return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined]
        total, wanted = 0, count or max(0, size - offset)
        deadline = self._deadline()
        while total < wanted:
            sent = self._sendfile_once(source, offset + total, wanted - total, deadline)
            if sent == 0:
                break
            total += sent
        if total:
            file.seek(offset + total)
        return total

    def _sendfile_once(self, source: int, offset: int, length: int, deadline: float | None) -> int:
        args: dict[str, object] = {"in_fd": source, "offset": offset, "length": length}

        def call() -> tuple[int, int]:
            return self._outcome(
                lambda: self._python(
                    "sendfile",
                    args,
                    lambda _: os.sendfile(self.fileno(), source, offset, length),
                    result=int,
                )
            )

        return self._repeat(select.POLLOUT, call, deadline)

    # Receiving.

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        room = bytearray(bufsize)
        return bytes(room[: self._recv(room, bufsize, flags)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer).cast("B")
        return self._recv(view, nbytes or len(view), flags)

    def _recv(self, buffer: Any, length: int, flags: int) -> int:
        target = (ctypes.c_char * length).from_buffer(buffer)
        args: dict[str, object] = {"length": length, "flags": constants.flags_name(flags)}
        return self._receiving(
            lambda: self._ask("recv", args, syscalls.recv, self.fileno(), target, length, flags)
        )

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        room = bytearray(bufsize)
        length, address = self.recvfrom_into(room, bufsize, flags)
        return bytes(room[:length]), address

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        view = memoryview(buffer).cast("B")
        length = nbytes or len(view)
        target = (ctypes.c_char * length).from_buffer(view)
        raw = ctypes.create_string_buffer(syscalls.ADDRESS_SIZE)
        size = ctypes.c_uint(syscalls.ADDRESS_SIZE)
        args: dict[str, object] = {"length": length, "flags": constants.flags_name(flags)}

        def address() -> Any:
            return unpack_address(raw.raw[: size.value])

        def call() -> tuple[int, int]:
            size.value = syscalls.ADDRESS_SIZE
            arguments = (self.fileno(), target, length, flags, raw, ctypes.byref(size))
            return self._ask(
                "recvfrom",
                args,
                syscalls.recvfrom,
                *arguments,
                out=lambda: {"address": address_text(address())},
            )

        return self._receiving(call), address()

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> Any:
        return self._recvmsg(_C.recvmsg, bufsize, bufsize, ancbufsize, flags)

    def recvmsg_into(self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0) -> Any:
        parts = list(buffers)
        length = sum(memoryview(part).nbytes for part in parts)
        return self._recvmsg(_C.recvmsg_into, length, parts, ancbufsize, flags)

    def _recvmsg(self, method: Any, length: int, buffers: Any, ancbufsize: int, flags: int) -> Any:
        args: dict[str, object] = {"length": length, "flags": constants.flags_name(flags)}
        received: list[Any] = []

        def size(value: Any) -> int:
            return value[0] if isinstance(value[0], int) else len(value[0])

        def once() -> int:
            value = self._python(
                "recvmsg",
                args,
                method,
                buffers,
                ancbufsize,
                flags,
                result=size,
                out=lambda value: {"address": address_text(value[3])},
            )
            received.append(value)
            return size(value)

        self._receiving(lambda: self._outcome(once))
        return received[-1]

    def read(self, length: int) -> bytes:
        """read(2) from the descriptor, as ``os.read`` asks it."""
        room = bytearray(length)
        target = (ctypes.c_char * length).from_buffer(room)
        args: dict[str, object] = {"length": length}
        taken = self._receiving(
            lambda: self._ask("read", args, syscalls.read, self.fileno(), target, length)
        )
        return bytes(memoryview(room)[:taken])

    # Names and options.

    def getsockname(self) -> Any:
        return self._python("getsockname", {}, _C.getsockname, out=_address_out)

    def getpeername(self) -> Any:
        return self._python("getpeername", {}, _C.getpeername, out=_address_out)

    def getsockopt(self, level: int, optname: int, *buflen: int) -> Any:  # type: ignore[override]
        level_name, option_name = constants.option_names(level, optname)
        return self._python(
            "getsockopt",
            {"level": level_name, "option": option_name},
            _C.getsockopt,
            level,
            optname,
            *buflen,
            # A pending error is asked for where a connect ended: only now is the peer known.
            names=(level, optname) == (socket.SOL_SOCKET, socket.SO_ERROR),
            out=lambda value: {"value": constants.option_value(level, optname, value)},
        )

    def setsockopt(self, level: int, optname: int, *value: Any) -> None:  # type: ignore[override]
        level_name, option_name = constants.option_names(level, optname)
        args = {
            "level": level_name,
            "option": option_name,
            "value": constants.option_value(level, optname, value[0]),
        }
        self._python("setsockopt", args, _C.setsockopt, level, optname, *value)

    def _ioctl(self, name: str, request: int, value: int | None) -> None:
        args: dict[str, object] = {"request": name, "value": value}
        raw = ctypes.c_int(value or 0)
        self._python("ioctl", args, lambda _: fcntl.ioctl(self.fileno(), request, bytes(raw)))

    def settimeout(self, value: float | None) -> None:
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._ioctl("FIONBIO", constants.FIONBIO, int(value is not None))
        self._seconds = None if value is None else float(value)

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def gettimeout(self) -> float | None:
        return self._seconds

    def getblocking(self) -> bool:
        return self._seconds != 0.0

    @property
    def timeout(self) -> float | None:  # type: ignore[override]
        return self._seconds

    def set_inheritable(self, inheritable: bool) -> None:
        name, request = (
            ("FIONCLEX", constants.FIONCLEX) if inheritable else ("FIOCLEX", constants.FIOCLEX)
        )
        self._ioctl(name, request, None)

    # Ending.

    def shutdown(self, how: int) -> None:
        self._python("shutdown", {"how": constants.how_name(how)}, _C.shutdown, how)

    def dup(self) -> InstrumentedSocket:
        fd = self._must("dup", {}, syscalls.duplicate, self.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)
        new = type(self)(self.family, self.type, self.proto, fileno=fd, journal=self._journal)
        new._seconds, new.interruptible = self._seconds, self.interruptible
        return new

    def detach(self) -> int:
        self._journal.returned(self._journal.entered("detach", self.fileno(), {}), 0)
        return super().detach()

    def _real_close(self, _ss: Any = _C) -> None:
        fd = self.fileno()
        if fd < 0:
            return
        # The C object gives the number up first: as in C, the descriptor is gone even if
        # close() fails (close(2), NOTES).
        _C.detach(self)
        self._must("close", {}, syscalls.close, fd, fd=fd)

    def __del__(self) -> None:
        try:
            fd = self.fileno()
        except AttributeError:
            return
        if fd >= 0 and hasattr(self, "_journal"):
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._real_close()

    def __repr__(self) -> str:
        kind = f"{constants.family_name(self.family)} {constants.type_name(self.type)}"
        return f"<{type(self).__name__} fd={self.fileno()} {kind}>"


def _address_out(value: Any) -> dict[str, object]:
    return {"address": address_text(value)}


def socketpair(
    family: int = socket.AF_UNIX,
    type: int = socket.SOCK_STREAM,
    proto: int = 0,
    *,
    journal: Journal | None = None,
) -> tuple[InstrumentedSocket, InstrumentedSocket]:
    """Drop-in for ``socket.socketpair``."""
    journal = journal or environment_journal()
    kind = int(type) | socket.SOCK_CLOEXEC
    args: dict[str, object] = {
        "family": constants.family_name(family),
        "type": constants.type_name(kind),
        "protocol": proto,
    }
    pair = (ctypes.c_int * 2)()

    def call() -> tuple[int, dict[str, object]]:
        result = syscalls.new_pair(family, kind, proto, pair)
        return result, {"fds": list(pair)} if result == 0 else {}

    _, error = waiting.ask(journal, "socketpair", None, args, call)
    if error:
        raise _failure(error)
    first, second = (
        InstrumentedSocket(family, type, proto, fileno=fd, journal=journal) for fd in pair
    )
    return first, second
