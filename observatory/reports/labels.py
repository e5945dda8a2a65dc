"""The words that reports have for segments, causes and processes: one place for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from observatory.model import (
    Analysis,
    AttributedSegment,
    Cause,
    CauseKind,
    Confidence,
    Icmp,
    Process,
    Protocol,
    Segment,
)

ICMP_NAMES: Mapping[tuple[Protocol, int, int], str] = {
    (Protocol.ICMP, 0, 0): "echo reply",
    (Protocol.ICMP, 3, 0): "network unreachable",
    (Protocol.ICMP, 3, 1): "host unreachable",
    (Protocol.ICMP, 3, 2): "protocol unreachable",
    (Protocol.ICMP, 3, 3): "port unreachable",
    (Protocol.ICMP, 3, 4): "fragmentation needed",
    (Protocol.ICMP, 3, 9): "network prohibited",
    (Protocol.ICMP, 3, 10): "host prohibited",
    (Protocol.ICMP, 3, 13): "administratively prohibited",
    (Protocol.ICMP, 8, 0): "echo request",
    (Protocol.ICMP, 11, 0): "time exceeded",
    (Protocol.ICMPV6, 1, 0): "no route",
    (Protocol.ICMPV6, 1, 1): "administratively prohibited",
    (Protocol.ICMPV6, 1, 3): "address unreachable",
    (Protocol.ICMPV6, 1, 4): "port unreachable",
    (Protocol.ICMPV6, 2, 0): "packet too big",
    (Protocol.ICMPV6, 3, 0): "time exceeded",
    (Protocol.ICMPV6, 128, 0): "echo request",
    (Protocol.ICMPV6, 129, 0): "echo reply",
}


@dataclass(frozen=True, slots=True)
class SegmentLabel:
    """A segment in words, the most telling first: ``#3 S``, ``seq=0``, ``← c4 ⇒ c5``."""

    head: str
    numbers: str
    tie: str

    @property
    def rest(self) -> str:
        return " ".join(part for part in (self.numbers, self.tie) if part)

    @property
    def whole(self) -> str:
        return " ".join(part for part in (self.head, self.numbers, self.tie) if part)


def segment_label(attributed: AttributedSegment) -> SegmentLabel:
    """``#3 S seq=0 ← c4``: id, flags, relative numbers, what it goes back to and completes."""
    segment = attributed.segment
    if segment.icmp is not None:
        head = f"#{segment.id} {segment.protocol} {icmp_name(segment.protocol, segment.icmp)}"
        quotes = "" if attributed.quotes is None else f"quotes #{attributed.quotes}"
        return SegmentLabel(head, quotes, tie(attributed))
    if segment.protocol is not Protocol.TCP:
        head = f"#{segment.id} {segment.protocol}"
        return SegmentLabel(head, f"len={segment.length}", tie(attributed))
    return SegmentLabel(
        f"#{segment.id} {segment.flags or 'none'}", numbers(attributed), tie(attributed)
    )


def numbers(attributed: AttributedSegment) -> str:
    """``seq=1 ack=1 len=5``: relative where the ISN is known, only what the segment has."""
    segment = attributed.segment
    seq = segment.seq if attributed.relative_seq is None else attributed.relative_seq
    parts = [f"seq={seq}"]
    if "A" in segment.flags:
        ack = segment.ack if attributed.relative_ack is None else attributed.relative_ack
        parts.append(f"ack={ack}")
    if segment.length:
        parts.append(f"len={segment.length}")
    if segment.window == 0 and "A" in segment.flags and not set("SR") & set(segment.flags):
        parts.append("win=0")
    return " ".join(parts)


def tie(attributed: AttributedSegment) -> str:
    """``← c4``, ``re #3``, ``again #3``, ``timer ← c4``, ``← ?``; then ``⇒ c5`` if it completed
    a call."""
    parts = [_origin(attributed)]
    if attributed.completes:
        parts.append("⇒ " + calls_text(attributed.completes))
    return " ".join(part for part in parts if part)


