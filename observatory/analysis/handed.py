"""Descriptors that come into a process from another: SCM_RIGHTS (unix(7)), pidfd_getfd(2)."""

from __future__ import annotations

from observatory.model import Call

# No message hands over more descriptors than this (SCM_MAX_FD is 253).
MOST_RIGHTS = 256


def come_from(call: Call) -> dict[int, tuple[int, int]]:
    """New descriptors, and the process and number that named the same before, where known."""
    if call.name == "recvmsg":
        new, old = call.args.get("rights"), call.args.get("rights_of")
    else:
        new, old = (call.result,), (call.args.get("of"),)
    if not isinstance(new, (tuple, list)) or not isinstance(old, (tuple, list)):
        return {}
    return {
        fd: (origin[0], origin[1])
        for fd, origin in zip(new, old, strict=False)
        if isinstance(fd, int)
        and isinstance(origin, (tuple, list))
        and len(origin) == 2
        and isinstance(origin[0], int)
        and isinstance(origin[1], int)
    }
