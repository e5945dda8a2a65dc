"""Calls by what they do to a socket."""

from __future__ import annotations

from observatory.analysis.lives import SocketLife
from observatory.model import Call

SENDING = frozenset({"send", "sendto", "sendmsg", "sendmmsg", "write", "writev", "sendfile"})
RECEIVING = frozenset({"recv", "recvfrom", "recvmsg", "recvmmsg", "read", "readv"})
ACCEPTING = frozenset({"accept", "accept4"})
WAITING = frozenset({"poll", "ppoll", "select", "pselect6", "epoll_wait"})
DUPLICATING = frozenset({"dup", "dup2", "dup3"})
ENDING = frozenset({"exit", "exit_group"})
# What closes descriptors not in the caller's thread, or not while the call is seen to run.
TAKING_APART = frozenset({*ENDING, "execve", "kill"})

# Calls after which a socket may have other names than before, or tell those of another.
NAMING = frozenset({*ACCEPTING, "connect"})


def sends(call: Call) -> bool:
    """The call puts bytes into its socket."""
    into = call.name == "splice" and call.args.get("out_fd") == call.fd
    return into or call.name in SENDING


def receives(call: Call) -> bool:
    """The call takes bytes from its socket."""
    out_of = call.name == "splice" and call.args.get("in_fd") == call.fd
    return out_of or call.name in RECEIVING


def bytes_of(call: Call) -> int:
    """How many bytes a call that returned put into or took from its socket."""
    each = call.args.get("taken")
    if call.name in ("sendmmsg", "recvmmsg") and isinstance(each, (tuple, list)):
        return sum(size for size in each[: call.result or 0] if isinstance(size, int))
    return call.result or 0


def ends_sending(life: SocketLife) -> int | None:
    """The call that ended a socket's sending direction: the first shutdown for writing, or what
    gave up its last descriptor (shutdown(2), close(2))."""
    for call in life.named("shutdown"):
        if not call.failed and call.args.get("how") != "SHUT_RD":
            return call.id
    return life.closed_by


def base_type(type_argument: object) -> str:
    """``SOCK_STREAM`` of ``SOCK_STREAM|SOCK_CLOEXEC``."""
    return str(type_argument).split("|", 1)[0]