def _origin(attributed: AttributedSegment) -> str:
    cause = attributed.cause
    doubt = "?" if cause.confidence is not Confidence.CERTAIN else ""
    if cause.kind is CauseKind.UNKNOWN:
        return "← ?"
    if cause.kind is CauseKind.PATH:
        about = "" if cause.segment is None else f" #{cause.segment}"
        return f"path{doubt}{about}"
    # A SYN-ACK that is asked for once more names the SYN that asks, which is the other end's.
    answers = cause.kind is CauseKind.REPLY and attributed.segment.flags.startswith("SA")
    if attributed.retransmission and cause.segment is not None and not answers:
        return f"again #{cause.segment}{doubt}"
    if cause.kind is CauseKind.REPLY:
        return f"re #{cause.segment}{doubt}" if cause.segment is not None else f"reply{doubt}"
    if cause.kind is CauseKind.TIMER:
        about = "" if cause.segment is None else f" re #{cause.segment}"
        owner = "" if cause.call is None else f" ← c{cause.call}"
        return f"timer{doubt}{about}{owner}"
    if cause.call is None:
        return f"← call{doubt}"
    return f"← {calls_text(attributed.carries or (cause.call,))}{doubt}"


def icmp_name(protocol: Protocol, icmp: Icmp) -> str:
    """``port unreachable``, or the numbers of a message without a name here."""
    return ICMP_NAMES.get((protocol, icmp.type, icmp.code), f"type {icmp.type} code {icmp.code}")


def addresses(segment: Segment) -> tuple[str, str]:
    """Source and destination as text; ICMP has no ports."""
    if segment.icmp is not None:
        return segment.src.address, segment.dst.address
    return str(segment.src), str(segment.dst)


def process_name(process: Process) -> str:
    """``client[4711]``."""
    return f"{process.role or process.command or 'process'}[{process.pid}]"


def process_names(analysis: Analysis) -> dict[int, str]:
    """Pid to ``client[4711]``, also for pids that only calls tell of."""
    names = {call.call.pid: f"pid[{call.call.pid}]" for call in analysis.calls}
    names.update((process.pid, process_name(process)) for process in analysis.trace.processes)
    return names


def datagram_calls(analysis: Analysis) -> frozenset[int]:
    """The ids of calls on sockets that carry datagrams, where a length of 0 is no EOF."""
    sockets = {socket.id for socket in analysis.sockets if "SOCK_DGRAM" in socket.type}
    return frozenset(entry.call.id for entry in analysis.calls if entry.socket in sockets)


def segments_text(ids: tuple[int, ...]) -> str:
    """``#1 #2``."""
    return " ".join(f"#{number}" for number in ids)


def calls_text(ids: tuple[int, ...]) -> str:
    """``c4 c7``."""
    return " ".join(f"c{number}" for number in ids)


def cause_sentence(cause: Cause, say: Callable[[str], str] = str) -> str:
    """A cause in full: ``answers #3: SYN-ACK``, ``cause unknown: …``, with its doubt; ``say``
    says the words before the reason in the report's language."""
    doubt = " (likely)" if cause.confidence is Confidence.LIKELY else ""
    about = {
        CauseKind.CALL: "sent by a call" if cause.call is None else f"sent by c{cause.call}",
        CauseKind.REPLY: "a reply" if cause.segment is None else f"answers #{cause.segment}",
        CauseKind.TIMER: "a timer fired"
        if cause.segment is None
        else f"a timer fired after #{cause.segment}",
        CauseKind.PATH: "made on the path"
        if cause.segment is None
        else f"made on the path of #{cause.segment}",
        CauseKind.UNKNOWN: "cause unknown",
    }[cause.kind]
    about = say(f"{about}{doubt}")
    return f"{about}{say(': ')}{cause.reason}" if cause.reason else about
