"""Which format a file is: gzip is looked through, everything else is named."""

import gzip

import pytest

from observatory.codec.packed import is_packed, read_contents, read_packed
from observatory.codec.pcap import write_pcap
from observatory.errors import BadFile
from tests.packets import ethernet, frame, ipv4, tcp

FRAMES = [frame(ethernet(ipv4(tcp(bytes(50)))), at=at) for at in range(50)]
CAPTURE = b"".join(write_pcap(FRAMES, 1))


def read(data):
    return read_packed(data) if is_packed(data) else read_contents(data)


def test_a_gzipped_capture_reads_as_if_it_were_not():
    assert len(read(gzip.compress(CAPTURE)).frames) == len(read(CAPTURE).frames) == 50


def test_members_put_one_behind_the_other_and_padding():
    half = len(CAPTURE) // 2
    packed = gzip.compress(CAPTURE[:half]) + gzip.compress(CAPTURE[half:]) + bytes(100)
    contents = read(packed)
    assert (len(contents.frames), contents.ending) == (50, None)


def test_cut_at_every_byte():
    packed = gzip.compress(CAPTURE, 0)
    for length in range(2, len(packed)):
        try:
            contents = read(packed[:length])
        except BadFile:
            assert length < 60
        else:
            assert "gzipped and is cut short" in contents.ending
    assert len(contents.frames) == 50


def test_damage_inside():
    packed = bytearray(gzip.compress(CAPTURE, 0))
    packed[-6] ^= 0xFF  # the checksum
    assert "is damaged" in read(bytes(packed)).ending


def test_one_that_unpacks_to_more_than_memory_should_take(monkeypatch):
    monkeypatch.setattr("observatory.codec.packed.LARGEST_UNPACKED", 2000)
    assert "unpack it first" in read(gzip.compress(CAPTURE)).ending


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\n", "ends inside its header"),
        (b"\n\r\r\n\x1c\0\0\0M<", "ends inside its header"),
        (b"\n\r\r\nhello, this is text", "neither"),
        (b"hello", "neither"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"<html>", "web page"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd -d"),
        (b"BZh91AY", "bzip2 -d"),
        (b"PK\x03\x04", "unzip"),
        (b'{"schema": "observatory/1"}', "JSON"),
        (b"\x1f\x8b", "cannot be unpacked"),
        (b"\x1f\x8b\x08" + b"\xff" * 60, "cannot be unpacked"),
        (gzip.compress(b"<html>", mtime=0), "web page"),
    ],
)
def test_what_is_no_capture_says_what_it_is(data, what):
    with pytest.raises(BadFile, match=what):
        read(data)
