"""What the relay decides, as tables: no socket, no clock."""

import socket
import struct

import pytest

from observatory.lab.faults import Delay, Duplicate, Lose, Reorder
from observatory.lab.match import DATA, FIN, SYN, Match
from observatory.lab.relay_rules import Fate, Packet, Rule, Schedule, decide, read
from observatory.model import Endpoint, Protocol, Segment

LINK = ("client", "server")
FROM_CLIENT, FROM_SERVER = 0, 1


def packet(flags="A", length=0, side=FROM_CLIENT):
    ends = [Endpoint("192.0.2.1", 40000), Endpoint("192.0.2.2", 80)]
    segment = Segment(0, 0, 0, Protocol.TCP, ends[side], ends[1 - side], length, flags=flags)
    return Packet(side, segment)


ARP = Packet(FROM_CLIENT, None, neighbourly=True)
FRAGMENT = Packet(FROM_CLIENT, None)
SYN_SEEN, FIN_SEEN, DATA_SEEN, ACK_SEEN = packet("S"), packet("FA"), packet("PA", 10), packet()
ANSWER = packet("SA", side=FROM_SERVER)


def delays(faults, packets, sides=(0, 1)):
    """The delays of each packet's copies, one packet after the other."""
    rules = [Rule(number, fault, sides) for number, fault in enumerate(faults, 1)]
    tally, found = {}, []
    for each in packets:
        fate, tally = decide(rules, tally, each)
        found.append(fate.delays_ns)
    return found


PASSES, LOST = (0,), ()


@pytest.mark.parametrize(
    ("faults", "packets", "expected"),
    [
        ([], [SYN_SEEN, ARP], [PASSES, PASSES]),
        ([Lose()], [SYN_SEEN, FRAGMENT, ARP], [LOST, LOST, PASSES]),
        ([Lose(match=FIN)], [SYN_SEEN, FIN_SEEN, FRAGMENT], [PASSES, LOST, PASSES]),
        ([Lose(match=DATA, first=2)], [DATA_SEEN] * 3, [LOST, LOST, PASSES]),
        (
            [Lose(match=DATA, every=2)],
            [DATA_SEEN, ACK_SEEN, DATA_SEEN, DATA_SEEN, DATA_SEEN],
            [PASSES, PASSES, LOST, PASSES, LOST],
        ),
        ([Delay(delay_ns=5)], [SYN_SEEN, ARP, FRAGMENT], [(5,), (5,), (5,)]),
        ([Delay(delay_ns=5), Delay(delay_ns=7)], [SYN_SEEN], [(12,)]),
        ([Delay(delay_ns=5, match=SYN, first=1)], [SYN_SEEN, SYN_SEEN], [(5,), PASSES]),
        ([Duplicate(gap_ns=3)], [SYN_SEEN], [(0, 3)]),
        ([Delay(delay_ns=5), Duplicate(gap_ns=3)], [SYN_SEEN], [(5, 8)]),
        ([Duplicate(gap_ns=3), Delay(delay_ns=5)], [SYN_SEEN], [(5, 8)]),
        ([Duplicate(), Lose()], [SYN_SEEN], [LOST]),
        # What the first loses, the second does not count.
        (
            [Lose(match=SYN, first=1), Delay(delay_ns=5, match=SYN, first=1)],
            [SYN_SEEN, SYN_SEEN, SYN_SEEN],
            [LOST, (5,), PASSES],
        ),
    ],
)
def test_faults_decide_about_packets(faults, packets, expected):
    assert delays(faults, packets) == expected


def test_a_direction_is_the_end_that_a_packet_comes_from():
    assert delays([Lose()], [SYN_SEEN, ANSWER], sides=[FROM_SERVER]) == [PASSES, LOST]


def test_a_host_is_known_by_its_addresses():
    rule = Rule(1, Lose(match=SYN.towards("server")), addresses={"server": ["192.0.2.2"]})

    assert decide([rule], {}, SYN_SEEN)[0].delays_ns == LOST
    elsewhere = Rule(1, Lose(match=SYN.towards("server")), addresses={"server": ["192.0.2.3"]})
    assert decide([elsewhere], {}, SYN_SEEN)[0].delays_ns == PASSES


