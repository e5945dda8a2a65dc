"""What came, what was lost and where: facts only where the captures could have seen it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.analysis import analyze
from observatory.analysis.arrivals import NEVER, Arrivals
from observatory.analysis.conversations import Spans
from observatory.model import Direction, Endpoint, Sighting, Trace
from tests.plays import read_play

LOST = """
lab routed
#1 client:5000 > server:80 S 1000 [lost at router]
#2 client:5000 > server:80 S 1000 [lost at client]
#3 client:5000 > server:80 S 1000 [comes +40ms]
#4 server:80 > client:5000 R. 0 ack 1 [made at router]
#5 client:5000 > server:80 S 1000 [copy]
"""


def trace() -> Trace:
    return read_play(LOST).trace


def dropping(trace: Trace, host: str) -> Trace:
    """The same, where the capture on a host lost a packet."""
    return replace(
        trace,
        interfaces=tuple(
            replace(each, dropped=1 if each.host == host else 0) for each in trace.interfaces
        ),
    )


def test_what_was_lost_is_known_with_the_interface_that_saw_it_last():
    seen = trace()
    found = [Arrivals(seen).of(segment) for segment in seen.segments]
    assert [(one.at_ns == NEVER, one.lost_after, one.made_at) for one in found] == [
        (True, "router:eth0", ""),
        (True, "client:eth0", ""),
        (False, "", ""),
        (False, "", "router"),
        (False, "", "server"),
    ]
    assert found[2].at_ns == seen.segments[2].time_ns + 40_000_000


def test_where_the_receivers_capture_lost_packets_nothing_is_said_to_be_lost():
    seen = dropping(trace(), "server")
    found = [Arrivals(seen).of(segment) for segment in seen.segments]
    assert [one.lost_after for one in found] == [""] * 5
    assert found[0].at_ns == seen.segments[0].sightings[-1].time_ns
    assert found[3].made_at == "", "the server may have sent it, and its capture missed it"
    assert found[4].made_at == "server", "the client's did not"


def test_without_sightings_a_segment_comes_when_it_was_seen():
    seen = trace()
    plain = replace(
        seen, segments=tuple(replace(segment, sightings=()) for segment in seen.segments)
    )
    arrivals = Arrivals(plain)
    assert not arrivals.are_known
    assert [arrivals.of(one).at_ns for one in plain.segments] == [
        one.time_ns for one in plain.segments
    ]


def test_captures_that_see_only_what_arrives_do_not_say_that_nothing_left():
    seen = trace()
    arriving = replace(
        seen,
        segments=tuple(
            replace(
                segment,
                sightings=tuple(
                    one for one in segment.sightings if one.direction is Direction.INBOUND
                ),
            )
            for segment in seen.segments
        ),
    )
    arrivals = Arrivals(arriving)
    assert [arrivals.of(one).made_at for one in arriving.segments if one.sightings] == [""] * 4


@pytest.mark.parametrize("address", ["ff02::1", "224.0.0.1", "fe80::1", "127.0.0.1"])
def test_an_address_of_several_or_of_nobody_in_particular_is_not_lost(address):
    seen = trace()
    segment = replace(
        seen.segments[0],
        dst=Endpoint(address, 80),
        sightings=(Sighting(0, seen.segments[0].time_ns, Direction.OUTBOUND),),
    )
    assert Arrivals(replace(seen, segments=(segment,))).of(segment).lost_after == ""


def test_to_an_address_that_no_host_has_nothing_comes():
    seen = trace()
    segment = replace(seen.segments[0], dst=Endpoint("203.0.113.9", 80))
    found = Arrivals(replace(seen, segments=(segment,))).of(segment)
    assert (found.at_ns, found.lost_after) == (NEVER, "router:eth0")


def test_the_document_and_the_analysis_say_where():
    analysis = analyze(trace())
    assert [one.lost_after for one in analysis.segments] == [
        "router:eth0",
        "client:eth0",
        "",
        "",
        "",
    ]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), max_size=12))
def test_each_byte_belongs_to_what_brought_it_first(stretches):
    spans, owners = Spans(), {}
    for number, (first, length) in enumerate(stretches):
        spans.enter(first, first + length, number)  # type: ignore[arg-type]
        for byte in range(first, first + length):
            owners.setdefault(byte, number)
    found = {
        byte: carrier
        for first, last, carrier in zip(spans.starts, spans.ends, spans.carriers, strict=True)
        for byte in range(first, last)
    }
    assert found == owners
    assert spans.starts == sorted(spans.starts)
    assert all(end <= start for end, start in zip(spans.ends, spans.starts[1:], strict=False))
