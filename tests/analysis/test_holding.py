"""Windows as bytes: scaled where both SYNs offer it, unknown where no SYN was seen."""

import pytest

from observatory.analysis.holding import scaled_window
from observatory.analysis.wire import follow
from tests.plays import read_play

OPENING = """
client:5000 > server:80 S 1000 win 65535 <mss 1460, wscale {client}>
server:80 > client:5000 S. 5000 ack 1 win 4096 <mss 1460, wscale {server}>
client:5000 > server:80 . ack 1 win 10
server:80 > client:5000 . ack 1 win 20
"""


def windows(text: str) -> list[int | None]:
    """The window that each segment of a play advertises, in bytes."""
    found = follow(read_play(text).trace.segments).conversations[0].sightings
    return [scaled_window(s.half, s.other, s.segment) for s in found]


def test_each_end_scales_its_own_window() -> None:
    assert windows(OPENING.format(client=7, server=2)) == [65535, 4096, 1280, 80]


@pytest.mark.parametrize("silent", [", wscale 7", ", wscale 2"])
def test_scaling_needs_both_ends(silent: str) -> None:
    text = OPENING.format(client=7, server=2).replace(silent, "")
    assert windows(text) == [65535, 4096, 10, 20]


def test_without_a_syn_the_scale_is_not_known() -> None:
    assert windows("client:5000 > server:80 . 1 ack 1 win 10") == [None]
