"""From calls to sockets: which API object each call used, and which call ended it.

A descriptor is a number in one process; a socket is what it names. fork copies the table,
dup adds a name, exec drops the close-on-exec ones, exit and death drop all: the socket ends
with its last name (close(2), fork(2), execve(2), dup(2)). Only that last close sends a FIN,
so everything said about closing rests on this replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from observatory.analysis.callsets import ACCEPTING, DUPLICATING, NAMING, WAITING, base_type
from observatory.analysis.handed import MOST_RIGHTS, come_from
from observatory.analysis.lives import SocketLife
from observatory.analysis.tables import Tables
from observatory.model import Call, Endpoint, Process, UnixAddress, parse_address

# Of the descriptors that an epoll set watches in vain no more than these are told.
MOST_WATCHED = 16


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The replay's result.

    ``sockets`` by id; ``used`` maps a call to the socket of its descriptor, ``made`` to the
    sockets it created, ``ended`` to those whose last name it gave up, ``left`` to processes
    that still had a name of the socket when it gave up one (no more than ``MOST_TOLD`` + 1).
    ``waited`` maps poll and select to {descriptor: socket}. ``doubtful`` maps calls to the sockets
    of which it is not certain that they gave up the last name, or that they did not.
    """

    sockets: Mapping[int, SocketLife]
    used: Mapping[int, int]
    made: Mapping[int, tuple[int, ...]]
    ended: dict[int, tuple[int, ...]]
    left: dict[int, tuple[int, ...]]
    waited: Mapping[int, Mapping[int, int]]
    doubtful: dict[int, set[int]] = field(default_factory=dict)


def replay(calls: Iterable[Call], processes: Iterable[Process]) -> Descriptors:
    """Replay all calls in time order over one descriptor table for each process."""
    known = tuple(processes)
    tables = _Replay(known)
    steps = [*_steps(calls), *_deaths(known)]
    for _, _, step in sorted(steps, key=lambda s: (s[0], s[1])):
        step(tables)
    return Descriptors(
        sockets=tables.sockets,
        used=tables.used,
        made={call: tuple(ids) for call, ids in tables.made.items()},
        ended={call: tuple(ids) for call, ids in tables.ended.items()},
        left=tables.left,
        waited=tables.waited,
    )


