"""Analyses made by hand, for the tests of reports: what an analyzer would conclude."""

from __future__ import annotations

from dataclasses import replace

from observatory.model import (
    Analysis,
    AttributedSegment,
    Call,
    Cause,
    CauseKind,
    Confidence,
    Connection,
    Coverage,
    Endpoint,
    Evidence,
    ExplainedCall,
    Explanation,
    Icmp,
    Interface,
    KernelEvent,
    Process,
    Protocol,
    RunHeader,
    Segment,
    Site,
    Socket,
    Trace,
)

START = 1_700_000_000_000_000_000
CLIENT = Endpoint("127.0.0.1", 40000)
SERVER = Endpoint("127.0.0.1", 80)
CLOSED = Endpoint("127.0.0.1", 9)


class Sample:
    """Collects calls and segments; times are microseconds since the start."""

    def __init__(self, scenario: str | None = "sample", dropped: int = 0) -> None:
        self.run = RunHeader(
            scenario=scenario,
            kernel="Linux 6.18.5",
            started_ns=START,
            calls_source="journal" if scenario else None,
            segments_source="capture",
        )
        self.interface = Interface("lo", 1, 65535, captured=12, dropped=dropped)
        self.processes: list[Process] = []
        self.calls: list[ExplainedCall] = []
        self.segments: list[AttributedSegment] = []
        self.connections: list[Connection] = []
        self.kernel: list[KernelEvent] = []
        self.sockets: list[Socket] = []
        self.defects: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()

    def process(self, pid, role, parent=1, ended=None, signal=None, status=None):
        end = None if ended is None else START + ended * 1000
        self.processes.append(Process(pid, parent, "python", role, end, status, signal))

    def call(self, at, pid, name, result=0, took=5, fd=None, errno=None, why="", **args):
        """``sent``, ``again``, ``completed``, ``conn``, ``sock`` are taken out of ``args``."""
        number = len(self.calls) + 1
        linked = {key: args.pop(key, ()) for key in ("sent", "again", "completed", "cites")}
        conn, sock = args.pop("conn", None), args.pop("sock", None)
        confidence = args.pop("confidence", Confidence.CERTAIN)
        kernel = args.pop("kernel", ())
        peer = args.pop("peer", None)
        call = Call(
            id=number,
            name=name,
            pid=pid,
            tid=pid,
            fd=fd,
            args=args,
            entered_ns=START + at * 1000,
            returned_ns=None if result is None else START + (at + took) * 1000,
            result=-1 if errno else result,
            errno=errno,
            peer=peer,
            site=Site("server.py" if "server" in str(pid) else "client.py", number),
        )
        explanation = Explanation(
            text=why or "Plain success.",
            rule="sample",
            confidence=confidence,
            evidence=Evidence(segments=tuple(linked["cites"]), kernel=tuple(kernel)),
            reference="connect(2)" if why else "",
            plain=not why,
        )
        self.calls.append(
            ExplainedCall(
                call,
                sock,
                conn,
                tuple(linked["sent"]),
                tuple(linked["again"]),
                tuple(linked["completed"]),
                explanation,
            )
        )
        return number

    def segment(self, at, src, dst, flags, seq=0, ack=0, length=0, conn=1, **more):
        """``call``, ``reply``, ``timer`` name the cause; ``pids`` are the two processes."""
        number = len(self.segments) + 1
        kind, call, other, reason = CauseKind.UNKNOWN, None, None, "no call, reply or timer"
        if more.get("call"):
            kind, call, reason = CauseKind.CALL, more["call"], more.get("reason", "data")
        if more.get("reply"):
            kind, other, reason = CauseKind.REPLY, more["reply"], more.get("reason", "ACK")
        if more.get("timer"):
            kind, other, reason = CauseKind.TIMER, more["timer"], "retransmission timeout"
        certain = Confidence.UNEXPLAINED if kind is CauseKind.UNKNOWN else Confidence.CERTAIN
        src_pid, dst_pid = more.get("pids", (None, None))
        icmp = more.get("icmp")
        protocol = more.get("protocol", Protocol.ICMP if icmp else Protocol.TCP)
        tcp = protocol is Protocol.TCP
        self.segments.append(
            AttributedSegment(
                Segment(
                    number,
                    START + at * 1000,
                    0,
                    protocol,
                    src,
                    dst,
                    length,
                    flags=flags,
                    seq=1000 + seq if tcp else 0,
                    ack=5000 + ack if tcp else 0,
                    window=65535 if tcp else 0,
                    icmp=icmp,
                ),
                conn,
                Cause(kind, reason, more.get("confidence", certain), call, other),
                tuple(more.get("completes", ())),
                seq if tcp else None,
                ack if tcp and "A" in flags else None,
                retransmission=bool(more.get("timer")),
                src_pid=src_pid,
                dst_pid=dst_pid,
                quotes=more.get("quotes"),
            )
        )
        return number

    def connection(self, client, server, opened, closed, client_states, server_states, **more):
        number = len(self.connections) + 1
        self.connections.append(
            Connection(
                number,
                client,
                server,
                opened,
                closed,
                tuple(client_states.split()),
                tuple(server_states.split()),
                tuple(s.segment.id for s in self.segments if s.connection == number),
                tuple(c.call.id for c in self.calls if c.connection == number),
                **more,
            )
        )

    def analysis(self) -> Analysis:
        attributed = sum(s.cause.kind is not CauseKind.UNKNOWN for s in self.segments)
        explained = sum(c.explanation.confidence is not Confidence.UNEXPLAINED for c in self.calls)
        dropped = self.interface.dropped or 0
        return Analysis(
            trace=Trace(
                run=self.run,
                interfaces=(self.interface,),
                processes=tuple(self.processes),
                calls=tuple(c.call for c in self.calls),
                segments=tuple(s.segment for s in self.segments),
                kernel=tuple(self.kernel),
                defects=self.defects,
            ),
            calls=tuple(self.calls),
            segments=tuple(self.segments),
            connections=tuple(self.connections),
            sockets=tuple(self.sockets),
            coverage=Coverage(
                len(self.calls), explained, len(self.segments), attributed, 0, dropped
            ),
            notes=self.notes,
        )


