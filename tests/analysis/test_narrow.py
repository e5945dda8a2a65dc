"""A part of a sample run."""

from pathlib import Path

import pytest

from observatory import analyze, load
from observatory.analysis.narrow import Wanted, narrow
from observatory.codec.document import encode
from observatory.model import Analysis, Endpoint
from observatory.reports.markdown import render as markdown
from observatory.reports.text import render

SAMPLE = Path(__file__).parents[2] / "captures" / "catalogue" / "fork-concurrent-server.pcapng"


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyze(load(SAMPLE))


def test_a_port_keeps_its_connection_alone(analysis: Analysis) -> None:
    port = analysis.connections[0].client.port
    part = narrow(analysis, str(port))
    assert [one.id for one in part.connections] == [1]
    assert 0 < len(part.calls) < len(analysis.calls)
    assert part.coverage.segments == len(part.segments) < len(analysis.segments)
    assert f"only {port}" in part.notes[-1]


def test_a_process_keeps_its_calls(analysis: Analysis) -> None:
    pid = analysis.calls[0].call.pid
    part = narrow(analysis, str(pid))
    assert {call.call.id for call in analysis.calls if call.call.pid == pid} <= {
        call.call.id for call in part.calls
    }


def test_nothing_may_be_left_and_still_be_shown(analysis: Analysis) -> None:
    part = narrow(analysis, "203.0.113.9")
    assert part.connections == part.segments == ()
    assert render(part)
    assert markdown(part)
    assert encode(part)


def test_every_report_shows_a_part(analysis: Analysis) -> None:
    part = narrow(analysis, str(analysis.connections[0].client))
    assert render(part)
    assert markdown(part)
    assert encode(part)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", Wanted(80, None, None)),
        ("127.0.0.1", Wanted(None, "127.0.0.1", None)),
        ("::1", Wanted(None, "::1", None)),
        ("[::1]", Wanted(None, "::1", None)),
        ("127.0.0.1:80", Wanted(None, None, Endpoint("127.0.0.1", 80))),
        ("[::1]:80", Wanted(None, None, Endpoint("::1", 80))),
    ],
)
def test_what_is_wanted(text: str, wanted: Wanted) -> None:
    assert Wanted.of(text) == wanted
