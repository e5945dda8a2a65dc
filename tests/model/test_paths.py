"""Where the interfaces of a lab stand on a packet's way."""

from __future__ import annotations

import pytest

from observatory.model import Direction, Link, Node, Topology
from observatory.model.paths import Paths

OUT, IN, UNKNOWN = Direction.OUTBOUND, Direction.INBOUND, Direction.UNKNOWN
CHAIN = Topology(
    "chain",
    (
        Node("a", False, (("eth0", "192.0.2.1/24"), ("eth0", "2001:db8::1/64"))),
        Node("r", True, (("eth0", "192.0.2.254/24"), ("eth1", "198.51.100.254/24"))),
        Node("b", False, (("eth0", "198.51.100.1/24"),)),
    ),
    (Link((("a", "eth0"), ("r", "eth0"))), Link((("r", "eth1"), ("b", "eth0")))),
)


def test_addresses_are_of_their_hosts():
    paths = Paths(CHAIN)
    assert [paths.host_of(each) for each in ("192.0.2.1", "2001:db8::1", "198.51.100.254")] == [
        "a",
        "a",
        "r",
    ]
    assert paths.host_of("203.0.113.1") is None


@pytest.mark.parametrize(
    ("origin", "places"),
    [
        ("a", {"a:eth0": 0, "r:eth0": 1, "r:eth1": 2, "b:eth0": 3}),
        ("b", {"b:eth0": 0, "r:eth1": 1, "r:eth0": 2, "a:eth0": 3}),
        ("r", {"r:eth0": 0, "r:eth1": 0, "a:eth0": 1, "b:eth0": 1}),
    ],
)
def test_leaving_is_even_and_arriving_odd(origin, places):
    paths = Paths(CHAIN)
    for interface, place in places.items():
        assert paths.place(interface, origin, UNKNOWN) == place
        right, wrong = (IN, OUT) if place % 2 else (OUT, IN)
        assert paths.place(interface, origin, right) == place
        assert paths.place(interface, origin, wrong) is None


def test_what_leads_nowhere_has_no_place():
    paths = Paths(CHAIN)
    assert not paths.is_linked("a:lo")
    assert paths.place("a:lo", "a", OUT) is None
    assert paths.place("r:eth0", "nobody", IN) is None


def test_distances_count_links():
    assert Paths(CHAIN).distances("a") == {"a": 0, "r": 1, "b": 2}
