"""What the kernel counted meanwhile, as far as it says more than the packets themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from observatory.model import Counter, Trace
from observatory.reports.style import Look, cells

MEANINGS: Mapping[str, str] = {
    "TcpExt.ListenOverflows": "SYNs, or last ACKs of handshakes, that found an accept queue full",
    "TcpExt.ListenDrops": "what listeners dropped, for a full queue or another reason",
    "TcpExt.TCPReqQFullDrop": "SYNs dropped because the SYN queue was full",
    "TcpExt.TCPReqQFullDoCookies": "SYNs answered by cookies because the SYN queue was full",
    "TcpExt.TCPDeferAcceptDrop": "bare ACKs that TCP_DEFER_ACCEPT did not take for a connection",
    "TcpExt.TCPFastOpenActive": "Fast Opens whose data was taken from the SYN",
    "TcpExt.TCPFastOpenActiveFail": "Fast Opens whose SYN with data was not taken",
    "TcpExt.TCPFastOpenPassive": "connections made by a SYN with a valid Fast Open cookie",
    "TcpExt.TCPFastOpenPassiveFail": "Fast Open cookies that were not valid",
    "TcpExt.TCPFastOpenCookieReqd": "SYNs that asked for a Fast Open cookie",
    "TcpExt.TCPFastOpenListenOverflow": "Fast Opens refused because too many were pending",
    "TcpExt.TCPFastOpenBlackhole": "Fast Open switched off, for something on the path eats it",
    "TcpExt.TCPAbortOnClose": "sockets closed with unread data: RST instead of FIN",
    "TcpExt.TCPAbortOnData": "aborts by SO_LINGER 0, or by data for a socket that was closed",
    "TcpExt.TCPAbortOnTimeout": "connections given up because the peer did not answer",
    "TcpExt.TCPAbortOnLinger": "connections given up at once after close (TCP_LINGER2)",
    "TcpExt.TCPAbortOnMemory": "connections given up for want of memory",
    "TcpExt.TCPAbortFailed": "aborts whose RST could not be sent",
    "TcpExt.TCPTimeouts": "retransmission timers that ran out",
    "TcpExt.TCPSynRetrans": "SYNs and SYN-ACKs sent again",
    "TcpExt.TCPLossProbes": "tail loss probes: the last segment sent again early",
    "TcpExt.TCPFastRetrans": "segments sent again because the peer reported a hole",
    "TcpExt.TCPLostRetransmit": "segments sent again that were lost again",
    "TcpExt.TCPSpuriousRTOs": "timeouts that turned out to be needless",
    "TcpExt.TCPBacklogDrop": "segments dropped because their socket was busy too long",
    "TcpExt.TCPRcvQDrop": "segments dropped for want of room in the receive buffer",
    "TcpExt.TCPZeroWindowDrop": "segments dropped because the window was closed",
    "TcpExt.TCPToZeroWindowAdv": "windows that were closed",
    "TcpExt.TCPWinProbe": "probes of a closed window",
    "TcpExt.TCPKeepAlive": "keepalive probes",
    "TcpExt.TCPChallengeACK": "segments in the wrong place, answered by an ACK",
    "TcpExt.TCPSYNChallenge": "SYNs for an open connection, answered by an ACK",
    "TcpExt.PAWSEstab": "segments dropped for a timestamp that was too old",
    "TcpExt.LockDroppedIcmps": "ICMP errors that came while a call held the socket: noted only",
    "TcpExt.OutOfWindowIcmps": "ICMP errors ignored because they quote what was never sent",
    "TcpExt.TCPTimeWaitOverflow": "connections denied their TIME-WAIT: there were too many",
    "Tcp.AttemptFails": "connections that failed before they were established",
    "Tcp.EstabResets": "established connections that ended by RST or a timeout",
    "Tcp.RetransSegs": "segments sent again",
    "Tcp.OutRsts": "RSTs sent",
    "Tcp.InErrs": "segments in error: damaged, or a SYN where none belongs",
    "Udp.NoPorts": "datagrams for ports that nobody had",
    "Udp6.NoPorts": "datagrams for ports that nobody had (IPv6)",
    "Udp.RcvbufErrors": "datagrams dropped for want of room in the receive buffer",
    "Udp6.RcvbufErrors": "datagrams dropped for want of room in the receive buffer (IPv6)",
    "Udp.SndbufErrors": "datagrams that found no room in the send buffer",
    "Icmp.InDestUnreachs": "ICMP messages that came: destination unreachable",
    "Icmp6.InDestUnreachs": "ICMPv6 messages that came: destination unreachable",
    "Icmp.InTimeExcds": "ICMP messages that came: time exceeded",
    "Icmp6.InPktTooBigs": "ICMPv6 messages that came: packet too big",
    "Icmp.OutRateLimitHost": "ICMP errors not sent, since the rate of them is limited",
    "Ip.OutNoRoutes": "packets not sent: no route leads there",
    "IpExt.InNoRoutes": "packets dropped: no route leads where they were to go",
    "Ip.InAddrErrors": "packets dropped for an address that cannot be here",
    "Ip.ReasmFails": "packets of which a fragment never came",
    "Ip.FragFails": "packets too big for the path that must not be cut",
}
"""The counters that matter to who reads a report, in the order of what they tell about."""


def telling(trace: Trace) -> Iterator[tuple[Counter, str]]:
    """The counters worth a line, each with its meaning, host after host."""
    hosts = list(dict.fromkeys(counter.host for counter in trace.counters))
    ranks = {name: rank for rank, name in enumerate(MEANINGS)}
    known = [counter for counter in trace.counters if counter.name in ranks]
    for counter in sorted(known, key=lambda one: (hosts.index(one.host), ranks[one.name])):
        yield counter, MEANINGS[counter.name]


def counters(trace: Trace, look: Look) -> list[str]:
    """The section's lines; empty where nothing was counted that matters."""
    told = list(telling(trace))
    if not told:
        return []
    names = [look.text(_name(counter)) for counter, _ in told]
    widest = max(map(cells, names))
    lines = [look.title(_title(trace))]
    for name, (_, meaning) in zip(names, told, strict=True):
        lines += look.paragraph(meaning, f"  {name:{widest}}  ", " " * (widest + 4))
    return lines


def _name(counter: Counter) -> str:
    """``server ListenOverflows +4``."""
    host = f"{counter.host} " if counter.host else ""
    return f"{host}{counter.name.partition('.')[2]} {counter.change:+}"


def _title(trace: Trace) -> str:
    """In a network of one host both ends of each connection count."""
    if not all(counter.exact for counter in trace.counters):
        return "Counters of the kernel, others counted too"
    return "Counters" if trace.run.topology else "Counters, all ends together"
