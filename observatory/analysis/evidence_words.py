"""What the kernel can say, as a pattern that its events are compared with and as words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.analysis.witness_events import ERROR_REPORT, SEND_RESET, SET_STATE
from observatory.model import KernelEvent

UNTOLD = frozenset({"", "0", "NOT_SPECIFIED"})
"""Reasons and errors that say nothing: of older kernels, and of places that name none."""


@dataclass(frozen=True, slots=True)
class Says:
    """A pattern for an event: its name and what its detail must be one of (``other``: what it
    must be none of, and yet something). ``thread``: it must have run in the thread of the call that
    we hold for the cause; ``stranger``: in the thread of another process of the run. ``errno``:
    whether its error is the one that the call returned (None: no matter). ``elsewhere``: it names
    another packet than the one that we hold a RST for the answer to."""

    event: str
    detail: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other: bool = False
    thread: bool = False
    stranger: bool = False
    errno: bool | None = None
    elsewhere: bool = False

    def fits(self, event: KernelEvent) -> bool:
        """Name and detail, without the thread and the error of the call."""
        return event.event == self.event and all(
            self._fits(str(event.detail.get(name, "")), wanted)
            for name, wanted in self.detail.items()
        )

    def _fits(self, said: str, wanted: tuple[str, ...]) -> bool:
        if self.other:
            return said not in wanted and said not in UNTOLD
        return said in wanted

    def words(self) -> str:
        """For the reader of the table: ``tcp_send_reset, reason NO_SOCKET``."""
        name = self.event.partition(":")[2]
        told = [f"{key} {_either(values, self.other)}" for key, values in self.detail.items()]
        if self.errno is not None:
            told.append("error as returned" if self.errno else "another error")
        if self.thread:
            told.append("in the call's thread")
        if self.elsewhere:
            told.append("for another segment than we say")
        if self.stranger:
            told.append("in another process of the run")
        return ", ".join([f"`{name}`", *told])


def _either(values: tuple[str, ...], other: bool) -> str:
    shown = " or ".join(values)
    return f"other than {shown}" if other else shown


def moved(*new: str, old: tuple[str, ...] = (), thread: bool = False, stranger: bool = False
          ) -> Says:  # fmt: skip
    """A socket went to one of the states ``new``, from one of ``old`` where they are given."""
    detail = {"old": old, "new": new} if old else {"new": new}
    return Says(SET_STATE, detail, thread=thread, stranger=stranger)


def resets_for(*reasons: str, other: bool = False) -> Says:
    """A RST was sent for one of these reasons, or for ``other`` ones."""
    return Says(SEND_RESET, {"reason": reasons}, other=other)


def reports(*, errno: bool) -> Says:
    """The socket was given the error that the call returned, or another one."""
    return Says(ERROR_REPORT, errno=errno)
