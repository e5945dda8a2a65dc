"""Escapes in strings, and what a decoration says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.strace.values import Descriptor, Text


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        ("plain", b"plain"),
        (r"\n\t\r\v\f\a", b"\n\t\r\v\f\a"),
        (r"\"\\", b'"\\'),
        (r"\0", b"\0"),
        (r"\1777", b"\1777"),
        (r"\18", b"\x018"),
        (r"\377\xff\x4", b"\xff\xff\x04"),
        ("é", "é".encode()),
    ],
)
def test_escapes(raw, data):
    assert Text(raw).data == data


@given(st.binary())
def test_octal_and_hexadecimal_give_the_bytes_back(data):
    assert Text("".join(f"\\{byte:03o}" for byte in data)).data == data
    assert Text("".join(f"\\x{byte:02x}" for byte in data)).data == data


@pytest.mark.parametrize(
    ("names", "is_socket", "inode"),
    [
        ("socket:[123]", True, 123),
        ("TCP:[1057527]", True, None),
        ("TCP:[127.0.0.1:1->127.0.0.1:2]", True, None),
        ("TCPv6:[[::1]:1]", True, None),
        ("UDP:[0.0.0.0:53]", True, None),
        ("UNIX:[123]", True, 123),
        ('UNIX-STREAM:[123->124,"/x"]', True, 123),
        ("NETLINK:[ROUTE:77]", True, None),
        ("pipe:[9]", False, None),
        ("anon_inode:[eventpoll]", False, None),
        ("/tmp/socket:[1]", False, None),
        ("", False, None),
    ],
)
def test_what_is_a_socket(names, is_socket, inode):
    descriptor = Descriptor(3, names)
    assert (descriptor.is_socket, descriptor.inode) == (is_socket, inode)
