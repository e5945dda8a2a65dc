"""One socket and what was called on it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from observatory.model import Address, Call, Endpoint

IP_FAMILIES = frozenset({"AF_INET", "AF_INET6"})


@dataclass(slots=True)
class Told:
    """A socket's own endpoint as its calls told it, at each change; ``calls`` of them are read."""

    times: list[int] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    calls: int = 0

    def tell(self, time_ns: int, endpoint: Endpoint) -> None:
        if not self.endpoints or self.endpoints[-1] != endpoint:
            self.times.append(time_ns)
            self.endpoints.append(endpoint)

    def at(self, time_ns: int) -> Endpoint | None:
        """What was told last up to a time."""
        index = bisect_right(self.times, time_ns)
        return self.endpoints[index - 1] if index else None

    def between(self, first_ns: int, last_ns: int) -> Endpoint | None:
        """What was told first from one time on and before another."""
        index = bisect_left(self.times, first_ns)
        inside = index < len(self.times) and self.times[index] < last_ns
        return self.endpoints[index] if inside else None

    def learn(self, time_ns: int, endpoint: Endpoint) -> None:
        """Enter what no call told, once all calls are read."""
        index = bisect_left(self.times, time_ns)
        self.times.insert(index, time_ns)
        self.endpoints.insert(index, endpoint)


@dataclass(slots=True, eq=False)
class Drop:
    """Descriptor ``fd`` given up by ``call`` (None: by an end that no call accounts for) at some
    time from ``begin_ns`` to ``end_ns``; ``end_ns`` is None where nothing says when it was done."""

    call: Call | None
    pid: int
    begin_ns: int
    end_ns: int | None
    fd: int = -1


@dataclass(slots=True)
class SocketLife:
    """One socket while its life is being replayed. Times are ns; ids are call ids."""

    id: int
    family: str
    type: str
    created_by: int | None
    created_ns: int
    calls: list[Call] = field(default_factory=list)
    holders: dict[tuple[int, int], None] = field(default_factory=dict)
    pids: list[int] = field(default_factory=list)
    listener: int | None = None
    inherited: tuple[Call, ...] = ()
    closed_by: int | None = None
    closed_ns: int | None = None
    close_end_ns: int | None = None
    names: tuple[Address, Address] | None = None
    drops: list[Drop] = field(default_factory=list, repr=False)
    told: Told = field(default_factory=Told, repr=False)
    _named: dict[str, list[Call]] = field(default_factory=dict, repr=False)
    _indexed: int = 0

    def named(self, *names: str) -> list[Call]:
        """Its calls of these names, oldest first. A socket may have very many calls of another
        name: nobody who asks for the few should go over the many."""
        for call in self.calls[self._indexed :]:
            self._named.setdefault(call.name, []).append(call)
        self._indexed = len(self.calls)
        if len(names) == 1:
            return self._named.get(names[0], [])
        found = [call for name in names for call in self._named.get(name, ())]
        return sorted(found, key=lambda call: call.entered_ns)

    def set(self, option: str, before_ns: int | None = None) -> list[Call]:
        """The setsockopt calls that set an option of it, oldest first: its own, and before them
        those of the listener it was accepted from (an accepted socket is a copy of it)."""
        return [
            call
            for call in (*self.inherited, *self.named("setsockopt"))
            if call.args.get("option") == option
            and call.succeeded
            and (before_ns is None or call.entered_ns <= before_ns)
        ]

    def nonblocking(self, time_ns: int) -> Call | None:
        """The call that had made it non-blocking by a time, if it was."""
        first = self.calls[0] if self.calls else None
        made_so = first is not None and first.id == self.created_by and _asks_nonblocking(first)
        current = first if made_so else None
        for call in self.named("ioctl", "fcntl"):
            if call.entered_ns > time_ns:
                break
            if call.name == "ioctl" and call.args.get("request") == "FIONBIO":
                current = call if call.args.get("value") else None
            if call.name == "fcntl" and call.args.get("command") == "F_SETFL":
                current = call if "O_NONBLOCK" in str(call.args.get("value")) else None
        return current

    def shut_reading(self, time_ns: int) -> Call | None:
        """The first shutdown of its receiving direction up to a time."""
        shut = (c for c in self.named("shutdown") if c.args.get("how") != "SHUT_WR")
        return next((c for c in shut if c.succeeded and c.entered_ns <= time_ns), None)

    @property
    def gone_ns(self) -> int | None:
        """When its last descriptor was given up at the latest; None if nothing says."""
        ends = [self.close_end_ns or self.closed_ns, *(drop.end_ns for drop in self.drops)]
        known = [end for end in ends if end is not None]
        return max(known, default=None) if self.closed_ns is not None else None

    @property
    def is_tcp(self) -> bool:
        return self.family in IP_FAMILIES and self.type == "SOCK_STREAM"

    @property
    def is_ip(self) -> bool:
        return self.family in IP_FAMILIES

    @property
    def is_udp(self) -> bool:
        return self.family in IP_FAMILIES and self.type == "SOCK_DGRAM"

    @property
    def is_unix(self) -> bool:
        return self.family == "AF_UNIX"


def _asks_nonblocking(call: Call) -> bool:
    return "SOCK_NONBLOCK" in f"{call.args.get('type')} {call.args.get('flags')}"