def test_each_rule_that_hits_is_told():
    rules = [Rule(4, Delay(delay_ns=1)), Rule(9, Lose(match=FIN))]

    assert decide(rules, {}, SYN_SEEN)[0].hits == (4,)
    assert decide(rules, {}, FIN_SEEN)[0].hits == (4, 9)


def test_deciding_changes_nothing_that_was_given():
    tally = {}
    decide([Rule(1, Lose(first=1))], tally, SYN_SEEN)

    assert tally == {}


class Line:
    """A schedule driven by hand: packets are letters, small those from the client."""

    def __init__(self):
        self.schedule = Schedule()

    def take(self, now, name, fate):
        self.schedule.take(now, int(name.isupper()), name.encode(), fate)

    def sent(self, now):
        return "".join(raw.decode() for _, raw in self.schedule.due(now))


def test_packets_leave_when_they_are_due():
    line = Line()
    line.take(0, "a", Fate((10,)))
    line.take(1, "b", Fate((10,)))
    line.take(2, "C", Fate())

    assert line.schedule.next_ns() == 2
    assert [line.sent(now) for now in (2, 9, 10, 11, 99)] == ["C", "", "a", "b", ""]
    assert line.schedule.next_ns() is None


def test_of_packets_due_at_once_the_first_leaves_first():
    line = Line()
    for name in "abc":
        line.take(5, name, Fate())

    assert line.sent(5) == "abc"


def test_a_copy_follows_its_packet():
    line = Line()
    line.take(0, "a", Fate((0, 0)))
    line.take(0, "b", Fate((0, 4)))

    assert [line.sent(0), line.sent(4)] == ["aab", "b"]


def test_a_lost_packet_never_leaves():
    line = Line()
    line.take(0, "a", Fate(()))

    assert line.schedule.next_ns() is None


def held(behind=1, delays_ns=(0,)):
    return Fate(delays_ns, behind, patience_ns=100)


@pytest.mark.parametrize(
    ("behind", "arrivals", "left"),
    [
        (1, "abc", "bac"),
        (2, "abcd", "bcad"),
        (1, "aBCb", "BCba"),  # the other direction overtakes nobody
    ],
)
def test_a_held_packet_is_overtaken(behind, arrivals, left):
    line = Line()
    line.take(0, arrivals[0], held(behind))
    for name in arrivals[1:]:
        line.take(1, name, Fate())

    assert line.sent(1) == left


def test_it_is_behind_the_one_that_is_delayed_too():
    line = Line()
    line.take(0, "a", held())
    line.take(1, "b", Fate((10,)))

    assert [line.sent(10), line.sent(11)] == ["", "ba"]


def test_a_lost_packet_overtakes_nobody():
    line = Line()
    line.take(0, "a", held())
    line.take(1, "b", Fate(()))

    assert line.sent(1) == ""


def test_a_held_packet_does_not_wait_for_ever():
    line = Line()
    line.take(7, "a", held())

    assert line.schedule.next_ns() == 107
    assert [line.sent(106), line.sent(107)] == ["", "a"]


def test_a_reordered_packet_is_held():
    fate, _ = decide([Rule(1, Reorder(behind=2, patience_ns=9, first=1))], {}, SYN_SEEN)

    assert fate == Fate((0,), 2, 9, (1,))


ETHERNET = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02"


def test_frames_are_read():
    arp = ETHERNET + b"\x08\x06" + bytes(28)
    discovery = (
        ETHERNET
        + b"\x86\xdd"
        + struct.pack("!IHBB", 6 << 28, 24, 58, 255)
        + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
        + bytes([135, 0, 0, 0])
        + bytes(20)
    )
    echo = discovery[:54] + bytes([128]) + discovery[55:]
    to_all = echo[:38] + socket.inet_pton(socket.AF_INET6, "ff02::16") + echo[54:]

    assert read(arp, 1) == Packet(1, None, neighbourly=True)
    assert read(discovery, 0).neighbourly
    assert not read(echo, 0).neighbourly
    assert read(to_all, 0).neighbourly
    assert read(b"", 0) == Packet(0, None)


def test_a_datagram_is_matched_by_its_protocol():
    ends = Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 53)
    query = Packet(0, Segment(0, 0, 0, Protocol.UDP, *ends, 3))

    assert delays([Lose(match=Match(Protocol.UDP, port=53))], [query]) == [LOST]
