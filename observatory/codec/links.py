"""Link layers by LINKTYPE (https://www.tcpdump.org/linktypes.html): what stands before IP."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})

# AF_INET and the AF_INET6 of Linux, NetBSD/OpenBSD, FreeBSD and macOS: LINKTYPE_NULL keeps the
# number, in the byte order, of the machine that captured.
LOOPBACK_FAMILIES = {
    family.to_bytes(4, order): ethertype
    for order in ("little", "big")
    for family, ethertype in (
        (2, ETHERTYPE_IPV4),
        *((number, ETHERTYPE_IPV6) for number in (10, 24, 28, 30)),
    )
}

_short = Struct("!H").unpack_from


def _ethernet(data: bytes) -> tuple[int, int]:
    ethertype: int = _short(data, 12)[0]
    return _behind_tags(data, 14) if ethertype in VLAN_TAGS else (14, ethertype)


def _behind_tags(data: bytes, start: int) -> tuple[int, int]:
    """Steps over IEEE 802.1Q tags; ``start`` is where the payload is if there are none."""
    ethertype = _short(data, start - 2)[0]
    while ethertype in VLAN_TAGS:
        start += 4
        ethertype = _short(data, start - 2)[0]
    return start, ethertype


def _raw(data: bytes) -> tuple[int, int]:
    return 0, {4: ETHERTYPE_IPV4, 6: ETHERTYPE_IPV6}.get(data[0] >> 4, 0)


def _loopback(data: bytes) -> tuple[int, int]:
    return 4, LOOPBACK_FAMILIES.get(data[:4], 0)


def _cooked(data: bytes) -> tuple[int, int]:
    return _behind_tags(data, 16)


def _cooked2(data: bytes) -> tuple[int, int]:
    ethertype = _short(data, 0)[0]
    return _behind_tags(data, 24) if ethertype in VLAN_TAGS else (20, ethertype)


# Where the IP header starts, and the EtherType that announces it (0: none does). Too few bytes
# raise struct.error or IndexError.
LINKS: dict[int, Callable[[bytes], tuple[int, int]]] = {
    0: _loopback,  # NULL
    1: _ethernet,
    12: _raw,  # RAW as Linux and BSD number it
    14: _raw,  # RAW as OpenBSD numbers it
    101: _raw,
    108: _loopback,  # LOOP
    113: _cooked,  # LINUX_SLL
    228: lambda data: (0, ETHERTYPE_IPV4),
    229: lambda data: (0, ETHERTYPE_IPV6),
    276: _cooked2,  # LINUX_SLL2
}
