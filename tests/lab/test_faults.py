"""Faults as values: what they say of themselves, and that they can be told to another process."""

import json

import pytest

from observatory.lab.faults import (
    KINDS,
    MILLISECOND,
    CutLink,
    DeadRoute,
    DeafNeighbour,
    Delay,
    Drop,
    Duplicate,
    Hook,
    Lose,
    Reject,
    Rejection,
    Relayed,
    Reorder,
    RouteType,
    Share,
    SmallerMtu,
    from_record,
    to_record,
)
from observatory.lab.match import DATA, EVERYTHING, FIN, PURE_ACK, SYN, Match
from observatory.model import Protocol

LINK = ("client", "server")
SENTENCES = {
    "router drops every packet": Drop(),
    "router drops every SYN to server": Drop(SYN.towards("server")),
    "router drops the first FIN": Drop(FIN, first=1),
    "server drops every ACK without data": Drop(PURE_ACK, at="server"),
    "router drops the first 3 segments with data": Drop(DATA, first=3),
    "router drops every 2nd datagram": Drop(Match(Protocol.UDP), every=2),
    "router drops every 13th datagram": Drop(Match(Protocol.UDP), every=13),
    "router rejects every SYN with ICMP admin prohibited": Reject(SYN, Rejection.ADMIN_PROHIBITED),
    "router rejects every packet with ICMP host unreachable": Reject(),
    "client rejects the first SYN with RST": Reject(
        SYN, Rejection.RST, first=1, at="client", hook=Hook.OUTPUT
    ),
    "the link between router and server is cut": CutLink(),
    "server answers no neighbour's question for its address": DeafNeighbour(),
    "router has a route of type blackhole to server": DeadRoute(RouteType.BLACKHOLE),
    "client has a route of type unreachable to 203.0.113.0/24": DeadRoute(
        destination="203.0.113.0/24", at="client"
    ),
    "router has a path MTU of 1000 bytes to server": SmallerMtu(1000),
    "the link between client and server delays every packet by 2.5 ms": Delay(LINK, 2_500_000),
    "the link from server to client delays the first SYN by 20 ms": Delay(
        LINK, 20 * MILLISECOND, towards="client", match=SYN, first=1
    ),
    "the link between client and server delivers every packet twice": Duplicate(LINK),
    "the link from client to server delivers the first segment with data after the next one": (
        Reorder(LINK, towards="server", match=DATA, first=1)
    ),
    "the link between client and server delivers the first 2 FINs after the next 3": Reorder(
        LINK, behind=3, match=FIN, first=2
    ),
    "the link between client and server loses every packet": Lose(LINK),
    "the link between client and server is carried by a relay": Relayed(LINK),
}


@pytest.mark.parametrize(("sentence", "fault"), SENTENCES.items(), ids=list(SENTENCES))
def test_a_fault_says_what_it_is(sentence, fault):
    assert fault.sentence == sentence


@pytest.mark.parametrize("fault", SENTENCES.values(), ids=list(SENTENCES))
def test_a_fault_can_be_told_as_json(fault):
    told = json.loads(json.dumps(to_record(fault)))

    assert from_record(told) == fault
    assert hash(from_record(told)) == hash(fault)


def test_every_kind_is_told():
    assert {type(fault) for fault in SENTENCES.values()} == set(KINDS.values())


@pytest.mark.parametrize("wrong", [{"first": -1}, {"every": -2}, {"first": 1, "every": 2}])
@pytest.mark.parametrize("kind", [Share, Drop, Reject, Delay, Lose])
def test_a_share_that_makes_no_sense_is_refused(kind, wrong):
    with pytest.raises(ValueError, match="first n packets"):
        kind(match=EVERYTHING, **wrong)
