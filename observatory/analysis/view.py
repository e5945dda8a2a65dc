"""One call as the explanation rules see it: its socket, its connection, its segments."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from string import Formatter

from observatory.analysis.completions import Joined
from observatory.analysis.lives import SocketLife
from observatory.analysis.matching import FOREVER, local_endpoint
from observatory.analysis.streams import Stream
from observatory.analysis.wire import Conversation, Half
from observatory.model import (
    Address,
    Call,
    Cause,
    Confidence,
    Evidence,
    Explanation,
    Protocol,
    Segment,
    parse_address,
)


@dataclass(frozen=True, slots=True)
class Because:
    """What makes a rule apply. ``facts`` fill its text; ``calls`` and ``segments`` are evidence
    beyond the call's own; ``likely`` says that the evidence leaves room for something else."""

    facts: Mapping[str, object] = field(default_factory=dict)
    calls: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    likely: bool = False


YES = Because()


@dataclass(frozen=True, slots=True)
class View:
    """A call and everything around it. ``sent``, ``retransmitted`` and ``completed_by`` are
    segment ids; ``causes`` is every segment's."""

    call: Call
    joined: Joined
    sent: tuple[int, ...]
    retransmitted: tuple[int, ...]
    completed_by: tuple[int, ...]
    causes: Mapping[int, Cause]
    lossy: bool

    @property
    def life(self) -> SocketLife | None:
        return self.joined.life(self.call)

    @property
    def half(self) -> Half | None:
        return self.joined.half(self.call)

    @property
    def other(self) -> Half | None:
        return self.joined.other(self.call)

    @property
    def conversation(self) -> Conversation | None:
        return self.joined.conversation(self.call)

    @property
    def incoming(self) -> Stream | None:
        return self.joined.incoming(self.call)

    @property
    def outgoing(self) -> Stream | None:
        half = self.half
        return self.joined.streams[half.conversation][half] if half is not None else None

    @property
    def exact(self) -> bool:
        """``returned_ns`` is when the call returned, and not only a time by which it had."""
        return self.joined.exact

    @property
    def decided_ns(self) -> int:
        """What had come by then, the call certainly found: its return, or its entry where only
        a bound of the return is known."""
        call = self.call
        return call.returned_ns if self.exact and call.returned_ns is not None else call.entered_ns

    @property
    def crossed(self) -> bool:
        """Another thread's call moved bytes of the same stream at the same time."""
        half = self.half
        if half is None or not (self.sent or self.completed_by):
            return False
        both = self.joined.streams[half.conversation].values()
        return any(self.call.id in stream.crossed for stream in both)

    @property
    def address(self) -> Address | None:
        """The address argument of the call."""
        return parse_address(self.call.args.get("address"))

    @property
    def local(self) -> Address | None:
        if self.call.local is not None:
            return self.call.local
        return local_endpoint(self.life, FOREVER) if self.life else None

    def segment(self, number: int) -> Segment:
        return self.joined.segments[number]

    def came_ns(self, number: int) -> int:
        """When a segment came to its receiver."""
        return self.joined.came_ns(self.segment(number))

    def segments_of(self, numbers: tuple[int, ...], protocol: Protocol) -> list[Segment]:
        found = (self.segment(number) for number in numbers)
        return [segment for segment in found if segment.protocol is protocol]

    def earlier(self, *names: str) -> list[Call]:
        """The socket's calls of these names that were entered before this one, oldest first."""
        life = self.life
        if life is None:
            return []
        found = life.named(*names)
        until = bisect_right(found, self.call.entered_ns, key=lambda c: c.entered_ns)
        return [c for c in found[:until] if c.id != self.call.id]

    @property
    def signals(self) -> list[Call]:
        """The kill() calls that may have interrupted this one: sent to its process while it
        waited."""
        until = self.call.returned_ns or FOREVER
        return [
            kill
            for kill in self.joined.signals.get(self.call.pid, ())
            if self.call.entered_ns <= kill.entered_ns <= until
        ][-1:]

    @property
    def signal_told(self) -> str:
        """The signal in words: ``SIGUSR1, sent by c8,``, or ``A signal``."""
        return next((f"{c.args.get('signal')}, sent by c{c.id}," for c in self.signals), "A signal")

    def option(self, name: str) -> Call | None:
        """The last successful setsockopt of an option before this call, its listener's too."""
        life = self.life
        found = life.set(name, self.call.entered_ns) if life is not None else []
        return found[-1] if found else None

    @property
    def nonblocking(self) -> Call | None:
        """The call that made the socket non-blocking, if it is."""
        return self.life.nonblocking(self.call.entered_ns) if self.life else None

    def _end(self) -> str:
        """What ended a call that never returned."""
        process = self.joined.processes.get(self.call.pid)
        if process is None or process.ended_ns is None:
            return "the observation ended"
        return f"{process.signal} ended its process" if process.signal else "its process exited"

    def facts(self) -> dict[str, object]:
        """What every text may mention."""
        call = self.call
        return {
            "name": f"{call.name}()",
            "errno": call.errno,
            "result": call.result,
            "length": call.args.get("length"),
            "address": call.args.get("address"),
            "local": self.local,
            "sent": ids(self.sent),
            "repeated": ids(self.retransmitted),
            "times": counted(len(self.retransmitted)),
            "completed": ids(self.completed_by),
            "end": self._end(),
        }


def ids(numbers: tuple[int, ...] | list[int]) -> str:
    """``#1, #2 and #3``; a long run is cut in the middle."""
    shown = [f"#{number}" for number in numbers]
    if len(shown) > 6:
        shown = [*shown[:3], "…", shown[-1]]
        return ", ".join(shown)
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def counted(number: int, what: str = "time") -> str:
    """``once``, ``twice``, ``3 times``; ``1 byte``, ``2 bytes``."""
    if what == "time" and number in (1, 2):
        return ("once", "twice")[number - 1]
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def conclude(view: View, because: Because, text: str, rule: str, reference: str, *,
             certain: bool, plain: bool, by_absence: bool) -> Explanation:  # fmt: skip
    """The explanation with its evidence; downgraded where it rests on what may have been lost."""
    weak = because.likely or not certain or view.crossed or (view.lossy and by_absence)
    weak = weak or view.call.id in view.joined.descriptors.doubtful
    own = (*view.sent, *view.retransmitted, *view.completed_by, *because.segments)
    weak = weak or (bool(own) and _rests_on_a_tie(view, because))
    known = {**view.facts(), **because.facts}
    facts = {name: known[name] for name in _mentioned(text)}
    return Explanation(
        text=text.format_map(facts),
        rule=rule,
        confidence=Confidence.LIKELY if weak else Confidence.CERTAIN,
        evidence=Evidence(tuple(sorted(set(own))), tuple(sorted(set(because.calls)))),
        reference=reference,
        plain=plain,
        facts=facts,
    )


@cache
def _mentioned(text: str) -> tuple[str, ...]:
    """The names of the facts that a text has places for."""
    return tuple({name: None for _, name, _, _ in Formatter().parse(text) if name})


def _rests_on_a_tie(view: View, because: Because) -> bool:
    """The connection was given to the call's socket by time alone, or the peer's calls that are
    cited to theirs."""
    tied = view.joined.matching.tie_broken
    return view.half in tied or (bool(because.calls) and view.other in tied)
