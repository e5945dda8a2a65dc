"""Interfaces without offload, so that what is captured is what a wire would carry.

A veth pair never cuts a large segment and never sums a checksum by itself: it leaves both to
"hardware" behind it. A capture would then show one segment of 60 KB where the MTU is 1500, and
checksums that are wrong. ethtool's requests (linux/ethtool.h, SIOCETHTOOL of linux/sockios.h)
switch that off; they go to any socket in the interface's network namespace.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct
from typing import Final

SIOCETHTOOL: Final = 0x8946
ETHTOOL_STXCSUM, ETHTOOL_STSO = 0x17, 0x1F
ETHTOOL_SGSO, ETHTOOL_SGRO = 0x24, 0x2C
REQUESTS: Final = (ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM)
NAME_BYTES: Final = 16

SEGMENTS_AT_ONCE: Final = 1
"""For ``gso_max_segs`` of a link: TCP then makes each segment a packet of its own from the first,
and what the kernel tells of a packet (retransmitted, dropped) is told of one segment."""


def switch_off(device: str) -> None:
    """Have the kernel cut segments and sum checksums before they come to ``device``.

    Needs CAP_NET_ADMIN in the namespace. Raises OSError if there is no such device.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for request in REQUESTS:
            value = array.array("I", [request, 0])  # struct ethtool_value
            address, _ = value.buffer_info()
            name = struct.pack(f"{NAME_BYTES}sP", device.encode(), address)
            try:
                fcntl.ioctl(sock, SIOCETHTOOL, name.ljust(40, b"\0"))
            except OSError as refusal:
                if refusal.errno != errno.EOPNOTSUPP:  # what it has not need not be switched off
                    raise
