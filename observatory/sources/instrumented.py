"""A drop-in ``socket.socket`` that journals every call as the kernel was asked it.

What Python would do out of sight is there too: see :mod:`observatory.sources.asking`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import select
import socket
import warnings
from typing import Any

from observatory.sources import constants, syscalls, waiting
from observatory.sources.asking import C_SOCKET, WOULD_BLOCK, failure_of
from observatory.sources.inquiry import about
from observatory.sources.journal import Journal, environment_journal
from observatory.sources.syscalls import address_text, unpack_address
from observatory.sources.transfer import TransferSocket


class InstrumentedSocket(TransferSocket):
    """``socket.socket(family, type, proto, fileno)`` with a journal.

    ``journal`` defaults to the one that the environment names. Raises what ``socket.socket``
    raises.
    """

    __slots__ = ()

    # Opening.

    def bind(self, address: Any) -> None:
        raw, text = self._packed(address)
        self._must(
            "bind",
            {"address": text},
            syscalls.bind,
            self.fileno(),
            raw,
            len(raw),
            names=self._names,
        )

    def listen(self, backlog: int = 128) -> None:
        self._python("listen", {"backlog": backlog}, C_SOCKET.listen, backlog, names=self._names)

    def connect(self, address: Any) -> None:
        error = self._connect(address)
        if error in WOULD_BLOCK and self._seconds:
            raise TimeoutError("timed out")
        if error:
            raise failure_of(error)

    def connect_ex(self, address: Any) -> int:
        return self._connect(address)

    def dissolve(self) -> None:
        """connect() to an address of family AF_UNSPEC, which Python has no way to say: a
        datagram socket forgets its peer, a TCP connection is aborted (connect(2))."""
        raw = bytes(16)
        args: dict[str, object] = {"address": "AF_UNSPEC"}
        self._must(
            "connect", args, syscalls.connect, self.fileno(), raw, len(raw), names=self._names
        )

    def _connect(self, address: Any) -> int:
        raw, text = self._packed(address)
        deadline = self._deadline()
        args: dict[str, object] = {"address": text}
        _, error = self._ask(
            "connect", args, syscalls.connect, self.fileno(), raw, len(raw), names=self._names
        )
        interrupted = error == errno.EINTR and not self.interruptible
        if not interrupted and not (error == errno.EINPROGRESS and self._seconds):
            return error
        # The kernel goes on connecting. Calling connect again would only say EALREADY.
        if not self._wait(select.POLLOUT, deadline):
            return errno.EWOULDBLOCK
        return int(self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _accepted(self) -> tuple[int, Any]:
        """One accept4 after the other until one succeeds: the new descriptor and its peer."""
        raw = ctypes.create_string_buffer(syscalls.ADDRESS_SIZE)
        size = ctypes.c_uint()
        args: dict[str, object] = {"flags": "SOCK_CLOEXEC"}

        def call() -> tuple[int, int]:
            size.value = syscalls.ADDRESS_SIZE
            arguments = (self.fileno(), raw, ctypes.byref(size), socket.SOCK_CLOEXEC)
            queue = about(self)
            return self._ask(
                "accept4", args, syscalls.accept4, *arguments, names=names, before=queue
            )

        def names(fd: int) -> tuple[str | None, str | None]:
            # A connection that was reset in the queue has no getpeername() any more, but
            # accept4() itself still told who it was.
            local, peer = self._names_of_new(fd)
            told = None if fd < 0 else address_text(unpack_address(raw.raw[: size.value]))
            return local, peer or told

        return self._receiving(call), unpack_address(raw.raw[: size.value])

    def accept(self) -> tuple[InstrumentedSocket, Any]:
        fd, address = self._accepted()
        new = type(self)(self.family, self.type, self.proto, fileno=fd, journal=self._journal)
        new.interruptible = self.interruptible
        if socket.getdefaulttimeout() is None and self._seconds:
            new.setblocking(True)  # as CPython does (its issue 7995)
        return new, address

    def accept_with_room(self, room: int | None) -> InstrumentedSocket:
        """accept4() as C has it: with room for ``room`` bytes of the peer's address, or with null
        pointers (None). The length that the kernel put in the room's place is journaled."""
        raw = ctypes.create_string_buffer(syscalls.ADDRESS_SIZE)
        size = ctypes.c_uint(room or 0)
        pointers = (None, None) if room is None else (raw, ctypes.byref(size))
        args: dict[str, object] = {"flags": "SOCK_CLOEXEC"}
        args |= {"sockaddr": "NULL"} if room is None else {"room": room}

        def told() -> dict[str, object]:
            return {} if room is None else {"address_length": size.value}

        def call() -> tuple[int, int]:
            arguments = (self.fileno(), *pointers, socket.SOCK_CLOEXEC)
            options: dict[str, Any] = {
                "names": self._names_of_new,
                "out": told,
                "before": about(self),
            }
            return self._ask("accept4", args, syscalls.accept4, *arguments, **options)

        fd = self._receiving(call)
        return type(self)(self.family, self.type, self.proto, fileno=fd, journal=self._journal)

    # Names and options.

    def getsockname(self) -> Any:
        return self._python("getsockname", {}, C_SOCKET.getsockname, out=_address_out)

    def getpeername(self) -> Any:
        return self._python("getpeername", {}, C_SOCKET.getpeername, out=_address_out)

    def getsockopt(self, level: int, optname: int, *buflen: int) -> Any:
        level_name, option_name = constants.option_names(level, optname)
        pending = (level, optname) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return self._python(
            "getsockopt",
            {"level": level_name, "option": option_name},
            C_SOCKET.getsockopt,
            level,
            optname,
            *buflen,
            # A pending error is asked for where a connect ended: only now is the peer known.
            names=self._names if pending else None,
            out=lambda value: {"value": constants.option_value(level, optname, value)},
        )

    def setsockopt(self, level: int, optname: int, *value: Any) -> None:
        level_name, option_name = constants.option_names(level, optname)
        args = {
            "level": level_name,
            "option": option_name,
            "value": constants.option_value(level, optname, value[0]),
        }
        self._python("setsockopt", args, C_SOCKET.setsockopt, level, optname, *value)

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
    def timeout(self) -> float | None:
        return self._seconds

    def set_inheritable(self, inheritable: bool) -> None:
        name, request = (
            ("FIONCLEX", constants.FIONCLEX) if inheritable else ("FIOCLEX", constants.FIOCLEX)
        )
        self._ioctl(name, request, None)

    # Ending.

    def shutdown(self, how: int) -> None:
        args: dict[str, object] = {"how": constants.how_name(how)}
        self._python("shutdown", args, C_SOCKET.shutdown, how, before=about(self))

    def dup(self) -> InstrumentedSocket:
        fd = self._must("dup", {}, syscalls.duplicate, self.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)
        new = type(self)(self.family, self.type, self.proto, fileno=fd, journal=self._journal)
        new._seconds, new.interruptible = self._seconds, self.interruptible
        return new

    def detach(self) -> int:
        self._journal.returned(self._journal.entered("detach", self.fileno(), {}), 0)
        return super().detach()

    def _real_close(self, _ss: Any = C_SOCKET) -> None:
        fd = self.fileno()
        if fd < 0:
            return
        asked = about(self)
        # The C object gives the number up first: as in C, the descriptor is gone even if
        # close() fails (close(2), NOTES).
        C_SOCKET.detach(self)
        self._must("close", {}, syscalls.close, fd, fd=fd, before=asked)

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
    type: int = socket.SOCK_STREAM,  # noqa: A002
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
        raise failure_of(error)
    first, second = (
        InstrumentedSocket(family, type, proto, fileno=fd, journal=journal) for fd in pair
    )
    return first, second