class _Replay(Tables):
    """What each kind of call does to the tables: one step for each."""

    def __init__(self, processes: Iterable[Process]) -> None:
        super().__init__(processes)
        self._coming: dict[tuple[int, int], Call] = {}
        self._watched: dict[tuple[int, object], dict[int, None]] = {}
        self._in_flight: dict[tuple[int, int], list[tuple[int, SocketLife]]] = {}

    def socket_of(self, call: Call, fd: int) -> SocketLife:
        """The socket behind a descriptor; one that was opened before the trace is made up."""
        table = self.table(call.pid)
        if not self.known(call.pid, fd):
            family, kind = _guess(call)
            life = SocketLife(len(self.sockets) + 1, family, kind, None, call.entered_ns)
            self.sockets[life.id] = life
            self.name(call.pid, fd, life)
        return table[fd]

    def known(self, pid: int, fd: int) -> bool:
        """Whether a number names a socket. One that a call is about to make is made then: that
        call had returned, though when is not known."""
        if fd not in self.table(pid) and (pid, fd) in self._coming:
            self.take_effect(self._coming[(pid, fd)])
        return fd in self.table(pid)

    def expect(self, call: Call) -> None:
        for number in [(call.pid, fd) for fd in _new_numbers(call)]:
            if number in self._coming:
                self.take_effect(self._coming[number])
            self._coming[number] = call

    def take_effect(self, call: Call) -> None:
        """What a call makes, once."""
        numbers = [(call.pid, fd) for fd in _new_numbers(call)]
        if any(self._coming.get(number) is call for number in numbers):
            for number in numbers:
                self._coming.pop(number, None)
            _AT_RETURN[call.name](self, call)

    def seen(self, call: Call) -> None:
        self.last_call[call.pid] = call
        for drop in self.executing.pop(call.pid, ()):
            drop.end_ns = call.entered_ns  # the new program runs

    def use(self, call: Call) -> None:
        self.seen(call)
        if call.fd is None or call.fd < 0 or _not_open(call):
            return
        life = self.socket_of(call, call.fd)
        if _is_another(life, call):
            # The number was closed and given to another socket by calls that were not recorded.
            self.unname(call.pid, call.fd, call, visible=False)
            life = self.socket_of(call, call.fd)
        life.calls.append(call)
        self.used[call.id] = life.id
        _remember_names(life, call)

    def make(self, call: Call) -> None:
        self.seen(call)
        kind = base_type(call.args.get("type"))
        family = str(call.args.get("family"))
        for fd in _new_numbers(call):
            self.create(call, fd, family, kind)
            self.mark(call.pid, fd, "SOCK_CLOEXEC" in str(call.args.get("type")))

    def accepted(self, call: Call) -> None:
        listener = self.sockets.get(self.used.get(call.id, 0))
        if listener is None or call.result is None:
            return
        life = self.create(call, call.result, listener.family, listener.type)
        life.listener = listener.id
        # Options set later on the listener came too late for a handshake that was done by then.
        set_before = [c for c in listener.named("setsockopt") if c.entered_ns < life.created_ns]
        life.inherited = tuple(set_before)
        _remember_names(life, call)
        self.mark(call.pid, call.result, "SOCK_CLOEXEC" in str(call.args.get("flags")))

    def duplicate(self, call: Call) -> None:
        life = self.sockets.get(self.used.get(call.id, 0))
        if call.result is None or call.result == call.fd:
            return
        self.unname(call.pid, call.result, call)
        if life is None:
            return  # of a file, over a socket
        self.name(call.pid, call.result, life)
        # CPython's dup() asks for F_DUPFD_CLOEXEC (PEP 446); a plain dup2 clears the flag.
        asked = call.args.get("flags", "O_CLOEXEC" if call.name == "dup" else "0")
        self.mark(call.pid, call.result, "O_CLOEXEC" in str(asked))

    def close(self, call: Call) -> None:
        self.use(call)
        if call.fd is not None and call.errno != "EBADF":
            self.unname(call.pid, call.fd, call)

    def close_range(self, call: Call) -> None:
        self.seen(call)
        first, last = call.args.get("first"), call.args.get("last")
        if not isinstance(first, int) or call.failed:
            return
        until = last if isinstance(last, int) else first
        for fd in [fd for fd in self.table(call.pid) if first <= fd <= until]:
            if "CLOSE_RANGE_CLOEXEC" in str(call.args.get("flags")):
                self.mark(call.pid, fd, True)
            else:
                self.unname(call.pid, fd, call)

    def hand_over(self, call: Call) -> None:
        """sendmsg with SCM_RIGHTS: what is on its way keeps the socket open (unix(7))."""
        self.use(call)
        rights = call.args.get("rights")
        if call.failed or not isinstance(rights, (tuple, list)):
            return
        for place, fd in enumerate(rights):
            life = self.table(call.pid).get(fd) if isinstance(fd, int) else None
            if life is not None and isinstance(fd, int):
                ticket = -(call.id * MOST_RIGHTS + place)  # no descriptor's number
                life.holders[(call.pid, ticket)] = None
                self._in_flight.setdefault((call.pid, fd), []).append((ticket, life))

    def receive(self, call: Call) -> None:
        """recvmsg and pidfd_getfd: a number here for a socket that another process has."""
        close_on_exec = call.name != "recvmsg" or "CMSG_CLOEXEC" in str(call.args.get("flags"))
        for fd, (pid, number) in come_from(call).items():
            on_its_way = self._in_flight.get((pid, number)) if call.name == "recvmsg" else None
            life = on_its_way[0][1] if on_its_way else self.table(pid).get(number)
            if life is None:
                continue
            self.unname(call.pid, fd, call, visible=False)
            self.name(call.pid, fd, life)
            self.mark(call.pid, fd, close_on_exec)
            if on_its_way:
                life.holders.pop((pid, on_its_way.pop(0)[0]), None)

    def watch(self, call: Call) -> None:
        """epoll_ctl, which names the descriptor to be watched."""
        self.use(call)
        watched = self._watched.setdefault((call.pid, call.args.get("epoll")), {})
        if call.fd is not None and call.succeeded:
            watched.pop(call.fd, None)
            if call.args.get("operation") != "EPOLL_CTL_DEL":
                watched[call.fd] = None

    def fork(self, call: Call) -> None:
        self.seen(call)
        if call.result is not None and call.result > 0 and call.result not in self.names:
            self.table(call.pid)
            self.inherit(call.pid, call.result)

    def execute(self, call: Call) -> None:
        self.seen(call)
        if call.failed:
            return
        for fd in sorted(self.close_on_exec.get(call.pid, set())):
            self.unname(call.pid, fd, call)

    def exit(self, call: Call) -> None:
        self.seen(call)
        self.drop_all(call.pid, call)

    def kill(self, call: Call) -> None:
        self.seen(call)
        target = call.args.get("pid")
        # From killing itself a process does not return.
        itself = target == call.pid and call.returned_ns is None
        if isinstance(target, int) and (call.succeeded or itself):
            self.killers.setdefault(target, []).append(call)

    def flag(self, call: Call) -> None:
        self.use(call)
        request = str(call.args.get("request") or call.args.get("command"))
        if call.fd is not None and request in ("FIOCLEX", "FIONCLEX"):
            self.mark(call.pid, call.fd, request == "FIOCLEX")
        if call.fd is not None and request == "F_SETFD":
            self.mark(call.pid, call.fd, "FD_CLOEXEC" in str(call.args.get("value")))

    def wait(self, call: Call) -> None:
        self.seen(call)
        numbers = _waited_descriptors(call)
        if call.name == "epoll_wait" and not numbers:
            watched = self._watched.get((call.pid, call.args.get("epoll")), {})
            numbers = [*islice(watched, MOST_WATCHED)]
        fds = [fd for fd in numbers if self.known(call.pid, fd)]
        lives = {fd: self.socket_of(call, fd) for fd in fds}
        self.waited[call.id] = {fd: life.id for fd, life in lives.items()}
        for life in lives.values():
            life.calls.append(call)
        if len(lives) == 1:
            self.used[call.id] = next(iter(lives.values())).id


