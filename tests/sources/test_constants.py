import select
import socket
import struct

import pytest

from observatory.sources import constants


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (socket.SOCK_STREAM, "SOCK_STREAM"),
        (socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, "SOCK_DGRAM|SOCK_CLOEXEC"),
        (
            socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC",
        ),
        (13, "13"),
    ],
)
def test_type_name(kind, name):
    assert constants.type_name(kind) == name


@pytest.mark.parametrize(
    ("family", "name"),
    [
        (socket.AF_INET, "AF_INET"),
        (socket.AF_INET6, "AF_INET6"),
        (socket.AF_UNIX, "AF_UNIX"),
        (socket.AF_UNSPEC, "AF_UNSPEC"),
        (99, "99"),
    ],
)
def test_family_name(family, name):
    assert constants.family_name(family) == name


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (0, "0"),
        (socket.MSG_PEEK, "MSG_PEEK"),
        (socket.MSG_OOB | socket.MSG_DONTWAIT, "MSG_OOB|MSG_DONTWAIT"),
        (socket.MSG_FASTOPEN, "MSG_FASTOPEN"),
        (1 << 27, "0x8000000"),
    ],
)
def test_flags_name(flags, name):
    assert constants.flags_name(flags) == name


@pytest.mark.parametrize(
    ("level", "option", "names"),
    [
        (socket.SOL_SOCKET, socket.SO_LINGER, ("SOL_SOCKET", "SO_LINGER")),
        (socket.SOL_SOCKET, socket.SO_ERROR, ("SOL_SOCKET", "SO_ERROR")),
        (socket.SOL_SOCKET, socket.SO_REUSEADDR, ("SOL_SOCKET", "SO_REUSEADDR")),
        (socket.SOL_SOCKET, socket.SO_REUSEPORT, ("SOL_SOCKET", "SO_REUSEPORT")),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, ("SOL_SOCKET", "SO_SNDBUF")),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, ("SOL_SOCKET", "SO_RCVBUF")),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, ("IPPROTO_TCP", "TCP_NODELAY")),
        (socket.IPPROTO_TCP, socket.TCP_SYNCNT, ("IPPROTO_TCP", "TCP_SYNCNT")),
        (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, ("IPPROTO_TCP", "TCP_FASTOPEN")),
        (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, ("IPPROTO_TCP", "TCP_DEFER_ACCEPT")),
        (socket.IPPROTO_TCP, constants.TCP_REPAIR, ("IPPROTO_TCP", "TCP_REPAIR")),
        (socket.IPPROTO_IP, socket.IP_TTL, ("IPPROTO_IP", "IP_TTL")),
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ("IPPROTO_IPV6", "IPV6_V6ONLY")),
        (999, 3, ("999", "3")),
        (socket.IPPROTO_TCP, 999, ("IPPROTO_TCP", "999")),
    ],
)
def test_option_names(level, option, names):
    assert constants.option_names(level, option) == names


@pytest.mark.parametrize(
    ("level", "option", "value", "shown"),
    [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0), (1, 0)),
        (socket.SOL_SOCKET, 20, struct.pack("ll", 2, 500), (2, 500)),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, struct.pack("i", 1), 1),
        (socket.IPPROTO_TCP, socket.TCP_INFO, b"\x01\x02\x03", "0x010203"),
        (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo", "0x6c6f"),
    ],
)
def test_option_value(level, option, value, shown):
    assert constants.option_value(level, option, value) == shown


def test_how_name():
    names = [constants.how_name(how) for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR)]
    assert names == ["SHUT_RD", "SHUT_WR", "SHUT_RDWR"]
    assert constants.how_name(9) == "9"


def test_poll_names():
    assert constants.poll_names(select.POLLIN) == "POLLIN"
    assert constants.poll_names(select.POLLOUT | select.POLLHUP) == "POLLOUT|POLLHUP"
    assert constants.poll_names(0) == "0"
