"""Runs in private networks, whose counters rose by exactly what the run did."""

from __future__ import annotations

from pathlib import Path

import pytest

from observatory import load
from observatory.errors import PermissionRefused
from observatory.model import Trace
from observatory.pipeline import observe
from observatory.tracing import Request, trace

pytestmark = pytest.mark.usefixtures("live")


def counted(trace: Trace) -> dict[str, int]:
    assert all(counter.exact and not counter.host for counter in trace.counters)
    return {counter.name: counter.change for counter in trace.counters}


def test_what_the_wire_shows_is_what_was_counted(tmp_path: Path) -> None:
    observed = observe("close-unread-data", path=tmp_path / "run.pcapng")
    found = counted(observed.analysis.trace)
    segments = observed.analysis.trace.segments

    assert found["Tcp.InSegs"] == len(segments)
    assert found["Tcp.OutRsts"] == sum("R" in segment.flags for segment in segments)
    assert found["TcpExt.TCPAbortOnClose"] == 1
    assert observed.path is not None
    assert load(observed.path).counters == observed.analysis.trace.counters


def test_a_syn_dropped_for_want_of_room_leaves_no_other_trace() -> None:
    analysis = observe("connect-in-progress").analysis

    assert counted(analysis.trace)["TcpExt.ListenOverflows"] == 1


def test_a_traced_command_in_a_private_network_is_counted_alone() -> None:
    script = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    traced = trace(Request(command=("python3", "-c", script), private=True))
    found = counted(traced.analysis.trace)

    assert found["Tcp.ActiveOpens"] == found["Tcp.AttemptFails"] == found["Tcp.OutRsts"] == 1


def test_on_a_network_with_others_nothing_is_exact() -> None:
    script = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    try:
        traced = trace(Request(command=("python3", "-c", script), interfaces=("lo",)))
    except PermissionRefused as refused:
        pytest.skip(str(refused))
    counters = {counter.name: counter for counter in traced.analysis.trace.counters}

    assert counters["Tcp.AttemptFails"].change >= 1
    assert not any(counter.exact for counter in counters.values())
