"""Random conversations of many processes: each segment goes back to the send whose bytes it has.

The truth is in the marks that tests/random_traces.py puts on every byte; analyze() has only the
sequence numbers, the descriptors and the times.
"""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observatory.analysis import analyze
from observatory.model import CauseKind, Confidence, Trace
from tests.random_endings import END
from tests.random_traces import Plan, perform

ISNS = st.one_of(
    st.integers(0, 2**32 - 1), st.integers(2**32 - 6000, 2**32 - 1), st.sampled_from([0, 1])
)
SIZES = st.lists(
    st.one_of(st.integers(1, 20), st.sampled_from([1448, 1449, 4000])), max_size=6
).map(tuple)
PLANS = st.builds(
    Plan,
    client=st.sampled_from([100, 100, 101]),
    client_isn=ISNS,
    server_isn=ISNS,
    client_sends=SIZES,
    server_sends=SIZES,
    forks=st.booleans(),
    exits=st.booleans(),
    duplicates=st.booleans(),
    client_closes_first=st.booleans(),
    unruly=st.booleans(),
    reuses_port_of=st.none() | st.integers(0, 2),
    ending=st.sampled_from([*END]),
)
CAST = st.lists(PLANS, min_size=1, max_size=5)
SEEDS = st.integers(0, 2**32)
# Always the same ones in a plain run; CONVERSATIONS=1000 looks for new ones.
SOME = settings(
    max_examples=int(os.environ.get("CONVERSATIONS", "60")),
    derandomize="CONVERSATIONS" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def told(trace: Trace) -> str:
    """The trace as text, for the reader of a failure."""
    lines = [
        (c.entered_ns, f"c{c.id} pid {c.pid} {c.name}({c.fd}, {c.args}) = {c.result} {c.errno}")
        for c in trace.calls
    ]
    lines += [
        (s.time_ns, f"    #{s.id} {s.src} > {s.dst} {s.flags} {s.seq}({s.length}) ack {s.ack}")
        for s in trace.segments
    ]
    return "\n".join(line for _, line in sorted(lines))


@SOME
@given(CAST, SEEDS)
def test_every_segment_goes_back_to_the_calls_whose_bytes_it_shows(
    plans: list[Plan], seed: int
) -> None:
    trace, truth = perform(plans, seed)
    analysis = analyze(trace)
    for segment in analysis.segments:
        number = segment.segment.id
        owners = truth.owners.get(number)
        assert segment.cause.kind is not CauseKind.UNKNOWN, (segment, told(trace))
        if owners is None:
            continue
        assert segment.cause.call in owners, (segment, owners, told(trace))
        repeated = number in truth.repeats
        assert segment.retransmission == repeated, (segment, told(trace))
        for owner in owners:
            found = analysis.calls[owner - 1]
            ids = found.retransmitted if repeated else found.sent
            assert number in ids, (segment, owners, found, told(trace))


@SOME
@given(CAST, SEEDS)
def test_no_call_is_said_to_send_what_is_not_its_own(plans: list[Plan], seed: int) -> None:
    trace, truth = perform(plans, seed)
    for call in analyze(trace).calls:
        for number in call.sent + call.retransmitted:
            assert call.call.id in truth.owners.get(number, []), (call, number, told(trace))


@SOME
@given(CAST, SEEDS)
def test_every_recv_is_completed_by_the_segments_of_its_bytes(plans: list[Plan], seed: int) -> None:
    trace, truth = perform(plans, seed)
    analysis = analyze(trace)
    for number, segments in truth.completed_by.items():
        call = analysis.calls[number - 1]
        assert set(call.completed_by) == segments, (call, segments, told(trace))


@SOME
@given(CAST, SEEDS)
def test_every_incarnation_is_a_connection_of_its_own(plans: list[Plan], seed: int) -> None:
    trace, truth = perform(plans, seed)
    analysis = analyze(trace)
    found: dict[int, set[int | None]] = {}
    for number, connection in truth.connections.items():
        found.setdefault(connection, set()).add(analysis.segments[number - 1].connection)
    assert all(len(ids) == 1 and None not in ids for ids in found.values()), told(trace)
    ids = [next(iter(each)) for each in found.values()]
    assert len(set(ids)) == len(ids) == len(analysis.connections)


@SOME
@given(CAST, SEEDS)
def test_a_quiet_trace_is_explained_for_certain(plans: list[Plan], seed: int) -> None:
    trace, _ = perform([replace(plan, unruly=False) for plan in plans], seed)
    analysis = analyze(trace)
    unsure = [c for c in analysis.calls if c.explanation.confidence is Confidence.UNEXPLAINED]
    assert not unsure, (unsure, told(trace))


def without_packets(trace: Trace, random: Random) -> tuple[Trace, dict[int, int]]:
    """The trace as a capture that lost packets would have it, and new ids to old ones."""
    kept = [s for s in trace.segments if random.random() > 0.15]
    lost = len(trace.segments) - len(kept)
    renumbered = tuple(replace(s, id=n) for n, s in enumerate(kept, 1))
    interfaces = (replace(trace.interfaces[0], captured=len(kept), dropped=lost),)
    defects = (f"{lost} packets were dropped",) if lost else ()
    damaged = replace(trace, segments=renumbered, interfaces=interfaces, defects=defects)
    return damaged, {n: s.id for n, s in enumerate(kept, 1)}


def without_calls(trace: Trace, random: Random) -> tuple[Trace, dict[int, int]]:
    """The trace with some calls unrecorded, and new ids to old ones."""
    kept = [c for c in trace.calls if random.random() > 0.15 or c.name in ("fork", "socket")]
    damaged = replace(trace, calls=tuple(replace(c, id=n) for n, c in enumerate(kept, 1)))
    return damaged, {n: c.id for n, c in enumerate(kept, 1)}


@SOME
@given(CAST, SEEDS)
def test_nothing_wrong_is_certain_when_packets_are_missing(plans: list[Plan], seed: int) -> None:
    trace, truth = perform(plans, seed)
    damaged, was = without_packets(trace, Random(seed))
    for segment in analyze(damaged).segments:
        owners = truth.owners.get(was[segment.segment.id])
        if owners and segment.cause.confidence is Confidence.CERTAIN:
            assert segment.cause.call in owners, (segment, owners, told(damaged))


@SOME
@given(CAST, SEEDS)
def test_nothing_wrong_is_certain_when_calls_are_missing(plans: list[Plan], seed: int) -> None:
    trace, truth = perform(plans, seed)
    damaged, was = without_calls(trace, Random(seed))
    for segment in analyze(damaged).segments:
        owners = truth.owners.get(segment.segment.id)
        call = was.get(segment.cause.call or 0)
        if owners and call and segment.cause.confidence is Confidence.CERTAIN:
            assert call in owners, (segment, owners, told(damaged))


@SOME
@given(CAST, SEEDS, st.sampled_from([100, 200]))
def test_one_side_alone_is_enough_for_its_own_segments(
    plans: list[Plan], seed: int, watched: int
) -> None:
    trace, truth = perform([replace(plan, forks=False) for plan in plans], seed)
    kept = [c for c in trace.calls if (c.pid < 200) == (watched < 200)]
    was = {n: c.id for n, c in enumerate(kept, 1)}
    alone = replace(trace, calls=tuple(replace(c, id=n) for n, c in enumerate(kept, 1)))
    mine = {c.id for c in kept}
    for segment in analyze(alone).segments:
        owners = truth.owners.get(segment.segment.id)
        if owners and mine.intersection(owners):
            assert was.get(segment.cause.call or 0) in owners, (segment, told(alone))
        else:
            assert segment.cause.call is None or segment.cause.kind is not CauseKind.CALL


@SOME
@given(CAST, SEEDS)
def test_the_wire_alone_names_no_call(plans: list[Plan], seed: int) -> None:
    trace, _ = perform(plans, seed)
    analysis = analyze(replace(trace, calls=(), processes=()))
    assert all(s.cause.call is None for s in analysis.segments)
    assert all(s.connection is not None for s in analysis.segments)


@pytest.mark.parametrize("connections", [1, 30])
def test_performing_is_repeatable(connections: int) -> None:
    plans = [Plan(client_isn=n * 7919) for n in range(connections)]
    assert perform(plans, 5)[0] == perform(plans, 5)[0]
