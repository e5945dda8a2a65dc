"""Descriptors that come from another process: whose they were there.

Their numbers say nothing across processes; the inode that ``-y`` tells is the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from observatory.codec.strace.arguments import argument
from observatory.codec.strace.draft import Draft
from observatory.codec.strace.raw import Raw
from observatory.codec.strace.transfers import passed_descriptors
from observatory.codec.strace.values import Descriptor


@dataclass(slots=True)
class Holders:
    """By inode the (process, descriptor) that was seen to name it last."""

    last: dict[int, tuple[int, int]] = field(default_factory=dict)

    def follow(self, draft: Draft, raw: Raw, pid: int) -> None:
        """Tell recvmsg's and pidfd_getfd's new descriptors by an old one (``rights_of``, ``of``);
        remember who names what."""
        value = raw.outcome.value if raw.outcome is not None else None
        if draft.name == "recvmsg" and "rights" in draft.args:
            passed = passed_descriptors(argument(raw, 1))
            known = tuple(self._known(_inode(one)) for one in passed)
            draft.args |= {"rights_of": known} if any(known) else {}
        elif draft.name == "pidfd_getfd":
            known_as = self._known(draft.inode)
            draft.args |= {"of": known_as} if known_as else {}
        elif draft.name == "sendmsg":
            for one in passed_descriptors(argument(raw, 1)):
                self._remember(
                    _inode(one), pid, one.number if isinstance(one, Descriptor) else None
                )
        self._remember(draft.inode, pid, value if draft.fd is None else draft.fd)

    def _known(self, inode: int | None) -> tuple[int, int] | None:
        return None if inode is None else self.last.get(inode)

    def _remember(self, inode: int | None, pid: int, fd: int | None) -> None:
        if inode is not None and fd is not None and fd >= 0:
            self.last[inode] = (pid, fd)


def _inode(value: object) -> int | None:
    return value.inode if isinstance(value, Descriptor) else None
