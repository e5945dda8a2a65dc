"""Packets alone: both formats read back, and what is lost is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from observatory.codec.packets import left_out, write_packets
from observatory.codec.runfile import read_capture
from observatory.errors import UsageError
from observatory.model import Direction, Interface, Trace
from observatory.sources.files import load
from tests.packets import refused_connect

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_the_packets_read_back(kind):
    trace = refused_connect()
    again = read_capture(b"".join(write_packets(trace, kind)))
    assert again.segments == trace.segments
    assert again.calls == ()


def test_pcapng_keeps_what_it_can():
    trace = refused_connect()
    again = read_capture(b"".join(write_packets(trace, "pcapng")))
    assert (again.frames, again.interfaces) == (trace.frames, trace.interfaces)


def test_pcap_holds_one_link_type():
    trace = replace(refused_connect(), interfaces=(Interface("lo", 1), Interface("tun0", 101)))
    with pytest.raises(UsageError, match="pcapng"):
        write_packets(trace, "pcap")


def test_what_is_left_out_is_named():
    phrases = left_out(refused_connect())
    assert "5 calls" in phrases
    assert "the direction of each packet" in phrases
    assert left_out(Trace(), "pcapng") == ("the annotations",)
    assert refused_connect().frames[0].direction is Direction.INBOUND


def test_a_pcap_shows_each_packet_of_a_path_once():
    trace = load(CATALOGUE / "send-retransmitted.pcapng")
    again = read_capture(b"".join(write_packets(trace)))
    assert len(again.segments) == len(trace.segments)
    assert len(read_capture(b"".join(write_packets(trace, "pcapng"))).frames) == len(trace.frames)
