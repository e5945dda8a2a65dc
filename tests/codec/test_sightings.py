"""Each packet once, with all its sightings; what was sent twice is never taken for one."""

from dataclasses import replace
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec import sightings
from observatory.codec.sightings import decode_run
from observatory.model import Topology
from tests.codec.lab_packets import (
    BACK,
    CLIENT,
    IN,
    INTERFACES,
    OUT,
    ROUTED,
    SERVER,
    THERE,
    Lab,
    packet,
)
from tests.packets import SYN_OPTIONS, tcp, udp


def journeys(lab: Lab, topology: Topology | None = ROUTED, interfaces=INTERFACES):
    """For each segment the interfaces that saw it, with the microseconds since the first frame."""
    frames = lab.in_order()
    segments, unread = decode_run(frames, interfaces, topology)
    assert not unread
    assert [segment.id for segment in segments] == list(range(1, len(segments) + 1))
    for segment in segments:
        first = segment.sightings[0]
        assert (segment.time_ns, segment.interface) == (first.time_ns, first.interface)
        assert segment.frame is first.frame
        assert all(each.frame in frames for each in segment.sightings)
    start = frames[0].time_ns
    return [
        [
            (INTERFACES[each.interface].name, (each.time_ns - start) // 1000)
            for each in segment.sightings
        ]
        for segment in segments
    ]


def names(lab: Lab, **more):
    return [[name for name, _ in journey] for journey in journeys(lab, **more)]


WHOLE = ["client:eth0", "router:eth0", "router:eth1", "server:eth0"]


def send(lab: Lab, at: int, transport: bytes, *, places=(0, 1, 2, 3), way=THERE, **more):
    ends = {"src": CLIENT, "dst": SERVER} if way is THERE else {"src": SERVER, "dst": CLIENT}
    for place in places:
        hops = 0 if place < 2 else 1
        lab.see(at + place, way[place], packet(transport, hops=hops, **ends, **more))


def test_a_packet_is_one_segment_seen_by_each_interface_on_its_way():
    lab = Lab()
    send(lab, 0, tcp(), number=7)
    send(lab, 10, tcp(src=9, dst=40000, flags=0x12), way=BACK)
    assert names(lab) == [WHOLE, WHOLE[::-1]]


def test_where_nothing_is_on_its_way_each_frame_is_a_segment():
    lab = Lab()
    send(lab, 0, tcp(), number=7)
    frames = lab.in_order()
    for topology in (None, Topology("loopback", ROUTED.nodes[:1], ())):
        segments, _ = decode_run(frames, INTERFACES, topology)
        assert len(segments) == 4
        assert not any(segment.sightings for segment in segments)


def test_a_packet_that_was_lost_ends_where_it_was_last_seen_and_is_not_the_one_sent_again():
    lab = Lab()
    send(lab, 0, tcp(options=SYN_OPTIONS), places=(0, 1))
    send(lab, 1_000_000, tcp(options=SYN_OPTIONS))
    assert names(lab) == [WHOLE[:2], WHOLE]


def test_equal_packets_under_way_at_the_same_time_keep_their_order():
    """IPv6 and a few IPv4 packets carry no number: equal ACKs, sent while others are under way."""
    lab = Lab()
    for at in (0, 10, 20):
        for place, delay in enumerate((0, 1, 2, 40)):
            lab.see(at + delay, THERE[place], packet(tcp(flags=0x10)))
    assert journeys(lab) == [
        list(zip(WHOLE, (at, at + 1, at + 2, at + 40), strict=True)) for at in (0, 10, 20)
    ]


def test_which_of_equal_packets_was_lost_is_told_by_how_long_others_take():
    lab = Lab()
    for number in (1, 2, 3):
        for place, delay in enumerate((0, 1, 2, 40_002)):
            lab.see(number + delay, THERE[place], packet(udp(b"a"), protocol=17, number=number))
    for at in (100_000, 110_000, 120_000):
        for place, delay in enumerate((0, 1, 2, 40_002)):
            if (at, place) != (110_000, 3):
                lab.see(at + delay, THERE[place], packet(tcp(flags=0x10)))
    assert [len(journey) for journey in journeys(lab)] == [4, 4, 4, 4, 3, 4]


def test_what_arrives_twice_and_left_once_was_duplicated_on_the_path():
    lab = Lab()
    send(lab, 0, tcp(), number=7)
    lab.see(9, THERE[3], packet(tcp(), number=7, hops=1))
    assert journeys(lab)[1] == [("server:eth0", 9)]


def test_one_that_came_twice_is_not_taken_for_another_that_was_lost_before():
    lab = Lab()
    send(lab, 0, tcp(flags=0x04), places=(0, 1))
    send(lab, 1000, tcp(flags=0x04))
    lab.see(1009, THERE[3], packet(tcp(flags=0x04), hops=1))
    assert names(lab) == [WHOLE[:2], WHOLE, ["server:eth0"]]


def test_packets_that_overtake_each_other_stay_what_they_are():
    lab = Lab()
    for payload, arrival in ((b"one", 30), (b"two", 20)):
        data = packet(udp(payload), protocol=17)
        lab.see(0 if payload == b"one" else 1, THERE[0], data)
        lab.see(arrival, THERE[3], data)
    assert journeys(lab) == [
        [("client:eth0", 0), ("server:eth0", 30)],
        [("client:eth0", 1), ("server:eth0", 20)],
    ]


def test_checksums_hops_and_a_clamped_mss_do_not_make_another_packet():
    lab = Lab()
    syn = bytearray(tcp(options=bytes.fromhex("01 0204 05b4 000000")))
    lab.see(0, THERE[0], packet(bytes(syn), number=7))
    syn[16:18], syn[23:25] = b"\xab\xcd", b"\x02\x00"
    lab.see(1, THERE[2], packet(bytes(syn), number=7, hops=1))
    assert names(lab) == [["client:eth0", "router:eth1"]]


@pytest.mark.parametrize(
    "other",
    [
        packet(tcp(seq=1001), number=7),
        packet(tcp(), number=8),
        packet(tcp(b"x"), number=7),
        packet(tcp(options=bytes(4)), number=7),
    ],
)
def test_what_differs_elsewhere_is_another_packet(other):
    lab = Lab()
    lab.see(0, THERE[0], packet(tcp(), number=7))
    lab.see(1, THERE[1], other)
    assert len(journeys(lab)) == 2


def test_the_first_fragment_stands_for_the_packet_that_a_router_cut():
    lab = Lab()
    datagram = udp(bytes(1200))
    for place in (0, 1):
        lab.see(place, THERE[place], packet(datagram, protocol=17, number=7, fragment=0))
    for place in (2, 3):
        for start in (0, 600):
            part = packet(
                datagram[start : start + 600],
                protocol=17,
                number=7,
                fragment=start // 8 | (0x2000 if start == 0 else 0),
                hops=1,
            )
            lab.see(place * 2, THERE[place], part)
    frames = lab.in_order()
    (segment,), _ = decode_run(frames, INTERFACES, ROUTED)
    assert [INTERFACES[each.interface].name for each in segment.sightings] == WHOLE
    assert segment.length == 1200


def test_a_routers_error_is_first_seen_at_the_router():
    lab = Lab()
    quoted = packet(tcp(), number=7, hops=1)[14:]
    error = pack("!BBHI", 3, 1, 0, 0) + quoted[:28]
    send(lab, 0, tcp(), number=7, places=(0, 1))
    for place, at in ((2, 3_000_000), (3, 3_000_001)):
        router = bytes([192, 0, 2, 254])
        lab.see(at, BACK[place], packet(error, protocol=1, src=router, dst=CLIENT))
    assert names(lab) == [["client:eth0", "router:eth0"], ["router:eth0", "client:eth0"]]


def test_a_reset_in_the_servers_name_is_first_seen_at_the_router():
    lab = Lab()
    send(lab, 0, tcp(), places=(0, 1), number=7)
    send(lab, 10, tcp(src=9, dst=40000, flags=0x14), places=(2, 3), way=BACK)
    assert names(lab) == [WHOLE[:2], WHOLE[1::-1]]


def test_a_link_local_address_is_of_the_host_that_was_seen_to_use_it_first():
    lab = Lab()
    lab.see(0, (1, OUT), packet(udp(), protocol=17, src=bytes([169, 254, 0, 1])))
    lab.see(1, (0, IN), packet(udp(), protocol=17, src=bytes([169, 254, 0, 1])))
    assert names(lab) == [["router:eth0", "client:eth0"]]


def test_a_hosts_own_loopback_is_not_on_the_way():
    lab = Lab()
    own = packet(udp(), protocol=17, src=CLIENT, dst=CLIENT)
    lab.see(0, (4, OUT), own)
    lab.see(1, (4, IN), own)
    lab.see(2, (0, OUT), own)
    assert names(lab) == [["client:lo", "client:lo"], ["client:eth0"]]


def test_a_frame_that_a_capture_lost_leaves_one_packet_if_it_is_known_to_lose():
    lab = Lab()
    send(lab, 0, tcp(), number=1)
    send(lab, 10, tcp(seq=2), number=2, places=(0, 2, 3))
    lossy = tuple(
        replace(each, dropped=1) if each.name == "router:eth0" else each for each in INTERFACES
    )
    assert len(names(lab)) == 3
    assert names(lab, interfaces=lossy)[1] == ["client:eth0", "router:eth1", "server:eth0"]


def test_many_equal_packets_are_paired_by_order_alone(monkeypatch):
    monkeypatch.setattr(sightings, "LARGEST_TABLE", 5)
    lab = Lab()
    for at in range(0, 400, 100):
        send(lab, at, tcp(flags=0x10), places=(0, 1) if at == 100 else (0, 1, 2, 3))
    assert [len(journey) for journey in journeys(lab)] == [4, 2, 4, 4]


# --- any path ------------------------------------------------------------------------------------

delays = st.integers(0, 50_000)
fates = st.lists(
    # For each stretch of the way: how long it takes, and when a second copy comes behind.
    st.tuples(delays, st.none() | st.integers(1, 50_000)),
    min_size=3,
    max_size=3,
)
sends = st.lists(
    st.tuples(
        st.integers(0, 20_000),  # microseconds since the one before
        st.booleans(),  # there or back
        fates,
        st.integers(1, 4),  # how many interfaces see it
    ),
    max_size=12,
)


@given(sends, st.booleans())
def test_on_any_path_distinguishable_packets_are_what_they_are(sends, again):
    """Loss, delay, duplication and order are the path's; ``again`` sends each segment's bytes
    twice, told apart by the IP header's number alone."""
    lab, truth = Lab(), []
    now = 0
    for index, (pause, there, stretches, reach) in enumerate(sends):
        for repeat in range(1 + again):
            now += pause + 1
            way, ends = (THERE, (CLIENT, SERVER)) if there else (BACK, (SERVER, CLIENT))
            number = 2 * index + repeat + 1
            made = [
                packet(tcp(seq=index), number=number, hops=hops, src=ends[0], dst=ends[1])
                for hops in (0, 0, 1, 1)
            ]
            at, place, seen = now, 0, []
            copies = []
            while True:
                lab.see(at, way[place], made[place])
                seen.append((INTERFACES[way[place][0]].name, at))
                if place + 1 >= reach:
                    break
                delay, copy = stretches[place]
                at, place = at + delay, place + 1
                if copy is not None and place + 1 == reach:
                    copies.append((at + copy, place))
            truth.append(seen)
            for copy_at, copy_place in copies:
                lab.see(copy_at, way[copy_place], made[copy_place])
                truth.append([(INTERFACES[way[copy_place][0]].name, copy_at)])
    if not truth:
        return
    start = min(at for journey in truth for _, at in journey)
    expected = [[(name, at - start) for name, at in journey] for journey in truth]
    assert sorted(journeys(lab)) == sorted(expected)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 4)), min_size=1, max_size=12))
def test_no_two_sends_are_one_segment_even_of_equal_packets(sends):
    lab, now = Lab(), 0
    for pause, reach in sends:
        now += pause
        send(lab, now, tcp(flags=0x10), places=range(reach))
    found = journeys(lab)
    assert len(found) == len(sends)
    for journey in found:
        assert [name for name, _ in journey] == WHOLE[: len(journey)]
        assert [at for _, at in journey] == sorted(at for _, at in journey)
    # As many are lost on each stretch as were in truth.
    assert sorted(map(len, found)) == sorted(reach for _, reach in sends)
