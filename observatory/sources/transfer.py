"""Sending and receiving, journaled."""

from __future__ import annotations

import ctypes
import io
import os
import select
from collections.abc import Iterable
from typing import Any

from observatory.sources import constants, syscalls
from observatory.sources.asking import C_SOCKET, AskingSocket
from observatory.sources.syscalls import address_text, unpack_address


def _buffer(data: Any) -> tuple[Any, int]:
    """What C can read ``data`` from, and its length in bytes."""
    if not isinstance(data, bytes):
        data = memoryview(data).tobytes()
    return data, len(data)


class TransferSocket(AskingSocket):
    """A socket whose data calls are journaled, each with the length that was asked for."""

    __slots__ = ()

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

    def sendto(self, data: Any, *rest: Any) -> int:
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
                "sendto",
                args,
                syscalls.sendto,
                self.fileno(),
                *arguments,
                names=self._names if names else None,
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
                    "sendmsg",
                    args,
                    C_SOCKET.sendmsg,
                    parts,
                    control,
                    *extra,
                    names=self._names if names else None,
                    result=int,
                )
            )

        return self._sending(call)

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
            whole: Any = self  # no regular file: Python reads it and sends
            return int(whole._sendfile_use_send(file, offset, count))
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
        return self._recvmsg(C_SOCKET.recvmsg, bufsize, bufsize, ancbufsize, flags)

    def recvmsg_into(self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0) -> Any:
        parts = list(buffers)
        length = sum(memoryview(part).nbytes for part in parts)
        return self._recvmsg(C_SOCKET.recvmsg_into, length, parts, ancbufsize, flags)

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
