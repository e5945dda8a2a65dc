"""Classic capture files: four magics, cut and damaged ones, and the way back."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.pcap import is_pcap, read_pcap, write_pcap
from observatory.errors import BadFile
from observatory.model import Frame


def pcap(order="<", magic=0xA1B23C4D, network=1, records=()):
    head = pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, network)
    return head + b"".join(
        pack(order + "IIII", seconds, part, len(data), original) + data
        for seconds, part, data, original in records
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_both_byte_orders_and_units(order, magic, unit):
    data = pcap(order, magic, records=[(1_790_000_000, 123_456, b"abc", 60)])
    assert is_pcap(data)
    contents = read_pcap(data)
    assert contents.frames == [Frame(1_790_000_000_000_000_000 + 123_456 * unit, 0, b"abc", 60)]
    assert (contents.interfaces[0].linktype, contents.interfaces[0].snaplen) == (1, 65535)
    assert contents.ending is None


def test_the_bits_about_a_checksum_are_no_part_of_the_link_type():
    assert read_pcap(pcap(network=0x14000001)).interfaces[0].linktype == 1


def test_cut_at_every_byte():
    data = pcap(records=[(1, 2, b"abcde", 5), (1, 3, b"fgh", 3)])
    for length in range(4, 24):
        with pytest.raises(BadFile, match="inside its header"):
            read_pcap(data[:length])
    whole = {24: 0, 45: 1, len(data): 2}
    for length in range(24, len(data) + 1):
        contents = read_pcap(data[:length])
        assert len(contents.frames) == sum(length >= end for end in (45, len(data)))
        assert (contents.ending is None) == (length in whole)


def test_an_impossible_length_is_damage():
    data = pcap() + pack("<IIII", 1, 2, 0xFFFFFFF0, 60)
    assert "damaged at byte 24" in read_pcap(data).ending


@given(
    st.lists(
        st.builds(
            Frame,
            time_ns=st.integers(0, 2**32 * 10**9 - 1),
            interface=st.just(0),
            data=st.binary(max_size=50),
            original_length=st.integers(50, 2**32 - 1),
        )
    )
)
def test_what_is_written_reads_back(frames):
    assert read_pcap(b"".join(write_pcap(frames, 113))).frames == frames


def test_a_time_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        list(write_pcap([Frame(2**32 * 10**9, 0, b"", 0)], 1))


@given(st.binary(max_size=120))
def test_no_bytes_behind_the_magic_raise_anything_else(data):
    start = pcap()[:4]
    try:
        read_pcap(start + data)
    except BadFile:
        assert len(data) < 20
