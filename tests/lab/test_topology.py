from socket import AF_INET, AF_INET6

import pytest

from observatory.errors import UsageError
from observatory.lab.topology import LOOPBACK, PAIR, READY_MADE, ROUTED, Host, Plan, cable

CHAIN = Plan(
    "chain",
    hosts=(
        Host("client", gateway="near"),
        Host("near", router=True, gateway="far"),
        Host("far", router=True, gateway="near"),
        Host("server", gateway="far"),
    ),
    cables=(
        cable("client:eth0 192.0.2.1/24", "near:eth0 192.0.2.254/24"),
        cable("near:eth1 203.0.113.1/30", "far:eth0 203.0.113.2/30", mtu=1400),
        cable("far:eth1 198.51.100.254/24", "server:eth0 198.51.100.1/24"),
    ),
)


@pytest.mark.parametrize("plan", [PAIR, ROUTED], ids=lambda plan: plan.name)
@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_every_end_of_a_ready_made_lab_has_both_kinds_of_address(plan, family):
    assert all(end.address(family) for one in plan.cables for end in one.ends)


def test_ready_made_labs_are_found_by_their_names():
    assert list(READY_MADE) == ["loopback", "pair", "routed"]
    assert LOOPBACK.is_loopback
    assert not PAIR.is_loopback


@pytest.mark.parametrize(
    ("host", "towards", "interface", "neighbour"),
    [
        ("client", "server", "eth0", "near"),
        ("near", "server", "eth1", "far"),
        ("near", "client", "eth0", "client"),
        ("far", "client", "eth0", "near"),
        ("server", "near", "eth0", "far"),
    ],
)
def test_the_way_leads_over_the_fewest_hops(host, towards, interface, neighbour):
    assert CHAIN.interface(host, towards) == interface
    assert CHAIN.neighbour(host, towards) == neighbour


def test_a_router_has_an_address_towards_each_side():
    assert ROUTED.address("router", towards="client") == "192.0.2.254"
    assert ROUTED.address("router", towards="server") == "198.51.100.254"
    assert ROUTED.address("router", AF_INET6, "server") == "2001:db8:2::fe"
    assert ROUTED.address("router") == "192.0.2.254"


def test_on_loopback_everybody_has_its_addresses():
    assert LOOPBACK.address("host") == "127.0.0.1"
    assert LOOPBACK.address("host", AF_INET6) == "::1"
    assert LOOPBACK.interface("host") == "lo"


def test_what_is_not_there_is_told():
    with pytest.raises(UsageError, match="no host 'nowhere', only client, server"):
        PAIR.host("nowhere")
    with pytest.raises(UsageError, match="no IPv6 address"):
        CHAIN.address("client", AF_INET6)
    apart = Plan("apart", (Host("one"), Host("other"), Host("third")), (cable("one:a", "other:a"),))
    with pytest.raises(UsageError, match="no way from one to third"):
        apart.interface("one", "third")


@pytest.mark.parametrize(
    ("hosts", "cables", "mistake"),
    [
        ((Host("a"), Host("a")), (), "one name"),
        ((Host("a"),), (cable("a:eth0", "b:eth0"),), "no host"),
        (
            (Host("a"), Host("b")),
            (cable("a:eth0", "b:eth0"), cable("a:eth0", "b:eth1")),
            "one interface",
        ),
        ((Host("a"), Host("b")), (cable("a:eth0 10.0.0.1/8", "b:eth0"),), "documentation"),
        ((Host("a"), Host("b")), (cable("a:lo", "b:eth0"),), "no name for an interface"),
        ((Host("a"), Host("b")), (cable("a:" + "e" * 16, "b:eth0"),), "no name for an interface"),
        ((Host("a", gateway="c"), Host("b")), (cable("a:eth0", "b:eth0"),), "not its neighbour"),
    ],
)
def test_a_plan_that_contradicts_itself_is_none(hosts, cables, mistake):
    with pytest.raises(ValueError, match=mistake):
        Plan("mistaken", hosts, cables)


def test_the_trace_is_told_all_of_it():
    topology = ROUTED.topology(("the router burns",), {"router:eth1": "netem"})

    assert [node.name for node in topology.nodes if node.router] == ["router"]
    assert ("eth1", "198.51.100.254/24") in topology.nodes[1].addresses
    assert [link.ends for link in topology.links] == [
        (("client", "eth0"), ("router", "eth0")),
        (("router", "eth1"), ("server", "eth0")),
    ]
    assert [link.relay for link in topology.links] == ["", "netem"]
    assert topology.faults == ("the router burns",)


def test_the_directory_says_who_has_which_address():
    book = ROUTED.directory({"second": "client"})

    assert book["hosts"] == {"second": "client"}
    assert book["addresses"]["router"]["2"]["server"] == "198.51.100.254"
    assert book["addresses"]["client"]["10"][""] == "2001:db8:1::1"
    assert LOOPBACK.directory({})["addresses"][""]["2"] == {"": "127.0.0.1"}
