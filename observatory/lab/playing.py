"""The stage as its actors know it: one process each, started together, all seen to end."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from observatory.errors import ScenarioFailed
from observatory.lab import kernel, privileges
from observatory.lab.actor import ADDRESSES, Actor, Part, play_part
from observatory.lab.behaviour import Behaviour
from observatory.lab.board import Board
from observatory.lab.endings import FAILED, note_end, tell_failure
from observatory.lab.interventions import Interventions
from observatory.lab.topology import LOOPBACK
from observatory.sources.journal import FIRST_DESCRIPTOR, Journal

if TYPE_CHECKING:
    from observatory.lab.network import Network

MARKS = "marks"
AWAITED = {signal.SIGCHLD, signal.SIGIO}
"""What the stage waits for: the end of a process, and a request of an actor's."""
_LOOK_AGAIN_S = 0.0005


class Stage:
    """What a behaviour is given: the place where its actors play."""

    def __init__(
        self,
        behaviour: Behaviour,
        folder: Path,
        person: privileges.Person,
        network: Network | None = None,
    ) -> None:
        self._behaviour = behaviour
        self._folder = folder
        self._person = person
        self._network = network
        self._board = Board(folder / "board")
        self._deadline = time.monotonic() + behaviour.time_limit
        self._interventions: Interventions | None = None
        self.group = 0
        plan = LOOPBACK if network is None else network.plan
        self._board.tell(ADDRESSES, plan.directory(behaviour.hosts))
        if network is not None:
            self._interventions = Interventions(network, folder / MARKS, self._board)
            self._interventions.begin(behaviour.faults)

    @property
    def folder(self) -> Path:
        """A directory for the files of this play alone."""
        return self._folder / "files"

    def play(self, **parts: Part) -> None:
        """Run each ``role=part`` in a process of its own, all started together; return when
        they and their forked children have ended.

        Raises ScenarioFailed if a part raised or the behaviour's time limit passed; the others
        are then killed.
        """
        gate_out, gate_in = os.pipe()
        for role, part in parts.items():
            pid = os.fork()
            if pid == 0:
                os.close(gate_in)
                self._begin_actor(role, part, gate_out)
            self.group = self.group or pid
            os.setpgid(pid, self.group)
        os.close(gate_out)
        self._gather(parts)
        os.close(gate_in)
        self._reap()

    def tell_hits(self) -> None:
        """After the play: how many packets the faults that are still in force have hit."""
        if self._interventions is not None:
            self._interventions.tell_hits()

    def _gather(self, roles: Iterable[str]) -> None:
        """Wait until every actor stands at the gate, or one has failed on the way."""
        awaited = {f"pid of {role}" for role in roles}
        while not awaited <= (told := self._board.known()).keys() and "failure" not in told:
            if self._left() == 0:
                return
            time.sleep(_LOOK_AGAIN_S)

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _begin_actor(self, role: str, part: Part, gate: int) -> NoReturn:
        """In the new process: take on the role, wait for the others, play."""
        try:
            with suppress(OSError):
                os.setpgid(0, self.group)
            stage = os.getppid()
            host = self._take_place(role)
            gate = _only_standard_streams(gate)
            for number in (signal.SIGTERM, signal.SIGHUP):  # the stage's own ends
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
            privileges.become(self._person, self._behaviour.keeps_privileges(role))
            kernel.prctl(kernel.PR_SET_NAME, role.encode())
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != stage:
                os._exit(0)
            actor = Actor(
                role,
                self.folder,
                Journal(self._folder / "journal", role, role),
                self._board,
                host=host,
                requests=self._interventions.actors_end if self._interventions else -1,
            )
            os.read(gate, 1)
            os.close(gate)
            play_part(actor, part)
        except BaseException as failure:
            tell_failure(self._board, role, failure)
        finally:
            os._exit(FAILED)

    def _take_place(self, role: str) -> str:
        """In the new process: be on the role's host; its name, empty where there is one only."""
        if self._network is None or self._network.plan.is_loopback:
            return ""
        host = self._behaviour.host_of(role)
        self._network.move_to(host)
        return host

    def _reap(self) -> None:
        """Wait for every process of the play, forked children too (the stage inherits them)."""
        ends = Journal(self._folder / "journal", "", "")
        try:
            failure = self._reap_until_failure(ends)
        finally:
            ends.close()
        if failure is not None:
            self.end_all()
            raise failure
        self.group = 0

    def _reap_until_failure(self, ends: Journal) -> ScenarioFailed | None:
        """Until no process of the play is left. What belongs to the lab is in another group."""
        while True:
            if self._interventions is not None:
                self._interventions.serve()
            try:
                pid, status = os.waitpid(-self.group, os.WNOHANG)
            except ChildProcessError:
                return self._told_failure()
            if pid:
                note_end(ends, pid, os.waitstatus_to_exitcode(status))
                if (failure := self._told_failure()) is not None:
                    return failure
                continue
            if self._left() == 0:
                limit = self._behaviour.time_limit
                return ScenarioFailed(
                    f"{self._behaviour.name} was not done after {limit:g} s and was ended"
                )
            signal.sigtimedwait(AWAITED, min(1.0, self._left()))

    def _told_failure(self) -> ScenarioFailed | None:
        told = self._board.known().get("failure")
        if told is None:
            return None
        return ScenarioFailed(
            f"{self._behaviour.name}: {told['role']} failed at {told['line']}: "
            f"{told['what']}\n{told['text']}"
        )

    def end_all(self) -> None:
        """Kill every process of the play and note their ends."""
        if not self.group:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        group, self.group = self.group, 0
        ends = Journal(self._folder / "journal", "", "")
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-group, 0)
                note_end(ends, pid, os.waitstatus_to_exitcode(status))
        ends.close()


def _only_standard_streams(kept: int) -> int:
    """Close what the actor inherited, so that its descriptors count from 3 as in a program of
    its own, and send what it prints to stderr: stdout is for the report. ``kept``'s new number.
    """
    high = fcntl.fcntl(kept, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    os.closerange(3, FIRST_DESCRIPTOR)
    os.dup2(2, 1)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    return high