Step = Callable[..., None]
_Due = tuple[int, int, Callable[[_Replay], None]]

# When a call takes effect on the tables. What makes a name does so by the time it returned,
# what drops one may do so from its entry: a number is reused only after it was given up.
_AT_ENTRY: Mapping[str, Step] = {
    "close": _Replay.close,
    "fork": _Replay.fork,
    "vfork": _Replay.fork,
    "clone": _Replay.fork,
    "execve": _Replay.execute,
    "exit": _Replay.exit,
    "exit_group": _Replay.exit,
    "kill": _Replay.kill,
    "close_range": _Replay.close_range,
    "epoll_ctl": _Replay.watch,
    "sendmsg": _Replay.hand_over,
    "ioctl": _Replay.flag,
    "fcntl": _Replay.flag,
    **dict.fromkeys(WAITING, _Replay.wait),
}
_AT_RETURN: Mapping[str, Step] = {
    "socket": _Replay.make,
    "socketpair": _Replay.make,
    **dict.fromkeys(ACCEPTING, _Replay.accepted),
    **dict.fromkeys(DUPLICATING, _Replay.duplicate),
    **dict.fromkeys(("recvmsg", "pidfd_getfd"), _Replay.receive),
}
_MAKES_ONLY = frozenset({"socket", "socketpair"})


def _steps(calls: Iterable[Call]) -> Iterator[_Due]:
    """(time, order, effect) of every call. Entry effects come first at equal times."""
    for call in calls:
        if call.name not in _MAKES_ONLY:
            step = _AT_ENTRY.get(call.name, _Replay.use)
            yield call.entered_ns, call.id * 2, partial(step, call=call)
        if call.name in _AT_RETURN and call.succeeded and call.returned_ns is not None:
            yield call.entered_ns, call.id * 2 + 1, partial(_Replay.expect, call=call)
            yield call.returned_ns, call.id * 2 + 1, partial(_Replay.take_effect, call=call)


def _deaths(processes: Iterable[Process]) -> Iterator[_Due]:
    """Processes die when their end was seen: what others close after that may be the last."""
    for process in processes:
        if process.ended_ns is not None:
            yield process.ended_ns, 0, partial(_Replay.bury, process=process)


def _is_another(life: SocketLife, call: Call) -> bool:
    """A connected TCP socket keeps its two names until it connects again."""
    opens = call.name in NAMING or "MSG_FASTOPEN" in str(call.args.get("flags"))
    if not life.is_tcp or life.names is None or opens:
        return False
    return (
        call.local is not None and call.peer is not None and ((call.local, call.peer) != life.names)
    )


def _remember_names(life: SocketLife, call: Call) -> None:
    if call.name in ACCEPTING and call.id != life.created_by:
        return  # the names are the new socket's
    if call.local is not None and call.peer is not None:
        life.names = (call.local, call.peer)
    elif call.name == "connect":
        life.names = None


def _not_open(call: Call) -> bool:
    """EBADF and ENOTSOCK say that the number names no socket."""
    return call.errno in ("EBADF", "ENOTSOCK")


def _guess(call: Call) -> tuple[str, str]:
    """Family and type of a socket whose creation was not seen, from its first use."""
    address = call.local or call.peer or parse_address(call.args.get("address"))
    if isinstance(address, UnixAddress):
        return "AF_UNIX", "SOCK_STREAM"
    if isinstance(address, Endpoint):
        family = "AF_INET6" if ":" in address.address else "AF_INET"
        datagram = call.name in ("sendto", "recvfrom") and call.args.get("address") is not None
        return family, "SOCK_DGRAM" if datagram else "SOCK_STREAM"
    return "AF_UNSPEC", "SOCK_STREAM"


def _new_numbers(call: Call) -> list[int]:
    """The descriptors that a call made."""
    if call.name in ("recvmsg", "pidfd_getfd"):
        return list(come_from(call))
    pair = call.args.get("fds") if call.name == "socketpair" else (call.result,)
    return [fd for fd in pair if isinstance(fd, int)] if isinstance(pair, (tuple, list)) else []


def _waited_descriptors(call: Call) -> list[int]:
    fds = call.args.get("ready" if call.name == "epoll_wait" else "fds")
    if isinstance(fds, (tuple, list)):
        numbers = [pair[0] for pair in fds if isinstance(pair, (tuple, list)) and pair]
    else:
        named = (call.args.get(key) for key in ("read", "write", "except"))
        numbers = [fd for group in named if isinstance(group, (tuple, list)) for fd in group]
    return [fd for fd in numbers if isinstance(fd, int)]
