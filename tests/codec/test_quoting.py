"""Which packet an ICMP error quotes: told by its bytes, and only where they tell one."""

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.sightings import decode_run
from observatory.model import Interface
from tests.packets import ethernet, frame, tcp, udp

LO = (Interface("lo", 1),)
HOSTS = bytes([192, 0, 2, 1, 198, 51, 100, 1])
BACK = bytes([192, 0, 2, 254, 192, 0, 2, 1])
SIX = bytes.fromhex("20010db800000000000000000000000120010db8000000000000000000000002")


def ipv4(payload: bytes, number: int, protocol: int = 6, ttl: int = 64, hosts: bytes = HOSTS):
    fixed = pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, 0x4000, ttl, protocol, ttl)
    return fixed + hosts + payload


def ipv6(payload: bytes, label: int, protocol: int = 6, hops: int = 64):
    return pack("!IHBB", 6 << 28 | label, len(payload), protocol, hops) + SIX + payload


def error(packet: bytes) -> bytes:
    """Host unreachable from a router, quoting what reached it."""
    return ipv4(pack("!BBHI", 3, 1, 0, 0) + packet[:28], 0, protocol=1, hosts=BACK)


def error6(packet: bytes) -> bytes:
    return ipv6(pack("!BBHI", 1, 3, 0, 0) + packet, 9, protocol=58)


def quoted(*packets: bytes) -> list[int | None]:
    """What each ICMP error of these packets, in this order, quotes."""
    frames = [frame(ethernet(packet), at=at) for at, packet in enumerate(packets)]
    segments, unread = decode_run(frames, LO, None)
    assert not unread
    return [segment.icmp.quoted for segment in segments if segment.icmp is not None]


def test_of_a_syn_that_was_sent_again_the_numbers_tell_which():
    syns = [ipv4(tcp(), number) for number in (5, 6, 7)]
    late = [ipv4(tcp(), number, ttl=63) for number in (5, 6)]
    assert quoted(*syns, *map(error, late)) == [1, 2]


def test_over_ipv6_the_flow_labels_tell():
    assert quoted(ipv6(tcp(), 1), ipv6(tcp(), 2), error6(ipv6(tcp(), 1, hops=63))) == [1]


def test_of_equal_packets_nothing_tells_until_all_but_one_were_quoted():
    same = ipv4(udp(b"x"), 0, protocol=17)
    assert quoted(same, same, error(same)) == [None]
    assert quoted(same, error(same), same, error(same)) == [1, 3]


def test_a_packet_not_seen_before_is_not_guessed():
    assert quoted(error(ipv4(tcp(), 5)), ipv4(tcp(), 5)) == [None]
    assert quoted(ipv4(tcp(), 5), error(ipv4(tcp(), 6))) == [None]


@given(st.binary(max_size=60))
def test_any_quotation_is_read_without_harm(quotation):
    made = ipv4(pack("!BBHI", 3, 1, 0, 0) + quotation, 0, protocol=1, hosts=BACK)
    decode_run([frame(ethernet(ipv4(tcp(), 5))), frame(ethernet(made), at=1)], LO, None)
