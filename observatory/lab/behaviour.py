"""What a behaviour asks of its stage: a plain value, cheap to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observatory.lab.playing import Stage

Play = Callable[["Stage"], None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour of the catalogue.

    ``section`` is the section of UNP volume 1. ``sysctls`` (name to value) are set in the private
    namespace before the play. ``privileged`` lets actors keep CAP_NET_RAW and CAP_NET_ADMIN: all
    (True), or those whose roles are named. ``needs_private`` is why it cannot be observed on the
    host's own loopback, empty if it can. ``time_limit`` is in seconds. ``expects`` is for tests
    only. ``slow`` marks those that wait for the kernel's own timers of seconds.
    """

    name: str
    section: str
    title: str
    summary: str
    play: Play
    sysctls: Mapping[str, str] = field(default_factory=dict)
    privileged: bool | tuple[str, ...] = False
    needs_private: str = ""
    time_limit: float = 30.0
    slow: bool = False
    expects: Any = None

    @property
    def host_refusal(self) -> str:
        """Why it refuses to run on the host's own network; empty if it does not."""
        if self.needs_private:
            return self.needs_private
        if self.sysctls:
            return "it sets " + ", ".join(f"{name}={self.sysctls[name]}" for name in self.sysctls)
        return ""

    def keeps_privileges(self, role: str) -> bool:
        """True if the actor ``role`` (or its forked children) crafts packets or repairs TCP."""
        if isinstance(self.privileged, bool):
            return self.privileged
        return role in self.privileged
