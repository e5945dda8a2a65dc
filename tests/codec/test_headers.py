"""Frames become segments: every link layer, lengths by the IP header, hostile bytes."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.headers import Skipped, decode, decode_all, examine
from observatory.codec.links import LINKS
from observatory.model import Endpoint, Icmp, Interface, Protocol
from tests.packets import (
    SYN_OPTIONS,
    V4,
    V6,
    ethernet,
    frame,
    ipv4,
    ipv6,
    tcp,
    udp,
)

SYN4 = ipv4(tcp(b"hello"))
SYN6 = ipv6(tcp(b"hello"))


@pytest.mark.parametrize(
    ("linktype", "data"),
    [
        (1, ethernet(SYN4)),
        (1, ethernet(SYN6)),
        (1, ethernet(SYN4, tags=bytes.fromhex("81000001"))),
        (1, ethernet(SYN4, tags=bytes.fromhex("88a8000181000001"))),
        (0, (2).to_bytes(4, "little") + SYN4),
        (0, (2).to_bytes(4, "big") + SYN4),
        (0, (30).to_bytes(4, "little") + SYN6),
        (108, (2).to_bytes(4, "big") + SYN4),
        (12, SYN4),
        (14, SYN6),
        (101, SYN4),
        (101, SYN6),
        (228, SYN4),
        (229, SYN6),
        (113, bytes(14) + b"\x08\x00" + SYN4),
        (113, bytes(14) + b"\x81\x00\x00\x01\x86\xdd" + SYN6),
        (276, b"\x08\x00" + bytes(18) + SYN4),
        (276, b"\x81\x00" + bytes(18) + b"\x00\x01\x08\x00" + SYN4),
    ],
)
def test_every_link_layer_leads_to_the_same_segment(linktype, data):
    segment = decode(frame(data), linktype, 7)
    address = "127.0.0.1" if SYN4 in data else "::1"
    assert segment.id == 7
    assert (segment.src, segment.dst) == (Endpoint(address, 40000), Endpoint(address, 9))
    assert (segment.flags, segment.seq, segment.window, segment.length) == ("S", 1000, 65535, 5)
    assert segment.protocol is Protocol.TCP
    assert segment.frame.data == data


def test_flags_stand_in_the_documented_order():
    assert decode(frame(ipv4(tcp(flags=0xFF))), 101, 1).flags == "SFRPAUEC"
    assert decode(frame(ipv4(tcp(flags=0x14))), 101, 1).flags == "RA"


def test_options_are_read():
    options = decode(frame(ipv4(tcp(options=SYN_OPTIONS))), 101, 1).options
    assert (options.mss, options.window_scale, options.sack_permitted) == (65495, 7, True)
    assert options.timestamp == (1, 0)


def test_ethernet_padding_is_not_payload():
    assert decode(frame(ethernet(ipv4(tcp())) + bytes(6)), 1, 1).length == 0
    assert decode(frame(ethernet(ipv6(tcp())) + bytes(6)), 1, 1).length == 0


def test_a_snapshot_length_does_not_shorten_the_payload():
    data = ethernet(ipv4(tcp(bytes(1000))))
    assert decode(frame(data[:54], original=len(data)), 1, 1).length == 1000


@pytest.mark.parametrize(
    "packet", [ipv4(tcp(b"x" * 70_000), total=0), ipv6(tcp(b"x" * 70_000), length=0)]
)
def test_a_segment_too_long_for_its_length_field_has_the_frames_length(packet):
    assert decode(frame(ethernet(packet)), 1, 1).length == 70_000


def test_ipv4_options_are_stepped_over():
    assert decode(frame(ipv4(tcp(b"abc"), options=bytes(8))), 101, 1).length == 3


def test_ipv6_extension_headers_are_stepped_over():
    hops = bytes([60, 0]) + bytes(6)
    destination = bytes([51, 1]) + bytes(14)
    authentication = bytes([44, 4]) + bytes(22)
    fragment = bytes([6, 0]) + bytes(6)
    payload = hops + destination + authentication + fragment + tcp(b"abc")
    assert decode(frame(ipv6(payload, 0)), 101, 1).length == 3


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (ipv4(b"x" * 100, fragment=10), Skipped.FRAGMENT),
        (ipv4(b"x" * 100, 17, fragment=10), Skipped.OTHER),
        (ipv6(bytes([6, 0, 0, 8]) + bytes(4) + b"x" * 50, 44), Skipped.FRAGMENT),
        (ipv6(bytes([17, 0, 0, 8]) + bytes(4) + b"x" * 50, 44), Skipped.OTHER),
        (ipv4(b"x" * 100, 132), Skipped.OTHER),
        (ipv4(b"x" * 100, 58), Skipped.OTHER),
        (ipv6(b"x" * 100, 1), Skipped.OTHER),
        (ipv4(tcp(), total=10), Skipped.MALFORMED),
        (ipv4(tcp(offset=4)), Skipped.MALFORMED),
        (ipv4(tcp(offset=15)), Skipped.MALFORMED),
        (ipv4(tcp()[:12]), Skipped.MALFORMED),
        (ipv4(udp(length=7), 17), Skipped.MALFORMED),
        (b"\x41" + ipv4(tcp())[1:], Skipped.MALFORMED),
    ],
)
def test_what_is_no_segment_says_why(packet, why):
    assert examine(frame(packet), 101, 1) is why
    assert decode(frame(packet), 101, 1) is None


def test_the_first_fragment_of_a_datagram_is_the_datagram():
    first = ipv4(udp(b"x" * 1000, length=3008), 17, fragment=0x2000)
    assert decode(frame(first), 101, 1).length == 3000


def test_udp():
    segment = decode(frame(ipv4(udp(b"abc"), 17)), 101, 1)
    assert (segment.protocol, segment.length, segment.flags) == (Protocol.UDP, 3, "")
    assert segment.dst == Endpoint("127.0.0.1", 9)


@pytest.mark.parametrize("quoted", [ipv4(tcp(b"more")), ipv4(tcp()[:8], total=40)])
def test_icmp_quotes_the_segment_it_is_about(quoted):
    message = decode(frame(ipv4(bytes([3, 3]) + bytes(6) + quoted, 1)), 101, 1)
    source, destination = Endpoint("127.0.0.1", 40000), Endpoint("127.0.0.1", 9)
    assert message.protocol is Protocol.ICMP
    assert message.src == Endpoint("127.0.0.1", 0)
    assert message.icmp == Icmp(3, 3, Protocol.TCP, source, destination, 1000)


def test_icmpv6_quotes_a_datagram():
    message = decode(frame(ipv6(bytes([1, 4]) + bytes(6) + ipv6(udp(), 17), 58)), 101, 1)
    source, destination = Endpoint("::1", 40000), Endpoint("::1", 9)
    assert message.protocol is Protocol.ICMPV6
    assert message.icmp == Icmp(1, 4, Protocol.UDP, source, destination, None)


@pytest.mark.parametrize("kind", [130, 131, 133, 134, 135, 136, 137, 143])
def test_what_keeps_an_ipv6_link_going_is_no_segment(kind):
    """As ARP and IGMP are none: neighbour discovery, multicast listeners."""
    message = frame(ipv6(bytes([kind, 0]) + bytes(22), 58))
    assert decode(message, 101, 1) is None
    assert decode_all([message], [Interface("eth0", 101)]) == ((), ())


@pytest.mark.parametrize(
    "quoted", [b"", ipv4(tcp())[:22], ipv4(tcp(), fragment=5), ipv4(b"", 132), b"\x60" + bytes(60)]
)
def test_an_icmp_error_that_quotes_nothing_readable_is_still_a_message(quoted):
    message = decode(frame(ipv4(bytes([3, 3]) + bytes(6) + quoted, 1)), 101, 1)
    assert message.icmp == Icmp(3, 3)


def test_an_echo_quotes_nothing():
    assert decode(frame(ipv4(bytes([8, 0]) + bytes(6) + b"ping", 1)), 101, 1).icmp == Icmp(8, 0)


def test_segments_are_numbered_without_gaps_and_the_unread_are_counted():
    frames = [
        frame(ethernet(SYN4)),
        frame(ethernet(SYN4)[:40], original=len(SYN4) + 14),
        frame(ethernet(ipv4(tcp(offset=4)))),
        frame(ethernet(ipv4(b"x" * 60, fragment=9))),
        frame(bytes(12) + b"\x08\x06" + bytes(28)),
        frame(ethernet(SYN6)),
        frame(b"x" * 60, interface=1),
    ]
    segments, unread = decode_all(frames, (Interface("lo", 1), Interface("usb0", 189)))
    assert [segment.id for segment in segments] == [1, 2]
    assert len(unread) == 4
    text = "\n".join(unread)
    assert "1 packet on lo captured too short" in text
    assert "usb0 have link type 189" in text


@given(data=st.binary(max_size=200), linktype=st.sampled_from([*LINKS, 147]), more=st.booleans())
def test_no_bytes_raise(data, linktype, more):
    examine(frame(data, original=len(data) + 100 * more), linktype, 1)


@given(
    packet=st.sampled_from(
        [
            ethernet(ipv4(tcp(b"data", options=SYN_OPTIONS))),
            ethernet(ipv6(tcp(b"data", options=SYN_OPTIONS))),
            ethernet(ipv4(bytes([3, 3]) + bytes(6) + SYN4, 1)),
            ethernet(ipv6(bytes([1, 4]) + bytes(6) + SYN6, 58)),
        ]
    ),
    edits=st.lists(st.tuples(st.integers(0, 110), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 120),
)
def test_no_edit_or_cut_of_a_packet_raises(packet, edits, cut):
    data = bytearray(packet)
    for place, value in edits:
        data[place % len(data)] = value
    segment = decode(frame(bytes(data[:cut]), original=len(data)), 1, 1)
    if segment is not None:
        assert 0 <= segment.length <= len(packet) or segment.protocol is Protocol.UDP


def test_addresses_print_as_the_sockets_api_prints_them():
    mapped = bytes(10) + b"\xff\xff" + V4[:4]
    packet = pack("!IHBB", 6 << 28, 20, 6, 64) + mapped + V6[:16] + tcp()
    segment = decode(frame(packet), 101, 1)
    assert segment.src.address == "::ffff:127.0.0.1"
