"""Packet sockets: what the kernel hands over, from the ring and from a plain socket."""

import select
import socket
import time

import pytest

from observatory.errors import CaptureError, PermissionRefused
from observatory.model import Direction
from observatory.sources import ring
from observatory.sources.ring import PlainSocket, Ring, RingBlock, link_of, open_source

KINDS = [Ring, PlainSocket]


@pytest.fixture(params=KINDS, ids=["ring", "plain"])
def source(request, loopback):
    source = request.param(loopback.packet_socket())
    yield source
    source.close()


def take_all(source, expected):
    """Frames until ``expected`` are there, or nothing came for two seconds."""
    frames = []
    poll = select.poll()
    poll.register(source.fileno(), select.POLLIN)
    while len(frames) < expected and poll.poll(2000):
        frames += [frame for batch in source.take() for frame in batch.frames(0)]
    return frames


def test_each_packet_is_seen_once(loopback, source):
    loopback.do("udp", count=20, size=5)
    frames = take_all(source, 20)
    assert [len(frame.data) for frame in frames] == [14 + 20 + 8 + 5] * 20
    assert source.take() == []
    assert source.counted() == (20, 0)


def test_times_are_nanoseconds_of_the_wall_clock(loopback, source):
    before = time.time_ns()
    loopback.do("udp", count=50, size=5)
    after = time.time_ns()
    times = [frame.time_ns for frame in take_all(source, 50)]
    assert all(before <= each <= after for each in times)
    assert any(each % 1000 for each in times), "microseconds only"


def test_the_largest_frame_is_whole(loopback, source):
    loopback.do("udp", count=1, size=65507)
    (frame,) = take_all(source, 1)
    assert len(frame.data) == frame.original_length == 65507 + 8 + 20 + 14


def test_a_frame_is_inbound_on_loopback(loopback, source):
    loopback.do("udp", count=1, size=1)
    assert [frame.direction for frame in take_all(source, 1)] == [Direction.INBOUND]


def test_no_frame_passes_after_halt(loopback, source):
    loopback.do("udp", count=3, size=1)
    source.halt()
    loopback.do("udp", count=3, size=1)
    assert len(take_all(source, 3)) == 3
    assert source.counted() == (3, 0)


def test_nothing_is_queued_before_there_is_a_source(loopback):
    packets = loopback.packet_socket()
    loopback.do("udp", count=3, size=1)
    source = open_source(packets)
    loopback.do("udp", count=2, size=1)
    assert len(take_all(source, 2)) == 2
    assert source.counted() == (2, 0)
    source.close()


def test_a_full_ring_counts_what_it_lost(loopback):
    source = Ring(loopback.packet_socket(), ring_bytes=2 * ring.MIB)
    loopback.do("udp", count=100, size=60000)
    source.halt()
    frames = []
    while len(frames) < source.counted()[0]:
        frames += take_all(source, 1)
    queued, dropped = source.counted()
    assert len(frames) == queued
    assert dropped > 0
    assert queued + dropped == 100
    source.close()


def test_the_ring_goes_round(loopback):
    source = Ring(loopback.packet_socket(), ring_bytes=2 * ring.MIB)
    sizes = []
    for size in range(60000, 60030):
        loopback.do("udp", count=1, size=size)
        sizes += [frame.original_length - 42 for frame in take_all(source, 1)]
    assert sizes == list(range(60000, 60030))
    source.close()


def test_an_interface_that_goes_down_and_up_is_captured_again(loopback, source):
    loopback.do("link", up=False)
    assert source.take() == []
    loopback.do("link", up=True)
    loopback.do("udp", count=2, size=1)
    frames = []
    while len(frames) < 2:
        frames += take_all(source, 1)
    assert len(frames) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_interface_that_is_down_is_an_error_that_says_what_to_do(loopback, kind):
    loopback.do("link", up=False)
    packets = loopback.packet_socket()
    with packets, pytest.raises(CaptureError, match="ip link set lo up"):
        kind(packets)


def test_without_a_ring_the_plain_socket_is_used(loopback, monkeypatch):
    monkeypatch.setattr(ring, "TPACKET_V3", 77)
    source = open_source(loopback.packet_socket())
    assert source.method.startswith("AF_PACKET socket")
    source.close()


def test_a_ring_that_cannot_be_mapped_is_given_up(loopback, monkeypatch):
    def refuse(*_args):
        raise OSError("no memory")

    monkeypatch.setattr(ring.mmap, "mmap", refuse)
    source = open_source(loopback.packet_socket())
    loopback.do("udp", count=2, size=1)
    assert source.method.startswith("AF_PACKET socket")
    assert len(take_all(source, 2)) == 2
    source.close()


def test_link_of_names_interface_and_linktype(loopback):
    with loopback.packet_socket() as packets:
        link = link_of(packets)
    assert (link.name, link.linktype, link.loopback) == ("lo", 1, True)


def test_the_outgoing_sight_of_loopback_is_left_out_where_the_kernel_shows_it():
    header = ring.TPACKET3_HEADER
    frames = b"".join(
        header.pack(64, 1, second, 1, 1, 0, header.size, 0, kind).ljust(64, b"x")
        for second, kind in ((10, 4), (11, 0))
    )
    both = RingBlock(frames, count=2, first=0, skip_outgoing=False)
    once = RingBlock(frames, count=2, first=0, skip_outgoing=True)
    assert [frame.direction for frame in both.frames(0)] == [
        Direction.OUTBOUND,
        Direction.INBOUND,
    ]
    assert [frame.time_ns for frame in once.frames(0)] == [1_000_000_011]


def test_refusal_names_the_remedy(monkeypatch):
    def refuse(*_args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(PermissionRefused, match="CAP_NET_RAW"):
        ring.open_packet_socket("lo")


def test_a_missing_interface_is_named(monkeypatch):
    class Unbindable:
        def bind(self, _address):
            raise OSError(19, "No such device")

        def close(self):
            pass

    monkeypatch.setattr(socket, "socket", lambda *_args: Unbindable())
    with pytest.raises(CaptureError, match=r"'lo7': No such device.*ip link"):
        ring.open_packet_socket("lo7")
