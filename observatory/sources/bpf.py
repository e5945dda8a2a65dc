"""Capture filters: libpcap's expressions, compiled by tcpdump, run by the kernel.

A filter decides before a frame is queued (packet(7), pcap-filter(7)), so what it refuses costs
nothing and is seen by nobody.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
from typing import Final

from observatory.errors import MissingTool, UsageError
from observatory.sources.ring import SO_ATTACH_FILTER, SOCK_FILTER

TCPDUMP_NAMES: Final = {1: "EN10MB", 101: "RAW"}
"""pcap LINKTYPE to the name that tcpdump -y knows."""


def compile_filter(expression: str, linktype: int) -> bytes:
    """The filter program for frames of ``linktype``: struct sock_filter one after another.

    Raises UsageError where the expression is none, MissingTool without tcpdump.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    tcpdump = shutil.which("tcpdump", path=path)
    if tcpdump is None:
        raise MissingTool("tcpdump compiles the filter of -f: sudo apt-get install tcpdump")
    said = subprocess.run(
        [tcpdump, "-ddd", "-y", TCPDUMP_NAMES[linktype], "--", expression],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if said.returncode:
        reason = said.stderr.strip().removeprefix("tcpdump: ")
        raise UsageError(f"-f {expression!r} is no filter: {reason}; see pcap-filter(7)")
    lines = said.stdout.split("\n")[1:]
    return b"".join(SOCK_FILTER.pack(*map(int, line.split())) for line in lines if line)


def attach(sock: socket.socket, program: bytes) -> None:
    """Have ``sock`` queue only what ``program`` lets through."""
    memory = ctypes.create_string_buffer(program)
    length = len(program) // SOCK_FILTER.size
    reference = struct.pack("@HP", length, ctypes.addressof(memory))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, reference)
