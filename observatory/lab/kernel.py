"""prctl, unshare and capset, which Python 3.11 does not offer."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13

_CAPABILITY_VERSION_3 = 0x20080522


def _check(result: int) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def unshare(flags: int) -> None:
    """Move this process into new namespaces (unshare(2)). Raises OSError."""
    _check(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Move this process into the namespace of a /proc/PID/ns file (setns(2)). Raises OSError."""
    _check(_libc.setns(fd, kind))


def prctl(option: int, argument: int | bytes = 0) -> None:
    """prctl(2) with one argument. Raises OSError."""
    value = ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    _check(_libc.prctl(option, value, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def set_capabilities(kept: frozenset[int]) -> None:
    """Make ``kept`` the permitted and effective capabilities, and none inheritable (capset(2)).

    Raises OSError if one of them is not permitted now.
    """
    words = [0, 0]
    for capability in kept:
        words[capability // 32] |= 1 << (capability % 32)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(words[0], words[0], 0, words[1], words[1], 0)
    _check(_libc.capset(header, data))


def keep_over_exec(capability: int) -> None:
    """Let a program that this process becomes keep ``capability``: of a user namespace's powers,
    execve() leaves an ordinary user only the ambient ones (capabilities(7)).

    Raises OSError if it is not permitted now.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, data))
    data[3 * (capability // 32) + 2] |= 1 << (capability % 32)  # inheritable
    _check(_libc.capset(header, data))
    none = ctypes.c_ulong(0)
    raised = ctypes.c_ulong(capability)
    _check(_libc.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(PR_CAP_AMBIENT_RAISE), raised, none, none))


def last_capability() -> int:
    """The highest capability number that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())
