"""tshark is asked, and agrees: on packets made to be difficult, and on damaged files."""

import asyncio
from itertools import count
from pathlib import Path

import pytest

from observatory import pipeline
from observatory.codec.packets import write_packets
from observatory.codec.runfile import write_run
from observatory.errors import BadFile, MissingTool
from observatory.model import Interface, Trace
from observatory.sources import second_opinion
from observatory.sources.files import save
from observatory.sources.second_opinion import dissect
from tests.packets import ethernet, frame, ipv4, refused_connect, tcp

SYN, FIN, RST, PSH, ACK = 0x02, 0x01, 0x04, 0x08, 0x10
C, S = "client", "server"
LATER = 77_000
MS = 1_000_000

# Each packet: milliseconds, sender, flags, relative seq, relative ack, bytes, ISNs' offset.
HANDSHAKE = [(0, C, SYN, 0, 0, 0), (0.1, S, SYN | ACK, 0, 1, 0), (0.2, C, ACK, 1, 1, 0)]
NEW_HANDSHAKE = [(50 + ms, *rest, LATER) for ms, *rest in HANDSHAKE]
TEN = (1, C, PSH | ACK, 1, 1, 10)
TEN_ACKED = (1.1, S, ACK, 1, 11, 0)
NEXT_TEN = (1.2, C, PSH | ACK, 11, 1, 10)
NEXT_ACKED = (900, S, ACK, 1, 21, 0)
REFUSAL = (0.1, S, RST | ACK, -5000, 1, 0)

CONVERSATIONS = {
    "one send": [*HANDSHAKE, TEN, TEN_ACKED],
    "sent again after a timeout": [*HANDSHAKE, TEN, (301, *TEN[1:]), NEXT_ACKED],
    "sent again at once": [*HANDSHAKE, TEN, NEXT_TEN, (1.6, *TEN[1:]), NEXT_ACKED],
    "sent again though acknowledged": [*HANDSHAKE, TEN, TEN_ACKED, (301, *TEN[1:])],
    "sent again, other direction": [
        *HANDSHAKE,
        *(TEN, (1.1, S, PSH | ACK, 1, 11, 10), (1.2, C, ACK, 11, 11, 0)),
        (400, S, PSH | ACK, 1, 11, 10),
    ],
    "fast retransmission": [
        *(*HANDSHAKE, TEN, NEXT_TEN, (1.3, C, PSH | ACK, 21, 1, 10)),
        *[(1.4 + copy / 10, S, ACK, 1, 1, 0) for copy in range(3)],
        (1.8, *TEN[1:]),
    ],
    "out of order": [*HANDSHAKE, NEXT_TEN, (1.25, *TEN[1:]), NEXT_ACKED],
    "a gap filled late": [*HANDSHAKE, NEXT_TEN, (250, *TEN[1:]), NEXT_ACKED],
    "a gap never filled": [*HANDSHAKE, NEXT_TEN, NEXT_ACKED],
    "two gaps filled backwards": [
        *(*HANDSHAKE, (1, C, PSH | ACK, 21, 1, 10)),
        *(NEXT_TEN, (300, *TEN[1:]), (301, *NEXT_TEN[1:])),
    ],
    "old and new bytes in one": [*HANDSHAKE, TEN, (301, C, PSH | ACK, 5, 1, 20)],
    "acknowledged but not captured": [*HANDSHAKE, NEXT_ACKED, (901, C, PSH | ACK, 21, 1, 5)],
    "acknowledged, then captured": [*HANDSHAKE, TEN_ACKED, (2, *TEN[1:])],
    "keepalives": [*HANDSHAKE, TEN, TEN_ACKED, (800, C, ACK, 10, 1, 0), NEXT_ACKED],
    "keepalive with a byte": [*HANDSHAKE, TEN, TEN_ACKED, (800, C, ACK, 10, 1, 1)],
    "one byte sent again": [
        *(*HANDSHAKE, (1, C, PSH | ACK, 1, 1, 1), (300, C, PSH | ACK, 1, 1, 1)),
    ],
    "SYN and SYN-ACK sent again": [
        *((0, C, SYN, 0, 0, 0), (400, C, SYN, 0, 0, 0)),
        *((400.1, S, SYN | ACK, 0, 1, 0), (800, S, SYN | ACK, 0, 1, 0), (801, C, ACK, 1, 1, 0)),
    ],
    "FIN sent again": [
        *(*HANDSHAKE, (1, C, FIN | ACK, 1, 1, 0), (201, C, FIN | ACK, 1, 1, 0)),
        *((202, S, ACK, 1, 2, 0), (203, S, FIN | ACK, 1, 2, 0), (204, C, ACK, 2, 2, 0)),
    ],
    "data and FIN sent again as one": [
        *(*HANDSHAKE, TEN, (2, C, FIN | ACK, 11, 1, 0)),
        *((201, C, FIN | PSH | ACK, 1, 1, 10), (202, S, ACK, 1, 12, 0)),
    ],
    "no SYN seen": [TEN, TEN_ACKED, (2, S, PSH | ACK, 1, 11, 5), (2.1, C, ACK, 11, 6, 0)],
    "no SYN seen, server first": [(1, S, PSH | ACK, 1, 1, 10), (1.1, C, ACK, 1, 11, 0)],
    "no SYN seen, reset": [TEN, (1.1, S, RST, 1, 0, 0)],
    "port used again after an orderly close": [
        *(*HANDSHAKE, (1, C, FIN | ACK, 1, 1, 0), (2, S, FIN | ACK, 1, 2, 0)),
        *((3, C, ACK, 2, 2, 0), *NEW_HANDSHAKE),
    ],
    "port used again with no close seen": [*HANDSHAKE, TEN, *NEW_HANDSHAKE],
    "refused": [(0, C, SYN, 0, 0, 0), REFUSAL],
    "refused, then accepted": [(0, C, SYN, 0, 0, 0), REFUSAL, *NEW_HANDSHAKE],
    "simultaneous open": [
        *((0, C, SYN, 0, 0, 0), (0.01, S, SYN, 0, 0, 0)),
        *((0.1, C, SYN | ACK, 0, 1, 0), (0.2, S, SYN | ACK, 0, 1, 0), TEN),
    ],
    "data in the SYN": [
        *((0, C, SYN, 0, 0, 10), (0.1, S, SYN | ACK, 0, 11, 0), (0.2, C, ACK, 11, 1, 0)),
        NEXT_TEN,
    ],
    "data in the SYN, refused and sent again": [
        *((0, C, SYN, 0, 0, 10), *HANDSHAKE[1:], TEN, TEN_ACKED),
    ],
    "a stranger's SYN": [
        *(*HANDSHAKE, (1, C, SYN, 50, 0, 0), (1.1, S, ACK, 1, 1, 0), (1.2, C, RST, 1, 0, 0)),
    ],
}