def established() -> Analysis:
    """A client and a server: connect, five bytes, orderly close."""
    s = Sample("connect-established")
    s.process(4711, "client")
    s.process(4712, "server")
    both, back = (4711, 4712), (4712, 4711)
    tcp = {"family": "AF_INET", "type": "SOCK_STREAM|SOCK_CLOEXEC", "protocol": 0}
    s.call(0, 4712, "socket", 3, **tcp)
    s.call(9, 4712, "bind", fd=3, address="127.0.0.1:0")
    s.call(20, 4712, "listen", fd=3, backlog=5)
    s.call(
        30, 4712, "accept4", 4, 90, fd=3, flags="SOCK_CLOEXEC", peer=CLIENT, completed=(3,), conn=1
    )
    s.call(50, 4711, "socket", 3, **tcp)
    s.call(
        60, 4711, "connect", 0, 50, fd=3, address="127.0.0.1:80", sent=(1,), completed=(2,), conn=1
    )
    s.call(150, 4711, "send", 5, 30, fd=3, length=5, flags="0", sent=(4,), conn=1)
    s.call(190, 4712, "recv", 5, 9, fd=4, length=100, flags="0", completed=(4,), conn=1)
    s.call(230, 4711, "close", fd=3, sent=(6,), conn=1)
    s.call(290, 4712, "recv", 0, 9, fd=4, length=100, flags="0", completed=(6,), conn=1)
    s.call(310, 4712, "close", fd=4, sent=(7,), conn=1)
    s.segment(70, CLIENT, SERVER, "S", call=6, reason="SYN, active open", pids=both)
    s.segment(80, SERVER, CLIENT, "SA", 0, 1, reply=1, reason="SYN-ACK", completes=(6,), pids=back)
    s.segment(90, CLIENT, SERVER, "A", 1, 1, reply=2, completes=(4,), pids=both)
    s.segment(160, CLIENT, SERVER, "PA", 1, 1, 5, call=7, completes=(8,), pids=both)
    s.segment(165, SERVER, CLIENT, "A", 1, 6, reply=4, pids=back)
    s.segment(232, CLIENT, SERVER, "FA", 6, 1, call=9, completes=(10,), reason="FIN", pids=both)
    s.segment(312, SERVER, CLIENT, "FA", 1, 7, call=11, reason="FIN", pids=back)
    s.segment(316, CLIENT, SERVER, "A", 7, 2, reply=7, pids=both)
    s.connection(
        CLIENT,
        SERVER,
        "active open by connect() c6",
        "orderly, client first",
        "CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
        "LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
        client_bytes=5,
    )
    return s.analysis()


