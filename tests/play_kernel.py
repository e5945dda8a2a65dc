"""The lines of a play that are the kernel's own events.

::

    kernel in client sock:inet_sock_set_state client:5000 > server:80 CLOSED -> SYN-SENT
    kernel tcp:tcp_send_reset server:80 > client:5000 reason=NO_SOCKET
    kernel lost 3                      events that did not fit the buffer
    kernel missing skb:kfree_skb       this kernel has no such event

``in ROLE`` is the thread that was running, nobody's if left out. Endpoints may be left out, the
second too. What is written ``NAME=VALUE`` is the event's detail; ``OLD -> NEW`` are its states;
``about=#1`` says that the packet it names is that segment's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol as Shape

from observatory.model import Endpoint, KernelEvent, Process, Segment, Witness, parse_address
from observatory.model.calls import Argument

EVENTS = (
    "sock:inet_sock_set_state",
    "sock:inet_sk_error_report",
    "tcp:tcp_send_reset",
    "tcp:tcp_receive_reset",
    "tcp:tcp_retransmit_skb",
    "tcp:tcp_retransmit_synack",
    "tcp:tcp_destroy_sock",
    "skb:kfree_skb",
    "net:net_dev_queue",
)

EVENT = re.compile(
    r"kernel(?: in (?P<role>[\w.]+))? (?P<event>\w+:\w+)"
    r"(?: (?P<src>\S+:\d+))?(?: > (?P<dst>\S+:\d+))?"
    r"(?: (?P<old>[A-Z0-9-]+) -> (?P<new>[A-Z0-9-]+))?(?P<detail>(?: \w+=\S*)*)"
)
LOST = re.compile(r"kernel lost (?P<count>\d+)")
MISSING = re.compile(r"kernel missing (?P<event>\w+:\w+)")


@dataclass
class Kernel:
    """What the kernel said in the play so far."""

    events: list[KernelEvent] = field(default_factory=list)
    lost: int = 0
    missing: list[str] = field(default_factory=list)

    def witness(self) -> Witness | None:
        """None where no line speaks of the kernel: then it was not asked."""
        if not (self.events or self.lost or self.missing):
            return None
        watched = tuple(name for name in EVENTS if name not in self.missing)
        return Witness(watched, tuple(self.missing), self.lost)


class Telling(Shape):
    """What an event's line needs to know of the play so far."""

    now: int
    segments: list[Segment]
    kernel: Kernel
    processes: dict[str, Process]

    def resolve(self, text: str) -> str: ...


def add_event(told: Telling, found: re.Match[str]) -> None:
    detail: dict[str, Argument] = dict(pair.split("=", 1) for pair in found["detail"].split())
    if "about" in detail:
        number = int(str(detail.pop("about"))[1:])
        detail["segment_time"] = told.segments[number - 1].time_ns
    if found["old"]:
        detail = {"old": found["old"], "new": found["new"], **detail}
    told.kernel.events.append(
        KernelEvent(
            len(told.kernel.events) + 1,
            told.now,
            found["event"],
            told.processes[found["role"]].pid if found["role"] else 0,
            _endpoint(told, found["src"]),
            _endpoint(told, found["dst"]),
            detail,
        )
    )


def lose(told: Telling, found: re.Match[str]) -> None:
    told.kernel.lost = int(found["count"])


def miss(told: Telling, found: re.Match[str]) -> None:
    told.kernel.missing.append(found["event"])


def _endpoint(told: Telling, text: str | None) -> Endpoint | None:
    address = parse_address(told.resolve(text)) if text else None
    return address if isinstance(address, Endpoint) else None
