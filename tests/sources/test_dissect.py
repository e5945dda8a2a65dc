"""scapy's view of a segment, whatever its link layer."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from observatory.codec.headers import decode
from observatory.model import Endpoint, Protocol, Segment
from tests.packets import START_NS, SYN_OPTIONS, ethernet, frame, ipv4, ipv6, tcp

SYN4 = ipv4(tcp(b"hello", options=SYN_OPTIONS))
SYN6 = ipv6(tcp(b"hello"))


@pytest.mark.parametrize(
    ("linktype", "data"),
    [
        (1, ethernet(SYN4)),
        (1, ethernet(SYN6)),
        (101, SYN4),
        (101, SYN6),
        (113, bytes(14) + b"\x08\x00" + SYN4),
        (276, b"\x08\x00" + bytes(18) + SYN4),
        (0, (2).to_bytes(4, sys.byteorder) + SYN4),
    ],
)
def test_the_packet_is_the_segments(linktype, data):
    segment = decode(frame(data), linktype, 1)
    packet = segment.scapy()
    assert packet["TCP"].seq == segment.seq
    assert bytes(packet["TCP"].payload) == b"hello"
    assert float(packet.time) == pytest.approx(START_NS / 1e9)


def test_a_segment_of_a_play_has_no_frame():
    segment = Segment(1, 0, 0, Protocol.TCP, Endpoint("a", 1), Endpoint("b", 2), 0)
    with pytest.raises(ValueError, match="no captured frame"):
        segment.scapy()


def test_an_edited_segment_is_not_its_frame():
    segment = decode(frame(ethernet(SYN4)), 1, 1)
    with pytest.raises(ValueError, match="edited"):
        replace(segment, seq=7).scapy()


def test_only_the_layers_needed_are_loaded():
    script = (
        "import sys; from observatory.codec.headers import decode;"
        "from tests.packets import *;"
        "decode(frame(ethernet(ipv4(tcp()))), 1, 1).scapy();"
        "sys.exit('scapy.all' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, timeout=60).returncode == 0
