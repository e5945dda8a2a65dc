"""scapy sniffs through our socket, dissected or in bulk."""

import subprocess
import sys

import pytest

from observatory.sources.ring import open_source
from observatory.sources.scapysocket import BulkSession, CaptureSocket


@pytest.fixture
def capture_socket(loopback):
    with CaptureSocket(open_source(loopback.packet_socket())) as sock:
        yield sock


def test_sniff_dissects_what_the_ring_holds(loopback, capture_socket):
    from scapy.layers.inet import UDP
    from scapy.sendrecv import sniff

    loopback.do("udp", count=7, size=9)
    packets = sniff(opened_socket=capture_socket, count=7, timeout=5)
    assert [len(packet[UDP].payload) for packet in packets] == [9] * 7


def test_packet_time_is_exact(loopback, capture_socket):
    loopback.do("udp", count=1, size=1)
    CaptureSocket.select([capture_socket], 5)
    (batch,) = capture_socket.drain()
    (frame,) = batch.frames(0)
    capture_socket._waiting.append(frame)
    assert int(capture_socket.recv().time * 1_000_000_000) == frame.time_ns


def test_async_sniffer_takes_it(loopback, capture_socket):
    import threading

    from scapy.sendrecv import AsyncSniffer

    ready = threading.Event()
    enough = threading.Event()
    sniffer = AsyncSniffer(
        opened_socket=capture_socket,
        started_callback=ready.set,
        stop_filter=lambda packet: enough.set() or sniffer.count == 6,
    )
    sniffer.start()
    assert ready.wait(5)
    loopback.do("udp", count=6, size=1)
    sniffer.join(timeout=5)
    assert len(sniffer.results) == 6


def test_frames_are_raw_and_all(loopback, capture_socket):
    loopback.do("udp", count=5, size=1)
    frames = []
    while len(frames) < 5 and CaptureSocket.select([capture_socket], 5):
        frames += capture_socket.frames()
    assert [len(frame.data) for frame in frames] == [43] * 5


def test_reading_when_nothing_is_there_gives_nothing(capture_socket):
    assert capture_socket.recv() is None
    assert CaptureSocket.select([capture_socket], 0) == []


def test_bulk_session_hands_on_failures_instead_of_closing(capture_socket):
    failures = []

    def refuse(_batches):
        raise OSError("disk full")

    class Full:
        def drain(self):
            return ["a batch"]

    assert list(BulkSession(refuse, failures.append).recv(Full())) == []
    assert [str(failure) for failure in failures] == ["disk full"]


def test_import_loads_neither_scapy_all_nor_layers():
    program = (
        "import sys, observatory.sources.scapysocket, scapy.sendrecv;"
        "print([m for m in sys.modules if m == 'scapy.all' or m.startswith('scapy.layers.')])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
    assert answer.stderr == ""
