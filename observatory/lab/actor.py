"""Actors: what a behaviour's processes are played with.

An actor is one process in one role. Its sockets are journaled; what it says to other actors goes
over the blackboard; nothing it waits for is waited for by sleeping.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from socket import (
    AF_INET,
    AF_UNIX,
    IPPROTO_RAW,
    SOCK_RAW,
    SOCK_STREAM,
)
from socket import socket as plain_socket
from typing import TYPE_CHECKING, Any, NoReturn

from observatory.errors import ScenarioFailed
from observatory.lab import interventions, kernel, watching
from observatory.lab.board import Board
from observatory.lab.endings import FAILED, flush, note_end, tell_failure
from observatory.sources import instrumented, waiting
from observatory.sources.inquiry import about_open
from observatory.sources.instrumented import InstrumentedSocket
from observatory.sources.journal import (
    FIRST_DESCRIPTOR,
    FOLDER_VARIABLE,
    ROLE_VARIABLE,
    Journal,
)

if TYPE_CHECKING:
    from observatory.lab.faults import Fault

Part = Callable[["Actor"], object]

BOARD_VARIABLE = "OBSERVATORY_BOARD"
HOST_VARIABLE = "OBSERVATORY_HOST"
ADDRESSES = "addresses"  # on the blackboard: Plan.directory
PATIENCE_S = 10.0  # how long an actor waits for another before it says for what


class Actor:
    """One process of a play.

    ``role`` is its name in the report, ``folder`` a directory for the files of this play alone
    (Unix sockets, files to send), ``host`` the lab's host that it is on, empty where there is one
    only.
    """

    def __init__(
        self,
        role: str,
        folder: Path,
        journal: Journal,
        board: Board,
        *,
        host: str = "",
        requests: int = -1,
    ) -> None:
        self.role = role
        self.host = host
        self.folder = folder
        self.journal = journal
        self.board = board
        self._children = 0
        self._requests = requests
        self._requested = 0
        board.tell(_pid_of(role), os.getpid())

    @classmethod
    def resume(cls) -> Actor:
        """The actor that called :meth:`execute` with this program, from the environment."""
        role = os.environ[ROLE_VARIABLE]
        journal = Journal(os.environ[FOLDER_VARIABLE], role, " ".join(sys.argv))
        board = Board(Path(os.environ[BOARD_VARIABLE]))
        host = os.environ.get(HOST_VARIABLE, "")
        return cls(role, board.path.parent / "files", journal, board, host=host)

    @property
    def pid(self) -> int:
        """This process's number."""
        return os.getpid()

    # Sockets.

    def socket(
        self,
        family: int = AF_INET,
        type: int = SOCK_STREAM,  # noqa: A002
        proto: int = 0,
    ) -> InstrumentedSocket:
        """A journaled socket: ``socket.socket(family, type, proto)``."""
        return InstrumentedSocket(family, type, proto, journal=self.journal)

    def adopt(
        self,
        fd: int,
        family: int = AF_INET,
        type: int = SOCK_STREAM,  # noqa: A002
        proto: int = 0,
    ) -> InstrumentedSocket:
        """A journaled socket on a descriptor that is there already: inherited over exec, or
        another socket's, whose ``close()`` then leaves this one with a number that names nothing.
        """
        return InstrumentedSocket(family, type, proto, fileno=fd, journal=self.journal)

    def socketpair(
        self,
        family: int = AF_UNIX,
        type: int = SOCK_STREAM,  # noqa: A002
        proto: int = 0,
    ) -> tuple[InstrumentedSocket, InstrumentedSocket]:
        """Two connected journaled sockets."""
        return instrumented.socketpair(family, type, proto, journal=self.journal)

    def poll(
        self,
        fds: Iterable[tuple[Any, int]],
        seconds: float | None = None,
        interruptible: bool = False,
    ) -> list[tuple[int, int]]:
        """Wait for events on ``(socket, mask)`` pairs: the ``(fd, events)`` that are ready."""
        pairs = [(waiting.descriptor(item), mask) for item, mask in fds]
        return waiting.poll(self.journal, pairs, seconds, interruptible)

    def select(
        self,
        read: Iterable[Any],
        write: Iterable[Any] = (),
        exceptional: Iterable[Any] = (),
        seconds: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """``select.select``, journaled."""
        return waiting.select(self.journal, read, write, exceptional, seconds)

    def unused_port(
        self,
        family: int = AF_INET,
        type: int = SOCK_STREAM,  # noqa: A002
        address: str | None = None,
    ) -> int:
        """A port that nobody has now, at this actor's own address; how it was found is not
        journaled."""
        with plain_socket(family, type) as probe:
            probe.bind((address or self.address(family=family), 0))
            return int(probe.getsockname()[1])

    def craft(self, packet: Any) -> None:
        """Send an IPv4 packet made with scapy (see :meth:`scapy`) through a raw socket.

        Needs a ``privileged`` role. The raw socket's calls are journaled as any other's.
        """
        with self.socket(AF_INET, SOCK_RAW, IPPROTO_RAW) as raw:
            raw.sendto(bytes(packet), (packet.dst, 0))

    @staticmethod
    def scapy() -> Any:
        """scapy's IPv4 layers (``.IP``, ``.TCP``, ``.UDP``, ``.ICMP``), loaded in 0.2 s."""
        import scapy.layers.inet

        return scapy.layers.inet

    # The lab.

    def address(self, whose: str = "", family: int = AF_INET, towards: str = "") -> str:
        """An address of a role or host (of this actor itself if none is named): that of its
        interface ``towards`` another host, or its first.

        Raises ScenarioFailed if it has none of this family.
        """
        book = self.ask(ADDRESSES)
        host = book["hosts"].get(whose, whose) or self.host
        known = book["addresses"].get(host, book["addresses"].get("", {}))
        found = known.get(str(int(family)), {}).get(book["hosts"].get(towards, towards))
        if found is None:
            raise ScenarioFailed(f"{whose or self.role} has no such address in this lab")
        return str(found)

    def fault(self, fault: Fault) -> None:
        """Put a fault in force, and return when it is. Raises ScenarioFailed if it cannot be."""
        self._request("put", fault)

    def mend(self, fault: Fault) -> None:
        """Take a fault away again, put in force by whomever, and return when it is gone."""
        self._request("mend", fault)

    def _request(self, what: str, fault: Fault) -> None:
        self._requested += 1
        interventions.request(self._requests, self.board, what, fault, self._requested)

    # The other actors.

    def tell(self, name: str, value: Any = True) -> None:
        """Write a value on the blackboard."""
        self.board.tell(name, value)

    def ask(self, name: str, seconds: float = PATIENCE_S) -> Any:
        """A value of the blackboard, as soon as another actor told it."""
        return self.board.ask(name, seconds)

    # Waiting for what the kernel shows, none of it journaled. Each raises ScenarioFailed after
    # ``seconds``.

    def when_blocked(self, role: str, call: str = "", seconds: float = PATIENCE_S) -> None:
        """Wait until ``role`` sits inside a blocking socket call (one whose name begins with
        ``call``): its journal says entered, and the kernel says asleep."""
        pid = self.ask(_pid_of(role), seconds)
        journal = self.journal.folder / f"{pid}.calls"
        what = f"{role} blocked in {call or 'a call'}"
        watching.until(lambda: watching.blocked(journal, pid, call), what, seconds)

    def when_ended(self, role: str, seconds: float = PATIENCE_S) -> None:
        """Wait until the process of ``role`` has ended, and with it its descriptors."""
        pid = self.ask(_pid_of(role), seconds)
        watching.until(lambda: watching.process_state(pid) in "ZX", f"{role} ended", seconds)

    def when_state(self, sock: plain_socket, *states: str, seconds: float = PATIENCE_S) -> None:
        """Wait until the TCP connection of ``sock`` is in one of ``states`` (``CLOSE-WAIT``,
        ``CLOSED`` …)."""
        watching.until(lambda: watching.tcp_state(sock) in states, " or ".join(states), seconds)

    def when_readable(self, sock: plain_socket, seconds: float = PATIENCE_S) -> None:
        """Wait until data, a FIN, an error or a connection has arrived at ``sock``."""
        watching.until(lambda: watching.readable(sock), "something to read", seconds)

    def when_acknowledged(self, sock: plain_socket, seconds: float = PATIENCE_S) -> None:
        """Wait until the peer's kernel has acknowledged all that was sent on ``sock``."""
        watching.until(lambda: watching.unacknowledged(sock) == 0, "all acknowledged", seconds)

    @staticmethod
    def pause(seconds: float) -> None:
        """Sleep. Only to let a timer of the kernel pass; to wait for another actor, ask."""
        time.sleep(seconds)

    # Signals and limits.

    def on_signal(self, number: int, handler: Callable[[], object] | None = None) -> None:
        """Handle a signal, by doing nothing unless ``handler`` is given: blocking calls of
        ``interruptible`` sockets then end with EINTR."""
        signal.signal(number, lambda *_: handler() if handler else None)

    def default_signal(self, number: int) -> None:
        """Let a signal do what the kernel does by default (SIGPIPE: kill)."""
        signal.signal(number, signal.SIG_DFL)

    def alarm(self, seconds: float) -> None:
        """Send this process SIGALRM after ``seconds``; 0 calls it off."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    @staticmethod
    def limit_descriptors(count: int) -> None:
        """Let this process have descriptors below ``count`` only: then EMFILE."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))

    # Processes.

    def fork(self, part: Part, role: str = "child") -> int:
        """Fork a child that plays ``part(child_actor)`` and exits; its pid.

        The child has every descriptor that this process has. Its role is this one's with a
        number (``server.1``), or ``role`` if given.
        """
        self._children += 1
        child_role = f"{self.role}.{self._children}" if role == "child" else role
        number = self.journal.entered("fork", None, {})
        flush()
        try:
            pid = os.fork()
        except OSError as failure:
            self.journal.returned(number, None, failure.errno or 0)
            raise
        if pid == 0:
            _begin_child(self, child_role, part)
        self.journal.returned(number, pid)
        self.journal.process_forked(pid, child_role)
        return pid

    def _child(self, role: str) -> Actor:
        """What this actor's forked child is: on the same host."""
        return Actor(
            role,
            self.folder,
            self.journal,
            self.board,
            host=self.host,
            requests=self._requests,
        )

    def wait(self, pid: int) -> int:
        """Wait for a child to end: its exit status, or minus the signal that killed it."""
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        note_end(self.journal, pid, code)
        return code

    def kill(self, whom: int | str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process, by pid or by role."""
        pid = self.ask(_pid_of(whom)) if isinstance(whom, str) else whom
        args = {"pid": pid, "signal": signal.Signals(number).name}
        call = self.journal.entered("kill", None, args)
        try:
            os.kill(pid, number)
        except OSError as failure:
            self.journal.returned(call, None, failure.errno or 0)
            raise
        self.journal.returned(call, 0)

    def exit(self, status: int = 0) -> NoReturn:
        """End this process here and now: nothing is closed but by the kernel (_exit(2))."""
        self._leave(status, sited=True)

    def _leave(self, status: int, sited: bool) -> NoReturn:
        flush()
        asked = about_open(FIRST_DESCRIPTOR)
        self.journal.entered("exit", None, {"status": status}, sited, asked)
        os._exit(status)

    def execute(self, argv: Sequence[object]) -> NoReturn:
        """Become another program; descriptors that are close-on-exec are closed by that
        (``set_inheritable(True)`` keeps one). A program made with :meth:`program` journals on."""
        words = [str(word) for word in argv]
        path = shutil.which(words[0]) or words[0]
        environment = {
            **os.environ,
            FOLDER_VARIABLE: str(self.journal.folder),
            ROLE_VARIABLE: self.role,
            BOARD_VARIABLE: str(self.board.path),
            HOST_VARIABLE: self.host,
        }
        flush()
        asked = about_open(FIRST_DESCRIPTOR)
        number = self.journal.entered("execve", None, {"path": path, "argv": words}, asked=asked)
        try:
            os.execve(path, words, environment)
        except OSError as failure:
            self.journal.returned(number, None, failure.errno or 0)
            raise

    @staticmethod
    def program(function: str, *arguments: object) -> list[str]:
        """The argument list of a program that runs ``module:function(actor, *arguments)``, the
        arguments as text, in a Python of its own: for :meth:`execute`."""
        words = [str(argument) for argument in arguments]
        return [sys.executable, "-m", "observatory.lab.executed", function, *words]


def play_part(actor: Actor, part: Part) -> NoReturn:
    """Play ``part`` and end the process. What it raises is told on the blackboard."""
    status = 0
    try:
        try:
            part(actor)
        except SystemExit as request:
            status = request.code if isinstance(request.code, int) else int(bool(request.code))
        except BaseException as failure:
            status = FAILED
            tell_failure(actor.board, actor.role, failure)
        actor._leave(status, sited=False)
    finally:
        os._exit(FAILED)  # even where nothing can be written: never return into the caller's code


def _begin_child(parent: Actor, role: str, part: Part) -> NoReturn:
    try:
        kernel.prctl(kernel.PR_SET_NAME, role.encode())
        parent.journal.after_fork(role, role)
        play_part(parent._child(role), part)
    except BaseException as failure:
        tell_failure(parent.board, role, failure)
    finally:
        os._exit(FAILED)


def _pid_of(role: str) -> str:
    return f"pid of {role}"
