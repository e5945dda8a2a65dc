"""Packets as bytes and a whole run as a trace, for the tests of what reads and writes them."""

from struct import pack

from observatory.codec.headers import decode_all
from observatory.model import (
    Call,
    Counter,
    Direction,
    Endpoint,
    Frame,
    Interface,
    KernelEvent,
    Process,
    RunHeader,
    Site,
    Trace,
    UnixAddress,
    Witness,
)

START_NS = 1_790_000_000_123_456_789
ETHERNET = bytes(12)
V4 = bytes([127, 0, 0, 1, 127, 0, 0, 1])
V6 = bytes(15) + b"\x01" + bytes(15) + b"\x01"
SYN_OPTIONS = bytes.fromhex("0204ffd7 0402 080a 00000001 00000000 01 030307")


def ipv4(
    payload: bytes,
    protocol: int = 6,
    *,
    total: int | None = None,
    fragment: int = 0,
    options: bytes = b"",
    addresses: bytes = V4,
) -> bytes:
    header = 20 + len(options)
    total = header + len(payload) if total is None else total
    first = 0x40 | header // 4
    fixed = pack("!BBHHHBBH", first, 0, total, 1, fragment, 64, protocol, 0)
    return fixed + addresses + options + payload


def ipv6(payload: bytes, protocol: int = 6, *, length: int | None = None) -> bytes:
    length = len(payload) if length is None else length
    return pack("!IHBB", 6 << 28, length, protocol, 64) + V6 + payload


def tcp(
    payload: bytes = b"",
    *,
    src: int = 40000,
    dst: int = 9,
    seq: int = 1000,
    ack: int = 0,
    flags: int = 0x02,
    options: bytes = b"",
    offset: int | None = None,
) -> bytes:
    offset = 5 + len(options) // 4 if offset is None else offset
    fixed = pack("!HHIIBBHHH", src, dst, seq, ack, offset << 4, flags, 65535, 0, 0)
    return fixed + options + payload


def udp(
    payload: bytes = b"", *, src: int = 40000, dst: int = 9, length: int | None = None
) -> bytes:
    return pack("!HHHH", src, dst, 8 + len(payload) if length is None else length, 0) + payload


def ethernet(packet: bytes, tags: bytes = b"") -> bytes:
    ethertype = 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800
    return ETHERNET + tags + pack("!H", ethertype) + packet


def frame(data: bytes, *, at: int = 0, original: int | None = None, interface: int = 0) -> Frame:
    original = len(data) if original is None else original
    return Frame(START_NS + at, interface, data, original, Direction.INBOUND)


def refused_connect() -> Trace:
    """A run with a bit of everything that a run file holds."""
    lo = Interface("lo", 1, 0, 4, 0)
    frames = (
        frame(ethernet(ipv4(tcp(options=SYN_OPTIONS))), at=2_000),
        frame(ethernet(ipv4(tcp(src=9, dst=40000, seq=0, ack=1001, flags=0x14))), at=9_000),
        frame(bytes(12) + b"\x08\x06" + bytes(28), at=10_000),  # ARP: a frame, no segment
        frame(ethernet(ipv6(udp(b"abc"), 17)), at=90_001),
    )
    segments, _ = decode_all(frames, (lo,))
    site = Site("client.py", 31)
    client = Endpoint("0.0.0.0", 40000)
    connect = {"address": "127.0.0.1:9"}
    poll = {"fds": ((4, "POLLIN|POLLOUT"),), "timeout_ms": -1, "ready": ((4, "POLLIN"),)}
    calls = (
        Call(1, "socket", 4711, 4711, None, {"family": "AF_INET"}, START_NS, START_NS + 500, 4),
        Call(
            2,
            "connect",
            4711,
            4712,
            4,
            connect,
            START_NS + 1_000,
            START_NS + 20_000,
            -1,
            "ECONNREFUSED",
            client,
            None,
            site,
            {"before": {"state": "CLOSED"}, "after": {"unread": 0, "rtt_us": 7}},
        ),
        Call(3, "poll", 4711, 4711, None, poll, START_NS + 30_000, START_NS + 31_000, 1),
        Call(
            4,
            "bind",
            4711,
            4711,
            5,
            {"address": "unix:/tmp/a b\n\udcff"},
            START_NS + 40_000,
            START_NS + 41_000,
            0,
            None,
            UnixAddress("/tmp/a b\n\udcff"),
            None,
            site,
        ),
        Call(5, "exit", 4711, 4711, None, {"status": 3}, START_NS + 99_000),
    )
    event = KernelEvent(
        1,
        START_NS + 8_000,
        "tcp:tcp_send_reset",
        4711,
        Endpoint("::1", 9),
        client,
        {"reason": "NO_SOCKET", "deep": {"list": (1, None, True, 1.5)}},
    )
    run = RunHeader(
        "connect-refused",
        "observatory run connect-refused",
        "Linux 6.18.0",
        START_NS - 1,
        "journal",
        "capture",
        "tracefs",
        "TPACKET_V3",
        "0.1.0",
        {"net.ipv4.tcp_syn_retries": "1"},
    )
    processes = (
        Process(4711, 4700, "client", "client", START_NS + 99_500, 3, None),
        Process(4713, 4700, "server é", "server", START_NS + 99_600, None, "SIGKILL"),
    )
    return Trace(
        run,
        (lo,),
        processes,
        calls,
        segments,
        (event,),
        frames,
        ("a clock stepped",),
        (Counter("Tcp.OutRsts", 0, 1), Counter("TcpExt.ListenOverflows", 3, 4, exact=False)),
        Witness(("tcp:tcp_send_reset",), ("sock:inet_sk_error_report: no soft errors",), 0, 2),
        "",
    )
