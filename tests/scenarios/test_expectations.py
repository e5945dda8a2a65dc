"""How a behaviour writes down what it must show, and how a run is held against it."""

from dataclasses import replace

import pytest

from observatory.analysis import analyze
from observatory.model import CauseKind
from observatory.scenarios.catalogue import Behaviour, catalogue
from observatory.scenarios.expectations import Expectations, answered, sent, timed
from tests.plays import read_play
from tests.scenarios.fulfilment import unfulfilled

SEGMENTS = {"SYN", "SYN-ACK", "data", "FIN", "RST", "ACK", "UDP", "ICMP", "any"}

REFUSED = """
client socket(AF_INET, SOCK_STREAM, 0) = 3
client c connect(3, server:80) ...
#1 client:5000 > server:80 S 1000
#2 server:80 > client:5000 R. 0 ack 1
client c ... = -1 ECONNREFUSED <0.0.0.0:5000 ->

expect:
all attributed
"""
MET = Expectations(
    calls={"client": "socket ok, connect ECONNREFUSED"},
    causes=(sent("SYN", "connect", "client"), answered("RST")),
    absent=("FIN", "data"),
)


def test_outcomes_are_read_in_order() -> None:
    assert MET.outcomes("client") == (("socket", "ok"), ("connect", "ECONNREFUSED"))


def test_what_is_as_expected_leaves_nothing_to_say() -> None:
    assert unfulfilled(MET, analyze(read_play(REFUSED).trace)) == []


def test_each_difference_is_told() -> None:
    unmet = replace(
        MET,
        calls={"client": "connect ok"},
        causes=(sent("SYN", "send", "client"), timed("RST")),
        absent=("RST",),
    )
    told = unfulfilled(unmet, analyze(read_play(REFUSED).trace))
    assert len(told) == 4
    assert "no connect ok in its place" in told[0]
    assert "RST was not to be on the wire: #2" in told[3]


def test_what_is_not_explained_is_told() -> None:
    play = read_play("client socket(AF_INET, SOCK_STREAM, 0) = -1 EXDEV\nexpect:\nall explained\n")
    (told,) = unfulfilled(Expectations(), analyze(play.trace))
    assert "socket is not explained" in told


@pytest.mark.parametrize("behaviour", catalogue().values(), ids=lambda behaviour: behaviour.name)
def test_a_promise_names_segments_and_causes_that_there_are(behaviour: Behaviour) -> None:
    expects = behaviour.expects
    assert {fact.segment for fact in expects.causes} | set(expects.absent) <= SEGMENTS
    assert {fact.kind for fact in expects.causes} <= {kind.value for kind in CauseKind}
    for role in expects.calls:
        assert expects.outcomes(role)
