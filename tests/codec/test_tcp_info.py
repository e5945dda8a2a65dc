"""TCP_INFO's numbers by name."""

import pytest

from observatory.codec.tcp_info import LISTEN, SIZE, named, unpack


def test_the_layout_reads_what_the_header_says():
    raw = bytearray(SIZE)
    raw[0] = 8  # tcpi_state
    for offset, value in ((8, 1), (24, 2), (28, 3), (68, 4), (80, 5), (100, 6), (144, 7)):
        raw[offset : offset + 4] = value.to_bytes(4, "little")

    assert unpack(bytes(raw)) == (8, 1, 2, 3, 4, 5, 6, 7)


def test_a_listener_has_a_queue_and_others_have_buffers():
    assert named([LISTEN, 17, 2, 1]) == {
        "state": "LISTEN",
        "queue": 2,
        "queue_limit": 1,
        "at_ns": 17,
    }
    connection = named([8, 17, 200_000, 30, 10, 0, 1, 2, 3])
    assert connection == {
        "state": "CLOSE-WAIT",
        "rto_us": 200_000,
        "rtt_us": 30,
        "cwnd": 10,
        "retransmits": 0,
        "unsent": 1,
        "unread": 2,
        "unacked": 3,
        "at_ns": 17,
    }
    assert named([8, 17, 200_000, 30, 10, 0, 1, 2, 3, 4, 5]) == {
        **connection,
        "send_memory": 4,
        "send_buffer": 5,
    }


def test_a_closed_socket_has_what_was_not_read():
    assert named([7, 17, 5]) == {"state": "CLOSED", "unread": 5, "at_ns": 17}


def test_a_state_without_a_name_keeps_its_number():
    assert named([99, 17, 1, 2])["state"] == "99"


def test_another_list_is_refused():
    with pytest.raises(KeyError):
        named([1, 17, 2, 3, 4])
