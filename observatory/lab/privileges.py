"""Who the actors are: the user who typed the command, with no more power than that user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from observatory.lab import kernel

NETWORK_CAPABILITIES = frozenset({kernel.CAP_NET_ADMIN, kernel.CAP_NET_RAW})


@dataclass(frozen=True, slots=True)
class Person:
    """The user and group that actors run as and that a run's files belong to."""

    uid: int
    gid: int


def invoker(environment: Mapping[str, str] | None = None) -> Person:
    """Who typed the command: through sudo, the user whom sudo names in SUDO_UID and SUDO_GID."""
    environment = os.environ if environment is None else environment
    uid, gid = environment.get("SUDO_UID", ""), environment.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        return Person(int(uid), int(gid))
    return Person(os.geteuid(), os.getegid())


def become(person: Person, keep_network: bool) -> None:
    """Give up, for good, every privilege but ``person``'s own; with ``keep_network``
    CAP_NET_ADMIN and CAP_NET_RAW stay (TCP_REPAIR and raw sockets need them).

    Root with no user behind it stays uid 0, but with no capability: it may no longer bind a port
    below 1024 or open a raw socket.
    """
    kept = NETWORK_CAPABILITIES if keep_network else frozenset()
    for capability in range(kernel.last_capability() + 1):
        if capability not in kept:
            with suppress(OSError):  # not allowed without CAP_SETPCAP, and then not needed
                kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
    with suppress(OSError):
        kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    if person.uid != os.geteuid():
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(person.gid, person.gid, person.gid)
        os.setresuid(person.uid, person.uid, person.uid)
    kernel.set_capabilities(kept & _permitted())
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # the change of identity took /proc/self away


def _permitted() -> frozenset[int]:
    status = Path("/proc/self/status").read_text().split()
    mask = int(status[status.index("CapPrm:") + 1], 16)
    return frozenset(bit for bit in range(64) if mask >> bit & 1)
