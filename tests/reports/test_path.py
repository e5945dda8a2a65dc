"""The section on what was done to the path."""

from observatory.model import Link, RunHeader, Topology, Trace
from observatory.reports.path import path, told
from observatory.reports.style import Look, cells

ENDS = (("router", "eth1"), ("server", "eth0"))


def trace(*faults, relay=""):
    return Trace(run=RunHeader(topology=Topology("routed", (), (Link(ENDS, relay),), faults)))


def test_faults_and_what_carries_the_packets_are_told():
    found = path(trace("router drops every SYN", relay="netem"), Look(100))

    assert found == [
        "Path",
        "  · between router:eth1 and server:eth0 packets are carried by netem",
        "  · router drops every SYN",
    ]


def test_of_a_path_as_it_was_built_there_is_nothing_to_say():
    assert path(trace(), Look(100)) == []
    assert path(Trace(), Look(100)) == []
    assert list(told(Trace())) == []


def test_a_narrow_page_is_kept():
    lines = path(trace("the link from server to client " * 5), Look(60))

    assert len(lines) > 2
    assert all(cells(line) <= 60 for line in lines)


def test_what_would_move_the_cursor_is_not_printed():
    assert "\x1b" not in "".join(path(trace("a \x1b[2J host drops every packet"), Look(100)))
