"""The ladder of a lab: hosts over the lanes, routers among them, and where a packet was lost."""

from __future__ import annotations

import pytest

from observatory.analysis import analyze
from observatory.model import Analysis
from observatory.reports.drawing import draw
from observatory.reports.ladder import SegmentRow, ladder
from observatory.reports.lanes import lanes_of
from observatory.reports.style import Look
from observatory.reports.svg import render
from tests.plays import read_play

LOST = """
# Lost at the router, on a link, and on another; and a copy.
lab routed
server listens
client socket(AF_INET, SOCK_STREAM, 0) = 3
client connect connect(3, server:80) ...
#1 client:5000 > server:80 S 1000 [lost at router]
+1s #2 client:5000 > server:80 S 1000 [lost at client]
+1s #3 client:5000 > server:80 S 1000
#4 server:80 > client:5000 S. 5000 ack 1 [lost at server]
+1s #5 client:5000 > server:80 S 1000
#6 client:5000 > server:80 S 1000 [copy]
#7 server:80 > client:5000 S. 5000 ack 1 [comes +40ms]
+41ms client connect ... = 0 <client:5000 server:80>
server accept4(3, SOCK_CLOEXEC) ...
"""
UNREACHABLE = """
# The router answers.
lab routed
client socket(AF_INET, SOCK_STREAM, 0) = 3
client connect connect(3, 203.0.113.1:80) ...
#1 client:5000 > 203.0.113.1:80 S 1000 [lost at router]
#2 router > client icmp 3/0 quotes #1
client connect ... = -1 ENETUNREACH
"""
REJECTED = """
# A RST in the server's name, and two processes on its host.
lab routed
server socket(AF_INET, SOCK_STREAM, 0) = 3
server bind(3, server:80) = 0
server listen(3, 5) = 0
server fork() = server.1
server.1 close(3) = 0
client socket(AF_INET, SOCK_STREAM, 0) = 3
client connect connect(3, server:80) ...
#1 client:5000 > server:80 S 1000 [lost at router]
#2 server:80 > client:5000 R. 0 ack 1 [made at router]
client connect ... = -1 ECONNREFUSED <client:5000 ->
"""


def analysis(play: str) -> Analysis:
    return analyze(read_play(play).trace)


def drawn(play: str, width: int = 80, plain: bool = False) -> list[str]:
    return draw(ladder(analysis(play)), Look(width=width, ascii=plain))


def test_hosts_stand_over_the_lanes_in_the_order_of_the_path():
    lanes = lanes_of(analysis(LOST)).lanes
    assert [lane.host for lane in lanes] == ["client", "router", "server"]
    hosts, processes = drawn(LOST)[:2]
    assert hosts.split() == ["client", "router", "server"]
    assert processes.split() == ["µs", "client[100]", "server[200]"]


def test_a_line_stands_over_all_lanes_of_a_host():
    hosts, processes, *_ = drawn(REJECTED, width=100)
    assert hosts.split()[:2] == ["client", "router"]
    assert "─ server ─" in hosts
    assert processes.split()[1:] == ["client[100]", "server[200]", "server.1[201]"]


def row(play: str, number: int, **more: int) -> str:
    return next(line for line in drawn(play, **more) if f"#{number} " in line)


def test_an_arrow_ends_in_a_cross_where_its_packet_came_no_further():
    at_router, on_link = row(LOST, 1), row(LOST, 2)
    router = row(LOST, 3).index("┼")
    assert at_router[router - 1 : router + 1] == "✗│"
    assert on_link.index("✗") < router - 8
    assert on_link[router] == "│"
    assert row(LOST, 3).rstrip().endswith("▶│")
    assert "✗: came no further" in "\n".join(drawn(LOST))


def test_an_answer_that_was_lost_on_its_first_link_does_not_reach_the_router():
    line, router = row(LOST, 4), row(LOST, 3).index("┼")
    assert router < line.index("✗") < len(line) - 8
    assert line.rstrip().endswith("┤")


def test_a_copy_begins_on_the_path():
    line, router = row(LOST, 6), row(LOST, 3).index("┼")
    assert line.index("#6 S") > router
    assert line.rstrip().endswith("▶│")
    assert "path #5" in line


def test_what_was_under_way_for_long_says_how_long():
    assert "~40 ms" in row(LOST, 7, width=120)
    assert "~40 ms: under way so long" in "\n".join(drawn(LOST, width=120))


def test_a_routers_error_begins_at_the_router():
    lanes = lanes_of(analysis(UNREACHABLE))
    assert [lane.label for lane in lanes.lanes] == ["client[100]", "router"]
    assert lanes.ends == {1: (0, 1), 2: (1, 0)}


def test_a_reset_in_anothers_name_begins_where_it_was_made():
    lanes = lanes_of(analysis(REJECTED))
    assert lanes.ends == {1: (0, 1), 2: (1, 0)}


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("play", [LOST, UNREACHABLE, REJECTED])
def test_no_line_is_wider_than_the_terminal_and_ascii_is_ascii(play, width):
    for line in drawn(play, width):
        assert len(line) <= width
    for line in drawn(play, width, plain=True):
        assert line.isascii() and len(line) <= width


def test_the_picture_ends_its_arrows_there_too():
    picture = render(analysis(LOST))
    assert 'data-segment="2"' in picture
    rows = {
        one.segment.segment.id: one
        for one in ladder(analysis(LOST)).rows
        if isinstance(one, SegmentRow)
    }
    assert rows[2].to_half and rows[2].unanswered
    assert rows[6].from_half and not rows[6].unanswered
    assert not rows[3].unanswered  # it came: its answer was lost