def refused() -> Analysis:
    """A port nobody listens on: only a client has a process."""
    s = Sample("connect-refused")
    s.process(4711, "client")
    s.call(0, 4711, "socket", 3, family="AF_INET", type="SOCK_STREAM", protocol=0)
    s.call(
        20,
        4711,
        "connect",
        took=60,
        fd=3,
        errno="ECONNREFUSED",
        why="The SYN #1 reached 127.0.0.1:9, where nobody listens, and that host's kernel "
        "answered it with the RST #2. A RST in SYN-SENT ends the attempt at once.",
        address="127.0.0.1:9",
        sent=(1,),
        completed=(2,),
        cites=(1, 2),
        kernel=(1,),
        conn=1,
    )
    s.call(100, 4711, "close", fd=3, why="Nothing was sent: the connection never existed.")
    s.segment(40, CLIENT, CLOSED, "S", call=2, reason="SYN", pids=(4711, None))
    s.segment(50, CLOSED, CLIENT, "RA", 0, 1, reply=1, completes=(2,), pids=(None, 4711))
    s.kernel.append(
        KernelEvent(1, START + 45_000, "tcp:tcp_send_reset", 4711, CLOSED, CLIENT, {"reason": 3})
    )
    s.connection(CLIENT, CLOSED, "refused", "reset by server", "CLOSED SYN-SENT CLOSED", "CLOSED")
    return s.analysis()


def timed_out() -> Analysis:
    """SYNs that nothing answers, a second apart."""
    s = Sample("connect-timeout-full-backlog")
    s.process(4711, "client")
    s.process(4712, "server", ended=3_200_000, signal="SIGKILL")
    s.call(0, 4712, "listen", fd=3, backlog=0)
    s.call(10, 4712, "accept4", None, fd=4, flags="0", why="It never returned: SIGKILL ended it.")
    s.call(
        20,
        4711,
        "connect",
        took=3_072_000,
        fd=3,
        errno="ETIMEDOUT",
        why="No SYN was answered.",
        address="127.0.0.1:80",
        sent=(1,),
        again=(2, 3),
        cites=(1, 2, 3),
        conn=1,
    )
    both = (4711, 4712)
    s.segment(30, CLIENT, SERVER, "S", call=3, reason="SYN", pids=both)
    s.segment(1_024_030, CLIENT, SERVER, "S", timer=1, pids=both)
    s.segment(2_048_030, CLIENT, SERVER, "S", timer=2, pids=both)
    s.connection(
        CLIENT, SERVER, "never", "timed out", "CLOSED SYN-SENT CLOSED", "LISTEN", retransmissions=2
    )
    return s.analysis()


def forked(children: int = 5) -> Analysis:
    """A concurrent server: a child for every client, all of them one client process's."""
    s = Sample("fork-concurrent-server")
    s.process(100, "client")
    s.process(200, "server")
    s.call(0, 200, "listen", fd=3, backlog=5)
    for index in range(children):
        at, conn, child = 100 + 100 * index, index + 1, 201 + index
        here = Endpoint("127.0.0.1", 40000 + index)
        s.process(child, f"server.{index + 1}", parent=200, ended=at + 5000, status=0)
        n = len(s.segments) + 1
        c = len(s.calls) + 1
        s.call(at, 100, "connect", fd=3 + index, took=12, address=str(SERVER), completed=(n + 1,))
        s.call(at + 15, 200, "accept4", 4, fd=3, flags="SOCK_CLOEXEC", peer=here)
        s.call(at + 25, 200, "fork", child)
        s.call(at + 35, 200, "close", fd=4, why="The child still holds the socket: no FIN.")
        s.call(at + 40, child, "send", 100, fd=4, length=100, flags="0", sent=(n + 3,))
        s.call(at + 50, child, "exit", None, status=0)
        s.segment(at + 3, here, SERVER, "S", conn=conn, call=c, pids=(100, 200))
        s.segment(at + 5, SERVER, here, "SA", 0, 1, conn=conn, reply=n, pids=(200, 100))
        s.segment(at + 7, here, SERVER, "A", 1, 1, conn=conn, reply=n + 1, pids=(100, 200))
        s.segment(at + 42, SERVER, here, "PA", 1, 1, 100, conn=conn, call=c + 4, pids=(child, 100))
        s.segment(at + 44, here, SERVER, "A", 1, 101, conn=conn, reply=n + 3, pids=(100, child))
        s.connection(here, SERVER, "active open", "open at the end", "CLOSED ESTABLISHED", "LISTEN")
    return s.analysis()


