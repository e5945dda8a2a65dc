"""Counters as the kernel prints them."""

import pytest

from observatory.codec.counters import changes, parse
from observatory.model import Counter

NETSTAT = """\
TcpExt: ListenOverflows ListenDrops
TcpExt: 4 5
IpExt: InOctets
IpExt: 18446744073709551615
"""
SNMP = """\
Ip: Forwarding DefaultTTL InReceives
Ip: 2 64 9
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens CurrEstab
Tcp: 1 200 120000 -1 7 0
"""
SNMP6 = """\
Ip6InReceives                   \t238
Icmp6OutType133                 \t2
UdpLite6NoPorts                 \t0
"""
SOCKSTAT = """\
sockets: used 17
TCP: inuse 1 orphan 3 tw 2 alloc 9 mem 4
UDP: inuse 0 mem 0
"""


def test_pairs_of_lines_are_names_and_numbers():
    assert parse("netstat", NETSTAT) == {
        "TcpExt.ListenOverflows": 4,
        "TcpExt.ListenDrops": 5,
        "IpExt.InOctets": 2**64 - 1,
    }


def test_what_the_kernel_is_set_to_is_no_counter():
    assert parse("snmp", SNMP) == {"Ip.InReceives": 9, "Tcp.ActiveOpens": 7, "Tcp.CurrEstab": 0}


def test_ipv6_has_a_line_for_each():
    assert parse("snmp6", SNMP6) == {
        "Ip6.InReceives": 238,
        "Icmp6.OutType133": 2,
        "UdpLite6.NoPorts": 0,
    }


def test_of_the_sockets_only_the_networks_own_are_told():
    assert parse("sockstat", SOCKSTAT) == {
        "sockstat.TCP.inuse": 1,
        "sockstat.TCP.tw": 2,
        "sockstat.UDP.inuse": 0,
    }


def test_lines_of_another_form_are_stepped_over():
    assert parse("netstat", "Tcp: A B\nUdp: 1 2\n\n\nTcp: A\n") == {}
    assert parse("snmp6", "nothing\n\nIp6InReceives\n") == {}
    with pytest.raises(KeyError):
        parse("tcp", "")


def test_of_two_readings_the_difference_is_kept():
    before = {"Tcp.OutRsts": 3, "Tcp.InSegs": 5, "sockstat.TCP.tw": 4}
    after = {"Tcp.OutRsts": 4, "Tcp.InSegs": 5, "sockstat.TCP.tw": 2, "IcmpMsg.OutType3": 1}

    assert changes(before, after, host="router", exact=False) == (
        Counter("Tcp.OutRsts", 3, 4, "router", exact=False),
        Counter("sockstat.TCP.tw", 4, 2, "router", exact=False),
        Counter("IcmpMsg.OutType3", 0, 1, "router", exact=False),
    )
    assert changes(before, before) == ()
