"""The play language: what was observed written down as text, and what must be concluded.

A play is a lecture on one behaviour. Each line is one event, in time order::

    # Nobody listens: the server's kernel answers the SYN with RST.
    client   socket(AF_INET, SOCK_STREAM, 0) = 3
    client c connect(3, server:80) ...
    #1 client:5000 > server:80 S 1000
    #2 server:80 > client:5000 R. 0 ack 1
    client c ... = -1 ECONNREFUSED <0.0.0.0:5000 ->

    expect:
    #1 call c certain
    #2 reply #1 certain
    c completed #2 rule connect-refused certain
    conn 1 client CLOSED SYN-SENT CLOSED
    all attributed

Calls: ``ROLE [LABEL] name(arguments) = result [ERRNO] [<local peer>]``. A call that blocks is
written twice: its entry ends with ``...``, its return is ``ROLE LABEL ... = result``. ``= ?`` or
nothing says that it never returned. ``<local peer>`` is what the kernel named after the call
(``-``: nothing); it holds for later calls on the same descriptor. A call in one line lasts over
the segments written right below it, as on loopback. ``fork() = server.1`` names the new process.

Segments, as tcpdump prints them: ``[#N] src > dst FLAGS [seq[:end]][(length)] [ack N] [win N]
[urg N] [<mss N, sack L:R, ts A B, tfo>]``. ``S`` gives the ISN as it is on the wire; every other
number counts from it. Sequence numbers left out continue the direction. ``udp (20)`` after the
endpoints is a datagram, ``icmp 3/1 quotes #2`` a message about segment 2.

Each line comes 10 µs after the one before, ``+200ms`` in front of it says otherwise. ``client``
is 10.0.0.1 with pid 100, ``server`` 10.0.0.2 with pid 200; ``host third 10.0.0.3`` and
``process worker 300 [child of server]`` add others. ``ROLE ends status 0`` or ``signal SIGKILL``
is a process's end; ``dropped 3``, ``defect TEXT`` and ``setting NAME VALUE`` speak of the capture,
``calls from strace`` of the calls: when they returned is only bounded, and the names after a
connect() or accept() that has no ``<local peer>`` are not known. Lines that begin with ``kernel``
are the kernel's own events (play_kernel.py). ``lab routed`` puts a router between the two, and
what stands in brackets behind a packet says where it was lost (play_paths.py). ``asked before
unread=10`` behind a call and lines ``counter TcpExt.ListenOverflows 2`` are what the kernel was
asked (play_asked.py).

``server listens`` and ``connected`` stand for what every play would begin with: a listener on
descriptor 3, and a connection between client descriptor 3 and server descriptor 4, segments #1
to #3, calls ``connect`` and ``accept``.

Below ``expect:`` stands what the analysis must conclude; ``expectations.py`` reads that part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from observatory.model import (
    Call,
    Counter,
    Endpoint,
    Interface,
    Process,
    RunHeader,
    Segment,
    Topology,
    Trace,
    parse_address,
)
from tests import play_asked, play_kernel, play_paths
from tests.play_segments import Stream, packet

START_NS = 1_700_000_000_000_000_000
STEP_NS = 10_000
UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

# The arguments of each call in the order they are printed; a leading "fd" is the descriptor.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "socket": ("family", "type", "protocol"),
    "socketpair": ("family", "type", "protocol", "fds"),
    "bind": ("fd", "address"),
    "connect": ("fd", "address"),
    "listen": ("fd", "backlog"),
    "accept4": ("fd", "flags"),
    "send": ("fd", "length", "flags"),
    "sendto": ("fd", "length", "flags", "address"),
    "sendmsg": ("fd", "length", "flags", "address"),
    "write": ("fd", "length"),
    "writev": ("fd", "length"),
    "splice": ("fd", "in_fd", "out_fd", "length", "flags"),
    "sendmmsg": ("fd", "lengths", "flags", "addresses", "taken"),
    "sendfile": ("fd", "in_fd", "offset", "length"),
    "recv": ("fd", "length", "flags"),
    "recvfrom": ("fd", "length", "flags", "address"),
    "recvmsg": ("fd", "length", "flags"),
    "read": ("fd", "length"),
    "readv": ("fd", "length"),
    "shutdown": ("fd", "how"),
    "close": ("fd",),
    "dup": ("fd",),
    "dup2": ("fd", "new_fd"),
    "dup3": ("fd", "new_fd", "flags"),
    "close_range": ("first", "last", "flags"),
    "fcntl": ("fd", "command", "value"),
    "epoll_ctl": ("fd", "epoll", "operation", "events"),
    "epoll_wait": ("epoll", "timeout_ms", "ready"),
    "pidfd_getfd": ("pidfd", "target_fd"),
    "detach": ("fd",),
    "attach": ("fd", "family", "type", "state"),
    "setsockopt": ("fd", "level", "option", "value"),
    "getsockopt": ("fd", "level", "option", "value"),
    "getsockname": ("fd", "address"),
    "getpeername": ("fd", "address"),
    "ioctl": ("fd", "request", "value"),
    "poll": ("fds", "timeout_ms", "ready"),
    "select": (
        "read",
        "write",
        "except",
        "timeout_ms",
        "ready_read",
        "ready_write",
        "ready_except",
    ),
    "fork": (),
    "execve": ("path", "argv"),
    "exit": ("status",),
    "kill": ("pid", "signal"),
}
DEFAULTS = {"flags": "0", "protocol": 0, "status": 0}
# What can put segments on the wire, and so lasts over the segments below it.
SENDS = frozenset(
    {"connect", "send", "sendto", "sendmsg", "write", "sendfile", "shutdown", "close", "exit"}
    | {"kill", "setsockopt", "dup2", "dup3", "execve", "close_range", "writev", "splice"}
    | {"sendmmsg"}
)

PROLOGUES: Mapping[str, tuple[str, ...]] = {
    "server listens": (
        "server socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3",
        "server bind(3, server:80) = 0",
        "server listen(3, 5) = 0",
    ),
    "connected": (
        "client socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3",
        "client connect connect(3, server:80) ...",
        "#1 client:5000 > server:80 S 1000",
        "#2 server:80 > client:5000 S. 5000 ack 1",
        "#3 client:5000 > server:80 . ack 1",
        "client connect ... = 0 <client:5000 server:80>",
        "server accept accept4(3, SOCK_CLOEXEC) = 4 <server:80 client:5000>",
    ),
}

_TIME = re.compile(r"\+(\d+)(ns|us|ms|s)\s+")
_HOST = re.compile(r"(?<![\w.])([a-z]\w*):(\d+)")
_CALL = re.compile(
    r"(?P<role>[\w.]+)\s+(?:(?P<label>\w+)\s+)?(?P<name>\w+)\((?P<args>.*?)\)(?P<rest>(?: |$).*)"
)
_RETURN = re.compile(r"(?P<role>[\w.]+)\s+(?P<label>\w+)\s+\.\.\.(?P<rest>.*)")
_OUTCOME = re.compile(
    r"\s*(?P<open>\.\.\.)?\s*(?:=\s*(?P<result>-?\d+|\?|[\w.]+)\s*(?P<errno>E[A-Z0-9]+)?)?"
    r"\s*(?:<(?P<local>\S+) (?P<peer>\S+)>)?\s*(?:asked (?P<asked>.+))?"
)
_SEGMENT = re.compile(r"(?:#(?P<id>\d+)\s+)?(?P<src>\S+) > (?P<dst>\S+) (?P<what>.+)")


class PlayError(ValueError):
    """A play that cannot be read; says which line and what was expected there."""


@dataclass
class Play:
    """A play as read: the trace it makes, the labels of its calls, and its expectations."""

    trace: Trace
    labels: Mapping[str, int]
    expectations: tuple[str, ...]
    title: str


def read_play(text: str) -> Play:
    """The play that ``text`` tells. Raises PlayError with the line that cannot be read."""
    script, separator, expected = text.partition("\nexpect:")
    stage = _Stage()
    title = []
    for number, line in enumerate(script.splitlines(), 1):
        line = line.strip()
        if re.match(r"#($|\s)", line):
            title.append(line[1:].strip())
        elif line:
            try:
                stage.event(line)
            except (KeyError, ValueError) as error:
                raise PlayError(f"line {number}: {line!r}: {error}") from error
    lines = [line.split("  # ")[0].strip() for line in expected.splitlines()]
    expectations = tuple(e for e in lines if e and not re.match(r"#($|\s)", e))
    if separator and not expectations:
        raise PlayError("this play expects nothing: say below 'expect:' what must be concluded")
    return Play(stage.trace(), stage.labels, expectations, " ".join(title))


@dataclass
class _Stage:
    """The state of the telling: clock, processes, hosts, descriptors' names, streams."""

    now: int = START_NS
    hosts: dict[str, str] = field(
        default_factory=lambda: {"client": "10.0.0.1", "server": "10.0.0.2"}
    )
    processes: dict[str, Process] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    names: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    streams: dict[tuple[Endpoint, Endpoint], Stream] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)
    dropped: int = 0
    source: str = "journal"
    kernel: play_kernel.Kernel = field(default_factory=play_kernel.Kernel)
    counters: list[Counter] = field(default_factory=list)
    lab: Topology | None = None
    lasting: int | None = None  # index of the call that lasts over the segments below it

    def __post_init__(self) -> None:
        self.processes["client"] = Process(100, 1, "client", "client")
        self.processes["server"] = Process(200, 1, "server", "server")

    def event(self, line: str) -> None:
        """Take one line: advance the clock, then find the form that reads it."""
        if line in PROLOGUES:
            for each in PROLOGUES[line]:
                self.event(each)
            return
        pause = _TIME.match(line)
        if pause:
            line = line[pause.end() :]
            self.now += int(pause[1]) * UNITS_NS[pause[2]]
            self.lasting = None
        else:
            self.now += STEP_NS
        for pattern, act in _FORMS:
            found = pattern.fullmatch(line)
            if found:
                act(self, found)
                return
        raise ValueError("neither a call, a segment nor a directive")

    # -- directives --

    def add_host(self, found: re.Match[str]) -> None:
        self.hosts[found["name"]] = found["address"]

    def add_process(self, found: re.Match[str]) -> None:
        parent = self.processes[found["parent"]].pid if found["parent"] else 1
        name = found["name"]
        self.processes[name] = Process(int(found["pid"]), parent, name.split(".")[0], name)

    def end_process(self, found: re.Match[str]) -> None:
        role, status = found["role"], found["status"]
        self.lasting = None
        self.processes[role] = replace(
            self.processes[role],
            ended_ns=self.now,
            status=int(status) if status else None,
            signal=found["signal"],
        )

    def drop(self, found: re.Match[str]) -> None:
        self.dropped = int(found["count"])

    def spoil(self, found: re.Match[str]) -> None:
        self.defects.append(found["text"])

    def build(self, found: re.Match[str]) -> None:
        self.lab = play_paths.LABS[found["name"]]
        self.hosts["router"] = play_paths.ROUTER

    def set(self, found: re.Match[str]) -> None:
        self.settings[found["name"]] = found["value"]

    def count(self, found: re.Match[str]) -> None:
        self.counters.append(play_asked.counter(found))

    def name_source(self, found: re.Match[str]) -> None:
        self.source = found["source"]

    # -- calls --

    def enter(self, found: re.Match[str]) -> None:
        name, pid = found["name"], self.processes[found["role"]].pid
        values = _values(self.resolve(found["args"]))
        names = ARGUMENTS[name]
        fd = values.pop(0) if names[:1] == ("fd",) else None
        args = dict(zip([n for n in names if n != "fd"], values, strict=False))
        for key in names:
            if key in DEFAULTS:
                args.setdefault(key, DEFAULTS[key])
        if name == "kill" and args["pid"] in self.processes:
            args["pid"] = self.processes[args["pid"]].pid
        call = Call(len(self.calls) + 1, name, pid, pid, fd, args, self.now)
        self.calls.append(call)
        if found["label"]:
            if found["label"] in self.labels:
                raise ValueError(f"a second call is labelled {found['label']}")
            self.labels[found["label"]] = call.id
        outcome = self.outcome(found["rest"])
        self.lasting = None
        self.leave(call, outcome)
        if outcome["open"] is None:
            self.lasting = len(self.calls) - 1 if name in SENDS else None

    def come_back(self, found: re.Match[str]) -> None:
        call = self.calls[self.labels[found["label"]] - 1]
        self.lasting = None
        self.leave(call, self.outcome(found["rest"]))

    def outcome(self, text: str) -> re.Match[str]:
        found = _OUTCOME.fullmatch(self.resolve(text))
        if found is None:
            raise ValueError(f"{text!r} is no outcome of a call")
        return found

    def leave(self, call: Call, outcome: re.Match[str]) -> None:
        """Write down what the call returned and what the kernel named after it."""
        if outcome["local"]:
            given = (outcome["local"], outcome["peer"])
        elif call.name == "accept4":
            given = ("-", "-")
        else:
            given = self.names.get((call.pid, call.fd or 0), ("-", "-"))
        if outcome["asked"]:
            asked = {**call.asked, **play_asked.asked(outcome["asked"])}
            call = self.calls[call.id - 1] = replace(call, asked=asked)
        if outcome["result"] is None or outcome["result"] == "?":
            return
        result = self.result(call, outcome["result"])
        self.remember(call, result, given)
        self.calls[call.id - 1] = replace(
            call,
            returned_ns=self.now + STEP_NS // 2,
            result=result,
            errno=outcome["errno"],
            local=parse_address(given[0]),
            peer=parse_address(given[1]),
        )

    def result(self, call: Call, text: str) -> int:
        """A number, or the role of the process that a fork made."""
        if re.fullmatch(r"-?\d+", text):
            return int(text)
        if call.name != "fork":
            raise ValueError(f"{text!r} is no result of {call.name}()")
        parent = next(p for p in self.processes.values() if p.pid == call.pid)
        children = sum(p.parent == call.pid for p in self.processes.values())
        pid = call.pid + 1 + children
        self.processes[text] = Process(pid, call.pid, parent.command, text)
        for (owner, fd), names in list(self.names.items()):
            if owner == call.pid:
                self.names[(pid, fd)] = names
        return pid

    def remember(self, call: Call, result: int, given: tuple[str, str]) -> None:
        """Names hold for later calls on the descriptor, a duplicate has those of its original."""
        if call.name == "close" or call.name == "socket":
            self.names.pop((call.pid, result if call.name == "socket" else call.fd or 0), None)
        elif call.name in ("accept4", "dup", "dup2"):
            self.names[(call.pid, result)] = given
        elif call.fd is not None:
            self.names[(call.pid, call.fd)] = given

    # -- segments --

    def segment(self, found: re.Match[str]) -> None:
        number = len(self.segments) + 1
        if found["id"] and int(found["id"]) != number:
            raise ValueError(f"this is segment #{number}")
        src, dst = (self.endpoint(found[end]) for end in ("src", "dst"))
        what, way = found["what"], ""
        if self.lab is not None and (told := play_paths.WAY.search(what)):
            what, way = what[: told.start()], told["way"]
        segment = packet(self, src, dst, what)
        self.segments.append(play_paths.seen(segment, self.lab, way) if self.lab else segment)
        self.last_on(self.lasting)

    def last_on(self, index: int | None) -> None:
        """The call above is still running at this line."""
        if index is not None:
            call = self.calls[index]
            if call.returned_ns is not None:
                self.calls[index] = replace(call, returned_ns=self.now + STEP_NS // 2)

    def hear(self, found: re.Match[str]) -> None:
        play_kernel.add_event(self, found)
        running = self.processes[found["role"]].pid if found["role"] else None
        if self.lasting is None and self.calls and self.calls[-1].pid == running:
            # A call in one line lasts over what the kernel tells of its thread below it.
            self.last_on(len(self.calls) - 1)
        self.last_on(self.lasting)

    def resolve(self, text: str) -> str:
        """``server:80`` with the host's address in the name's place."""

        def address(found: re.Match[str]) -> str:
            if found[1] not in self.hosts:
                return found[0]
            return str(Endpoint(self.hosts[found[1]], int(found[2])))

        return _HOST.sub(address, text)

    def endpoint(self, text: str) -> Endpoint:
        address = parse_address(self.resolve(text))
        if isinstance(address, Endpoint):
            return address
        return Endpoint(self.hosts.get(text, text), 0)

    def trace(self) -> Trace:
        return Trace(
            run=RunHeader(
                calls_source=self.source if self.calls else None,
                segments_source="capture",
                settings=self.settings,
                topology=self.lab,
            ),
            interfaces=play_paths.interfaces(self.lab, self.dropped)
            if self.lab
            else (Interface("lo", 1, 0, len(self.segments), self.dropped),),
            processes=play_paths.placed(self.processes.values(), self.lab) if self.calls else (),
            calls=tuple(self.calls),
            segments=tuple(self.segments),
            defects=tuple(self.defects),
            kernel=tuple(self.kernel.events),
            witness=self.kernel.witness(),
            counters=tuple(self.counters),
        )


_FORMS: tuple[tuple[re.Pattern[str], Callable[[_Stage, re.Match[str]], None]], ...] = (
    (re.compile(r"host (?P<name>\w+) (?P<address>\S+)"), _Stage.add_host),
    (
        re.compile(r"process (?P<name>[\w.]+) (?P<pid>\d+)(?: child of (?P<parent>[\w.]+))?"),
        _Stage.add_process,
    ),
    (
        re.compile(r"(?P<role>[\w.]+) ends (?:status (?P<status>\d+)|signal (?P<signal>SIG\w+))"),
        _Stage.end_process,
    ),
    (re.compile(r"dropped (?P<count>\d+)"), _Stage.drop),
    (re.compile(r"defect (?P<text>.+)"), _Stage.spoil),
    (re.compile(r"lab (?P<name>pair|routed)"), _Stage.build),
    (re.compile(r"calls from (?P<source>\w+)"), _Stage.name_source),
    (re.compile(r"setting (?P<name>\S+) (?P<value>\S+)"), _Stage.set),
    (play_asked.COUNTER, _Stage.count),
    (play_kernel.EVENT, _Stage.hear),
    (play_kernel.LOST, play_kernel.lose),
    (play_kernel.MISSING, play_kernel.miss),
    (_SEGMENT, _Stage.segment),
    (_CALL, _Stage.enter),
    (_RETURN, _Stage.come_back),
)


def _values(text: str) -> list:  # type: ignore[type-arg]
    """The values between top-level commas: numbers, names, "text", (tuples), None."""
    parts, depth, quoted, start = [], 0, False, 0
    for index, character in enumerate(text):
        quoted ^= character == '"'
        depth += (character == "(") - (character == ")") if not quoted else 0
        if character == "," and depth == 0 and not quoted:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [_value(part.strip()) for part in parts if part.strip()]


def _value(text: str) -> object:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if text.startswith("("):
        return tuple(_values(text[1:-1]))
    if text in ("None", "NULL"):
        return None
    return text.strip('"')
