"""Which packets a fault concerns, and how a sentence names them."""

import pytest

from observatory.lab.match import DATA, EVERYTHING, FIN, PURE_ACK, RST, SYN, SYN_ACK, Match
from observatory.model import Endpoint, Protocol, Segment

ADDRESSES = {"client": ("192.0.2.1", "2001:db8::1"), "server": ("192.0.2.2",)}


def addresses(host):
    return ADDRESSES.get(host, (host,))


def segment(flags="A", length=0, protocol=Protocol.TCP, src="192.0.2.1", dst="192.0.2.2", port=80):
    return Segment(
        1, 0, 0, protocol, Endpoint(src, 40000), Endpoint(dst, port), length, flags=flags
    )


PACKETS = {
    "SYN": segment("S"),
    "SYN-ACK": segment("SA"),
    "ACK": segment("A"),
    "data": segment("PA", 10),
    "FIN": segment("FA"),
    "FIN with data": segment("FPA", 3),
    "RST": segment("R"),
    "RST-ACK": segment("RA"),
    "SYN with data": segment("S", 5),
    "UDP": segment("", 5, Protocol.UDP),
    "empty UDP": segment("", 0, Protocol.UDP),
    "ICMP": segment("", 20, Protocol.ICMP, port=0),
}


@pytest.mark.parametrize(
    ("match", "accepted"),
    [
        (EVERYTHING, set(PACKETS)),
        (SYN, {"SYN", "SYN with data"}),
        (SYN_ACK, {"SYN-ACK"}),
        (PURE_ACK, {"ACK"}),
        (DATA, {"data", "FIN with data", "SYN with data"}),
        (FIN, {"FIN", "FIN with data"}),
        (RST, {"RST", "RST-ACK"}),
        (Match(Protocol.UDP), {"UDP", "empty UDP"}),
        (Match(Protocol.UDP, payload=False), {"empty UDP"}),
        (Match(payload=True), {"data", "FIN with data", "SYN with data", "UDP"}),
        (Match(Protocol.ICMP), {"ICMP"}),
        (Match(Protocol.TCP, flags="FP"), {"FIN with data"}),
        (Match(port=80), set(PACKETS) - {"ICMP"}),
        (Match(port=40000), set(PACKETS)),
        (Match(port=81), set()),
        (SYN.towards("server"), {"SYN", "SYN with data"}),
        (SYN.towards("192.0.2.2"), {"SYN", "SYN with data"}),
        (SYN.towards("client"), set()),
        (SYN.sent_by("client").on_port(80), {"SYN", "SYN with data"}),
    ],
)
def test_it_accepts_these_and_no_others(match, accepted):
    assert {name for name, one in PACKETS.items() if match.accepts(one, addresses)} == accepted


def test_a_host_has_all_its_addresses():
    assert SYN.sent_by("client").accepts(segment("S", src="2001:db8::1"), addresses)


@pytest.mark.parametrize(
    ("match", "one", "several"),
    [
        (EVERYTHING, "packet", "packets"),
        (SYN, "SYN", "SYNs"),
        (DATA, "segment with data", "segments with data"),
        (PURE_ACK, "ACK without data", "ACKs without data"),
        (
            SYN_ACK.sent_by("server").towards("client"),
            "SYN-ACK from server to client",
            "SYN-ACKs from server to client",
        ),
        (Match(Protocol.UDP, port=53), "datagram on port 53", "datagrams on port 53"),
        (Match(payload=False), "packet without data", "packets without data"),
        (
            Match(Protocol.TCP, flags="F", without="P"),
            "segment with F set with P clear",
            "segments with F set with P clear",
        ),
        (Match(Protocol.ICMP), "ICMP message", "ICMP messages"),
    ],
)
def test_a_sentence_names_them(match, one, several):
    assert match.phrase(plural=False) == one
    assert match.phrase(plural=True) == several


@pytest.mark.parametrize(
    "wrong",
    [
        {"flags": "S"},
        {"protocol": Protocol.UDP, "without": "S"},
        {"protocol": Protocol.ICMP, "port": 80},
        {"protocol": Protocol.ICMPV6, "payload": True},
        {"protocol": Protocol.TCP, "flags": "X"},
    ],
)
def test_what_no_packet_can_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"TCP|flag"):
        Match(**wrong)