def packets(conversation, client_port, isn=1000):
    """The frames of a conversation, each with the time it has; client to port 9."""
    for ms, sender, flags, seq, ack, length, *offset in conversation:
        bases = {C: isn + sum(offset), S: 5000 + sum(offset)}
        ports = {C: client_port, S: 9}
        peer = S if sender is C else C
        segment = tcp(
            b"x" * length,
            src=ports[sender],
            dst=ports[peer],
            seq=(bases[sender] + seq) % 2**32,
            ack=(bases[peer] + ack) % 2**32 if flags & ACK else 0,
            flags=flags,
        )
        yield frame(ethernet(ipv4(segment)), at=int(ms * MS))


def write(path, frames):
    """A pcap of ``frames`` in time order."""
    frames = tuple(sorted(frames, key=lambda each: each.time_ns))
    trace = Trace(interfaces=(Interface("lo", 1, 262144),), frames=frames)
    save(path, write_packets(trace))
    return path


@pytest.fixture
def difficult(tmp_path):
    """One file with every conversation, each from a port of its own, and again beyond 2**32."""
    ports = count(20000)
    frames = []
    for conversation in CONVERSATIONS.values():
        frames += packets(conversation, next(ports))
        frames += packets(conversation, next(ports), isn=2**32 - 5)
    return write(tmp_path / "difficult.pcap", frames)


@pytest.mark.usefixtures("tshark")
def test_tshark_agrees_on_difficult_conversations(difficult):
    found = pipeline.check(difficult)
    assert found.disagreements == ()
    assert found.packets > 200


@pytest.mark.usefixtures("tshark")
def test_pyshark_and_the_fields_of_tshark_are_the_same_rows(difficult):
    by_pyshark = dissect(difficult, packets=1)
    by_fields = dissect(difficult)
    assert by_pyshark.method.startswith("pyshark over tshark")
    assert by_fields.method.startswith("tshark")
    assert by_pyshark.rows == by_fields.rows
    marks = {mark for row in by_fields.rows for mark in row.marks}
    assert {"retransmission", "keep_alive", "out_of_order", "reused_ports"} <= marks


@pytest.mark.usefixtures("tshark")
def test_pyshark_works_beside_an_event_loop_and_after_one(tmp_path):
    path = write(tmp_path / "few.pcap", packets(CONVERSATIONS["refused"], 20000))

    async def inside():
        return dissect(path, packets=2)

    assert len(asyncio.run(inside()).rows) == 2
    assert len(dissect(path, packets=2).rows) == 2


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("packets", [None, 100], ids=["fields", "pyshark"])
def test_calls_between_the_packets_are_no_packets(tmp_path, packets):
    path = tmp_path / "run.pcapng"
    trace = refused_connect()
    assert trace.calls
    save(path, write_run(trace, {}))
    rows = dissect(path, packets).rows
    assert [row.time_ns for row in rows] == [each.time_ns for each in trace.frames]


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("count", [None, 100], ids=["fields", "pyshark"])
def test_a_file_that_is_cut_short_gives_what_is_before_the_cut(tmp_path, count):
    path = write(tmp_path / "cut.pcap", packets(CONVERSATIONS["one send"], 20000))
    path.write_bytes(path.read_bytes()[:-20])
    assert len(dissect(path, count).rows) == 4


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("count", [None, 100], ids=["fields", "pyshark"])
def test_a_file_of_something_else_is_refused(tmp_path, count):
    path = tmp_path / "notes.txt"
    path.write_text("no capture at all")
    with pytest.raises(BadFile, match=r"notes\.txt"):
        dissect(path, count)


def test_without_tshark_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(second_opinion.shutil, "which", lambda _name: None)
    with pytest.raises(MissingTool, match="apt install tshark"):
        dissect("any.pcapng")


def test_a_quoted_header_is_no_segment():
    assert second_opinion._is_tcp("eth:ethertype:ip:tcp:http")
    assert not second_opinion._is_tcp("eth:ethertype:ip:icmp:ip:tcp")
    assert not second_opinion._is_tcp("eth:ethertype:ipv6:icmpv6:ipv6:tcp")
    assert not second_opinion._is_tcp("eth:ethertype:ip:udp")


SAMPLES = sorted(Path(__file__).parents[2].glob("captures/catalogue/*.pcapng"))


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_tshark_agrees_on_every_sample(path):
    assert pipeline.check(path).disagreements == ()
