"""What counts as a disagreement with tshark, on rows written by hand."""

from dataclasses import replace

import pytest

from observatory.analysis import analyze
from observatory.analysis.second_opinion import compare, completeness_bits, phases
from observatory.codec.headers import decode_all
from observatory.model import Interface, Trace
from observatory.model.opinions import Disagreement, SharkRow
from tests.packets import ethernet, frame, ipv4, tcp, udp

SYN, FIN, RST, ACK = 0x02, 0x01, 0x04, 0x10
MS = 1_000_000
# client port 40000 to 9 and back; ISNs 1000 and 5000
FROM_CLIENT = {"src": 40000, "dst": 9}
FROM_SERVER = {"src": 9, "dst": 40000}


def conversation(*packets):
    return analyzed([ipv4(packet) for packet in packets])


def analyzed(packets):
    frames = tuple(frame(ethernet(packet), at=index * MS) for index, packet in enumerate(packets))
    interfaces = (Interface("lo", 1),)
    segments, _unread = decode_all(frames, interfaces)
    return analyze(Trace(interfaces=interfaces, frames=frames, segments=segments))


def agreeing(analysis, marks=None):
    """The rows of a tshark that agrees in everything, with ``marks`` by segment id."""
    bits = 0
    for one in analysis.segments:
        bits |= completeness_bits(one.segment)
    return [
        SharkRow(
            number=one.segment.id,
            time_ns=one.segment.time_ns,
            stream=0,
            flags=one.segment.flags,
            relative_seq=one.relative_seq,
            relative_ack=one.relative_ack or 0,
            length=one.segment.length,
            marks=frozenset((marks or {}).get(one.segment.id, ())),
            completeness=bits,
        )
        for one in analysis.segments
    ]


HANDSHAKE = (
    tcp(**FROM_CLIENT, seq=1000, flags=SYN),
    tcp(**FROM_SERVER, seq=5000, ack=1001, flags=SYN | ACK),
    tcp(**FROM_CLIENT, seq=1001, ack=5001, flags=ACK),
)
FIRST = tcp(b"0123456789", **FROM_CLIENT, seq=1001, ack=5001, flags=ACK)
SECOND = tcp(b"0123456789", **FROM_CLIENT, seq=1011, ack=5001, flags=ACK)


@pytest.fixture
def analysis():
    return conversation(*HANDSHAKE, FIRST, FIRST)


@pytest.fixture
def rows(analysis):
    return agreeing(analysis, {5: ["retransmission"]})


def test_rows_that_say_the_same_disagree_in_nothing(analysis, rows):
    assert compare(analysis, rows) == ()


@pytest.mark.parametrize(
    ("index", "change", "what", "ours", "theirs"),
    [
        (0, {"flags": "SE"}, "flags", "S", "SE"),
        (3, {"length": 9}, "payload bytes", "10", "9"),
        (3, {"relative_seq": 2}, "relative sequence number", "1", "2"),
        (3, {"relative_ack": 7}, "relative acknowledgment number", "1", "7"),
        (0, {"stream": None}, "protocol", "TCP", "not TCP"),
        (4, {"marks": frozenset()}, "retransmission", "repeats what was shown before", "in order"),
        (
            3,
            {"marks": frozenset({"fast_retransmission"})},
            "retransmission",
            "in order",
            "fast_retransmission",
        ),
    ],
)
def test_each_difference_is_told_with_its_segment(
    analysis, rows, index, change, what, ours, theirs
):
    rows[index] = replace(rows[index], **change)
    assert compare(analysis, rows) == (Disagreement(index + 1, what, ours, theirs),)


def test_an_acknowledgment_number_without_the_flag_means_nothing(analysis, rows):
    rows[0] = replace(rows[0], relative_ack=4_000_000_000)
    assert compare(analysis, rows) == ()


def test_a_stream_that_is_split_is_told_once(analysis, rows):
    rows[3:] = [replace(row, stream=1) for row in rows[3:]]
    (found,) = compare(analysis, rows)
    assert (found.segment, found.what) == (4, "grouping")
    assert "tcp.stream 0" in found.ours
    assert "tcp.stream 1" in found.theirs


def test_connections_in_one_stream_are_told():
    other = tcp(src=40001, dst=9, seq=1000, flags=SYN)
    analysis = conversation(*HANDSHAKE, other)
    (found,) = [one for one in compare(analysis, agreeing(analysis)) if one.what == "grouping"]
    assert found.segment == 4
    assert "connection 2" in found.ours
    assert "connection 1" in found.theirs


def test_completeness_is_told_once_for_a_connection(analysis, rows):
    rows = [replace(row, completeness=31) for row in rows]
    assert compare(analysis, rows) == (
        Disagreement(
            5,
            "completeness of connection 1",
            "SYN SYN-ACK ACK DATA",
            "SYN SYN-ACK ACK DATA FIN",
        ),
    )


def test_a_packet_too_few_speaks_of_the_file(analysis, rows):
    assert compare(analysis, rows[:-1]) == (Disagreement(None, "packets in the file", "5", "4"),)


def test_a_time_that_differs_is_told(analysis, rows):
    rows[2] = replace(rows[2], time_ns=rows[2].time_ns + 1)
    (found,) = compare(analysis, rows)
    assert (found.segment, found.what) == (3, "time")


@pytest.mark.parametrize("mark", ["retransmission", "out_of_order", "spurious_retransmission"])
def test_bytes_shown_late_are_what_wireshark_guesses_from_time(mark):
    analysis = conversation(*HANDSHAKE, SECOND, FIRST)
    assert compare(analysis, agreeing(analysis, {5: [mark]})) == ()
    (found,) = compare(analysis, agreeing(analysis))
    assert (found.segment, found.ours, found.theirs) == (5, "shown late", "in order")


def test_bytes_acknowledged_before_they_were_shown_are_late():
    acked = tcp(**FROM_SERVER, seq=5001, ack=1011, flags=ACK)
    analysis = conversation(*HANDSHAKE, acked, FIRST)
    assert compare(analysis, agreeing(analysis, {5: ["spurious_retransmission"]})) == ()


def test_a_second_sight_of_one_byte_is_a_keepalive_to_wireshark():
    byte = tcp(b"0", **FROM_CLIENT, seq=1001, ack=5001, flags=ACK)
    analysis = conversation(*HANDSHAKE, byte, byte)
    assert compare(analysis, agreeing(analysis, {5: ["keep_alive"]})) == ()


def test_several_bytes_are_no_keepalive(analysis):
    (found,) = compare(analysis, agreeing(analysis, {5: ["keep_alive"]}))
    assert (found.segment, found.theirs) == (5, "keep_alive")


def test_a_datagram_is_compared_as_not_tcp():
    analysis = analyzed([ipv4(udp(b"x"), 17)])
    row = SharkRow(1, analysis.segments[0].segment.time_ns)
    assert compare(analysis, [row]) == ()
    (found,) = compare(analysis, [replace(row, stream=0)])
    assert (found.what, found.ours, found.theirs) == ("protocol", "UDP", "TCP")


def test_rows_in_another_order_are_paired_by_time(analysis, rows):
    assert compare(analysis, rows[::-1]) == ()


def test_phases_are_wiresharks_bits_in_words():
    assert phases(0) == ""
    assert phases(1 | 4 | 32) == "SYN ACK RST"
