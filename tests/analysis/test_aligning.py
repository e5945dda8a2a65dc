"""Two runs aligned: what is the same though ports, pids and times differ, and what is not."""

from pathlib import Path

import pytest

from observatory.analysis.aligning import align
from observatory.model.comparison import Change
from observatory.pipeline import analyze, load
from tests.plays import read_play

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"


def compared(before, after):
    return align(analyze(read_play(before).trace), analyze(read_play(after).trace))


def changes(pairs):
    return [pair.change.value for pair in pairs]


@pytest.mark.parametrize("file", sorted(CATALOGUE.glob("*.pcapng")), ids=lambda file: file.stem)
def test_a_run_is_the_same_as_itself(file):
    analysis = analyze(load(file))
    comparison = align(analysis, analysis)
    assert comparison.same
    assert len(comparison.calls) == len(analysis.calls)
    assert len(comparison.segments) == len(analysis.segments)
    assert all(pair.before is pair.after for pair in comparison.calls)


REFUSED = """
client   socket(AF_INET, SOCK_STREAM, 0) = 3
client c connect(3, server:{server}) ...
#1 client:{port} > server:{server} S 1000
#2 server:{server} > client:{port} R. 0 ack 1
client c ... = -1 ECONNREFUSED <0.0.0.0:{port} ->
client   close(3) = 0
"""


def test_ephemeral_ports_and_times_are_no_difference():
    first, second = (
        REFUSED.format(port=40000, server=50000),
        REFUSED.format(port=51000, server=60000),
    )
    assert compared(first, second).same


def test_another_well_known_port_is_one():
    first, second = REFUSED.format(port=40000, server=80), REFUSED.format(port=40000, server=81)
    assert changes(compared(first, second).calls) == ["same", "other", "same"]


def test_what_is_new_and_what_is_gone():
    shorter = REFUSED.format(port=40000, server=80)
    longer = shorter.replace(
        "client   close(3) = 0", "client   getsockname(3) = 0\nclient   close(3) = 0"
    )
    assert changes(compared(shorter, longer).calls) == ["same", "same", "new", "same"]
    assert changes(compared(longer, shorter).calls) == ["same", "same", "gone", "same"]


SENT = """
server listens
connected
client   send(3, {length}, 0) = {length}
#4 client:5000 > server:80 P. 1:{end}({length}) ack 1
{ack}
"""


def test_other_lengths_and_merged_acks():
    with_ack = SENT.format(length=5, end=6, ack="#5 server:80 > client:5000 . ack 6")
    comparison = compared(with_ack, SENT.format(length=5, end=6, ack=""))
    assert changes(comparison.segments)[-1] == Change.SHIFTED
    assert comparison.same
    longer = compared(with_ack, SENT.format(length=7, end=8, ack=""))
    assert not longer.same
    other = next(pair for pair in longer.segments if pair.change is Change.OTHER)
    assert [(one.what, one.before, one.after) for one in other.differences] == [
        ("length", "5", "7")
    ]
