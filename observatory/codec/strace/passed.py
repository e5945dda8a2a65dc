"""Descriptors that come from another process: whose they were there.

Their numbers say nothing across processes; the inode that ``-y`` tells is the same everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from observatory.codec.strace.arguments import argument, number
from observatory.codec.strace.draft import Draft
from observatory.codec.strace.raw import Raw
from observatory.codec.strace.transfers import passed_descriptors
from observatory.codec.strace.values import Descriptor
from observatory.model.calls import Argument


@dataclass(slots=True)
class Holders:
    """By inode the (process, descriptor) pairs that were seen to name it, with times; and what
    was received, whose origin is told when all is read: a call that waits for it begins early.
    """

    seen: dict[int, list[tuple[int, tuple[int, int]]]] = field(default_factory=dict)
    sent: dict[int, list[tuple[int, tuple[int, int]]]] = field(default_factory=dict)
    received: list[tuple[dict[str, Argument], tuple[int | None, ...], int]] = field(
        default_factory=list
    )

    def follow(self, draft: Draft, raw: Raw, pid: int, returned_ns: int) -> None:
        """Remember who names what, and what came from elsewhere."""
        value = raw.outcome.value if raw.outcome is not None else None
        if draft.name == "pidfd_getfd":
            self.received.append((draft.args, (draft.inode,), returned_ns))
            return
        if "rights" in draft.args:
            passed = passed_descriptors(argument(raw, 1))
            if draft.name == "recvmsg":
                self.received.append((draft.args, tuple(map(_inode, passed)), returned_ns))
            for one in passed if draft.name == "sendmsg" else ():
                _remember(self.sent, _inode(one), raw.entered_ns, pid, number(one))
        fd = value if draft.fd is None else draft.fd
        _remember(self.seen, draft.inode, raw.entered_ns, pid, fd)

    def tell(self) -> None:
        """Set ``rights_of`` of each recvmsg and ``of`` of each pidfd_getfd, where known."""
        for args, inodes, returned_ns in self.received:
            if "rights" in args:
                origins = tuple(_before(self.sent, inode, returned_ns) for inode in inodes)
                args |= {"rights_of": origins} if any(origins) else {}
            else:
                origin = _before(self.seen, inodes[0], returned_ns)
                args |= {"of": origin} if origin else {}


def _remember(
    known: dict[int, list[tuple[int, tuple[int, int]]]],
    inode: int | None,
    time_ns: int,
    pid: int,
    fd: int | None,
) -> None:
    if inode is None or fd is None or fd < 0:
        return
    told = known.setdefault(inode, [])
    if not told or told[-1][1] != (pid, fd):
        told.append((time_ns, (pid, fd)))


def _before(
    known: dict[int, list[tuple[int, tuple[int, int]]]], inode: int | None, time_ns: int
) -> tuple[int, int] | None:
    told = known.get(inode, []) if inode is not None else []
    index = bisect_right(told, time_ns, key=lambda one: one[0])
    return told[index - 1][1] if index else None


def _inode(value: object) -> int | None:
    return value.inode if isinstance(value, Descriptor) else None
