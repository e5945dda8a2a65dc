"""What a behaviour asks of its stage: a plain value, cheap to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observatory.lab.playing import Stage
    from observatory.lab.topology import Plan

Play = Callable[["Stage"], None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour of the catalogue.

    ``section`` is the section of UNP volume 1. ``lab`` is where it plays: a ready-made lab
    (``loopback``, ``pair``, ``routed``) or a :class:`topology.Plan`. ``hosts`` says which of its
    hosts a role is on (role to host); a role that is not named is on the host of its own name, a
    forked child on its parent's. ``sysctls`` (name to value) are set on every host before the
    play, those of one host as ``{host: {name: value}}``. ``faults`` are in force from the
    beginning. ``captures_loopback`` captures on each host's ``lo`` too. ``privileged`` lets actors
    keep CAP_NET_RAW and CAP_NET_ADMIN: all (True), or those whose roles are named.
    ``needs_private`` is why it cannot be observed on the host's own loopback, empty if it can.
    ``time_limit`` is in seconds, ``aftermath`` how many more are waited for what the kernel still
    has to send. ``expects`` is for tests only. ``slow`` marks those that wait for the kernel's own
    timers of seconds; one that ``takes_minutes`` runs only where ``--slow`` is said.
    """

    name: str
    section: str
    title: str
    summary: str
    play: Play
    lab: str | Plan = "loopback"
    hosts: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    faults: tuple[Any, ...] = ()
    captures_loopback: bool = False
    privileged: bool | tuple[str, ...] = False
    needs_private: str = ""
    time_limit: float = 30.0
    aftermath: float = 5.0
    slow: bool = False
    takes_minutes: bool = False
    expects: Any = None

    @property
    def host_refusal(self) -> str:
        """Why it refuses to run on the host's own network; empty if it does not."""
        if self.needs_private:
            return self.needs_private
        if self.lab != "loopback":
            return f"it plays in a lab ({self.lab if isinstance(self.lab, str) else self.lab.name})"
        if self.faults:
            return "it breaks the network"
        if self.sysctls:
            return "it sets " + ", ".join(f"{name}={self.sysctls[name]}" for name in self.sysctls)
        return ""

    def host_of(self, role: str) -> str:
        """The host that ``role`` is on, in a lab that has several."""
        return self.hosts.get(role) or role.partition(".")[0]

    def settings_of(self, host: str) -> dict[str, str]:
        """The sysctls that are to hold on ``host``, its own last."""
        common = {name: value for name, value in self.sysctls.items() if isinstance(value, str)}
        own = self.sysctls.get(host, {})
        return {**common, **(own if isinstance(own, Mapping) else {})}

    def keeps_privileges(self, role: str) -> bool:
        """True if the actor ``role`` (or its forked children) crafts packets or repairs TCP."""
        if isinstance(self.privileged, bool):
            return self.privileged
        return role in self.privileged
