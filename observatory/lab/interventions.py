"""What is done to the lab during a play: faults put in force and mended, by those who may.

::

    actor (no privileges)                        stage process (holds the namespaces)
    actor.fault(Drop(...)) ── a datagram ──────▶ Interventions.serve(): puts it in force,
                                                 writes down when
                       ◀── blackboard ────────── done, or why not

The datagrams pass through a pair of Unix sockets made before the actors are forked. The actors'
end has a descriptor number that no program reaches, and nothing of it is journaled.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from observatory.errors import ObservatoryError, ScenarioFailed
from observatory.lab.board import Board
from observatory.model import KernelEvent
from observatory.sources.journal import FIRST_DESCRIPTOR

if TYPE_CHECKING:
    from observatory.lab.faults import Fault
    from observatory.lab.network import Network

EVENT = "lab:fault"
PATIENCE_S = 10.0
HOLDING = ("delay_ns", "gap_ns", "patience_ns")  # fields of faults
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was done to the lab: when it was in force, who asked for it (0: the
    behaviour, before the play), where, and what, as a sentence. ``relays`` names by
    ``host:device`` what then carried the packets of a link, where it was not the wire;
    ``holds_ns`` is how long a packet may be under way because of it."""

    time_ns: int
    pid: int
    host: str
    what: str
    relays: Mapping[str, str]
    holds_ns: int = 0

    def event(self, number: int) -> KernelEvent:
        """As the trace has it."""
        detail = {"what": self.what, "node": self.host}
        return KernelEvent(number, self.time_ns, EVENT, self.pid, None, None, detail)


def read_marks(path: Path) -> tuple[Mark, ...]:
    """What was done so far, from the file that :class:`Interventions` writes; none without one."""
    if not path.exists():
        return ()
    lines = path.read_bytes().split(b"\n")[:-1]
    return tuple(msgspec.json.decode(line, type=Mark) for line in lines)


class Interventions:
    """The stage's side. The process that makes it is sent SIGIO, which it must have blocked,
    when an actor asks for something."""

    def __init__(self, network: Network, path: Path, board: Board) -> None:
        self._network = network
        self._path = path
        self._board = board
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        self._requests = ours
        self.actors_end = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
        theirs.close()
        fcntl.fcntl(ours, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(ours, fcntl.F_GETFL)
        fcntl.fcntl(ours, fcntl.F_SETFL, flags | os.O_ASYNC)

    def begin(self, faults: Iterable[Fault]) -> None:
        """Put those in force that are to be there before the play."""
        from observatory.lab import force

        faults = tuple(faults)
        if faults:
            force.prepare(faults, self._network)
        for fault in faults:
            self.put(fault)

    def put(self, fault: Fault, pid: int = 0) -> None:
        """Put a fault in force. Raises what its means raise (ScenarioFailed)."""
        from observatory.lab import force

        force.put(fault, self._network)
        self._note(fault, fault.sentence, pid)

    def mend(self, fault: Fault, pid: int = 0) -> None:
        """Take a fault away again."""
        from observatory.lab import force

        hit = force.mend(fault, self._network)
        self._note(fault, f"mended: {force.told(fault, hit)}", pid)

    def tell_hits(self) -> None:
        """Note how many packets each fault that is still in force has hit."""
        from observatory.lab import force

        for fault in self._network.in_force:
            hit = force.hits(fault, self._network)
            if hit is not None:
                self._note(fault, f"until the programs ended: {force.told(fault, hit)}", 0)

    def serve(self) -> None:
        """Do what the actors have asked for, in their order."""
        from observatory.lab.faults import from_record

        for request in self._asked():
            answer = ""
            try:
                doing = {"put": self.put, "mend": self.mend}[request["do"]]
                doing(from_record(request["fault"]), request["pid"])
            except ObservatoryError as failure:
                answer = str(failure)
            except Exception as failure:  # told to the actor, who fails with it
                answer = repr(failure)
            self._board.tell(request["answer"], answer)

    def close(self) -> None:
        """Let go of both ends."""
        self._requests.close()
        os.close(self.actors_end)

    def _asked(self) -> Iterator[dict[str, Any]]:
        with suppress(BlockingIOError):
            while text := self._requests.recv(_LARGEST):
                yield json.loads(text)

    def _note(self, fault: Fault, what: str, pid: int) -> None:
        relays = {f"{host}:{device}": by for (host, device), by in self._network.relays.items()}
        holds_ns = max(getattr(fault, name, 0) for name in HOLDING)
        mark = Mark(time.time_ns(), pid, _place(fault), what, relays, holds_ns)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(mark) + b"\n")


def request(fd: int, board: Board, do: str, fault: Fault, number: int) -> None:
    """Ask the stage, from an actor's process: ``do`` is ``put`` or ``mend``. Returns when it is
    done. Raises ScenarioFailed if it could not be."""
    from observatory.lab.faults import to_record

    if fd < 0:
        raise ScenarioFailed(
            "nobody to ask for a fault: there is no lab with --host, and a program that an actor "
            "became has no way to its stage"
        )
    pid = os.getpid()
    answer = f"{do} {number} of {pid}"
    message = {"do": do, "fault": to_record(fault), "pid": pid, "answer": answer}
    os.write(fd, json.dumps(message).encode())
    if refused := board.ask(answer, PATIENCE_S):
        raise ScenarioFailed(f"not done: {fault.sentence}: {refused}")


def _place(fault: Fault) -> str:
    """The host that a fault is on; for one on a link, its first end."""
    place = getattr(fault, "at", "") or getattr(fault, "host", "")
    return str(place or getattr(fault, "link", ("",))[0])
