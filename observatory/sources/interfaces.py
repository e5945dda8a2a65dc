"""Where to listen: the interfaces of this network namespace."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from observatory.errors import CaptureError, PermissionRefused
from observatory.sources.bpf import attach, compile_filter
from observatory.sources.ring import link_of, open_packet_socket

SIOCGIFFLAGS: Final = 0x8913
IFF_UP: Final = 0x1
NAME_BYTES: Final = 16


def interfaces_up() -> list[str]:
    """The interfaces that are up, loopback first; without the ports of bridges and bonds, whose
    packets the bridge or bond shows too."""
    names = [name for _, name in socket.if_nameindex() if _is_up(name) and not _has_master(name)]
    return sorted(names, key=lambda name: name != "lo")


def open_captures(names: Sequence[str], expression: str | None = None) -> list[socket.socket]:
    """A packet socket for each interface, or for all that are up where none is named.

    Those of a kind that cannot be decoded are passed over unless they are named. Raises
    PermissionRefused without CAP_NET_RAW, CaptureError, UsageError for a filter that is none.
    """
    with ExitStack() as stack:
        opened = []
        for name in names or interfaces_up():
            try:
                sock = _open(name, expression)
            except CaptureError:
                if names:
                    raise
                continue
            opened.append(stack.enter_context(sock))
        if not opened:
            raise CaptureError("no interface is up: `ip link set lo up` raises the loopback")
        stack.pop_all()
        return opened


def _open(name: str, expression: str | None) -> socket.socket:
    try:
        sock = open_packet_socket(name)
    except PermissionRefused:
        raise PermissionRefused(
            "capturing on this machine's interfaces needs CAP_NET_RAW: give the command a network "
            "of its own with --private, or run it with sudo"
        ) from None
    try:
        linktype = link_of(sock).linktype
        if expression:
            attach(sock, compile_filter(expression, linktype))
    except BaseException:
        sock.close()
        raise
    return sock


def _is_up(name: str) -> bool:
    request = struct.pack(f"{NAME_BYTES}sH22x", name.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, SIOCGIFFLAGS, request)
        except OSError:
            return False
    return bool(struct.unpack_from("H", answer, NAME_BYTES)[0] & IFF_UP)


def _has_master(name: str) -> bool:
    return Path(f"/sys/class/net/{name}/master").exists()