def capture_only(connections: int = 2) -> Analysis:
    """A foreign capture: no processes, no calls."""
    s = Sample(None)
    s.run = RunHeader(segments_source="file")
    for index in range(connections):
        here, conn = Endpoint("10.0.0.1", 40000 + index), index + 1
        there, at = Endpoint("10.0.0.2", 80), 100 * index
        n = s.segment(at, here, there, "S", conn=conn)
        s.segment(at + 20, there, here, "SA", 0, 1, conn=conn, reply=n)
        s.segment(at + 21, here, there, "A", 1, 1, conn=conn, reply=n + 1)
        s.connection(
            here, there, "three-way handshake", "never", "CLOSED SYN-SENT ESTABLISHED", "LISTEN"
        )
    s.notes = ("The callers saw a connect() that succeeded.",)
    return s.analysis()


def datagrams() -> Analysis:
    """UDP to a closed port, and the ICMP error that comes back."""
    s = Sample("connect-udp")
    s.process(4711, "client")
    s.call(0, 4711, "socket", 3, family="AF_INET", type="SOCK_DGRAM", protocol=0, sock=1)
    s.call(10, 4711, "send", 5, fd=3, length=5, flags="0", sent=(1,), sock=1)
    s.call(50, 4711, "recv", 0, fd=3, length=5, flags="0", sock=1)
    icmp = Icmp(3, 3, Protocol.UDP, CLIENT, CLOSED)
    s.segment(
        20, CLIENT, CLOSED, "", 0, 0, 5, None, call=2, protocol=Protocol.UDP, pids=(4711, None)
    )
    local = Endpoint("127.0.0.1", 0)
    s.segment(30, local, local, "", 0, 0, 33, None, reply=1, icmp=icmp, quotes=1)
    s.sockets.append(Socket(1, "AF_INET", "SOCK_DGRAM", 1, None, None, None, (4711,)))
    return s.analysis()


def troubled() -> Analysis:
    """Lost packets, unknown causes, unexplained calls, and text that attacks the terminal."""
    s = Sample("half-seen", dropped=3)
    s.process(4711, "client\x1b[31m")
    s.call(
        0,
        4711,
        "connect",
        fd=3,
        errno="EPROTO",
        why="No rule \x1b]0;owned\x07 fits \u202eECONNREFUSED.",
        confidence=Confidence.UNEXPLAINED,
        address="unix:/tmp/\x1b[2Jx",
    )
    s.call(
        5, 4711, "recv", 3, fd=3, length=9, flags="0", why="A guess.", confidence=Confidence.LIKELY
    )
    s.segment(10, SERVER, CLIENT, "RA", 0, 1, conn=None)
    s.defects = ("the file ends in the middle of a block",)
    return s.analysis()


def self_connected() -> Analysis:
    """A socket connected to its own port: every segment goes from a lane to itself."""
    s = Sample("connect-self")
    s.process(4711, "client")
    s.call(0, 4711, "connect", fd=3, took=50, address="127.0.0.1:40000", completed=(2,))
    s.segment(10, CLIENT, CLIENT, "S", call=1, pids=(4711, 4711))
    s.segment(20, CLIENT, CLIENT, "SA", 0, 1, reply=1, pids=(4711, 4711))
    return s.analysis()


def long_run(calls: int = 700) -> Analysis:
    """More rows than a page shows."""
    s = Sample("long")
    s.process(4711, "client")
    for index in range(calls):
        s.call(10 * index, 4711, "getsockname", fd=3, address="127.0.0.1:1")
    return s.analysis()


def empty() -> Analysis:
    """Nothing at all."""
    return replace(Sample("nothing").analysis(), trace=Trace())


ALL = {
    "established": established,
    "refused": refused,
    "timed-out": timed_out,
    "forked": forked,
    "forked-many": lambda: forked(14),
    "capture": capture_only,
    "datagrams": datagrams,
    "troubled": troubled,
    "self": self_connected,
    "long": long_run,
    "empty": empty,
}
