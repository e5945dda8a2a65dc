"""The section on what the kernel counted."""

from observatory.model import Counter, Trace
from observatory.reports.counters import counters
from observatory.reports.style import Look, cells


def section(*given, width=100):
    return counters(Trace(counters=given), Look(width))


def test_what_matters_is_told_with_its_meaning():
    lines = section(
        Counter("Tcp.InSegs", 0, 13),
        Counter("Tcp.OutRsts", 3, 4),
        Counter("TcpExt.ListenOverflows", 0, 4),
    )

    assert lines == [
        "Counters, all ends together",
        "  ListenOverflows +4  SYNs, or last ACKs of handshakes, that found an accept queue full",
        "  OutRsts +1          RSTs sent",
    ]


def test_where_nothing_matters_there_is_no_section():
    assert section() == section(Counter("Tcp.InSegs", 0, 13)) == []


def test_that_others_were_counted_is_said():
    title, *_ = section(Counter("Tcp.OutRsts", 3, 4, exact=False))
    assert title == "Counters of the kernel, others counted too"


def test_in_a_lab_each_host_has_its_own():
    lines = section(
        Counter("Tcp.OutRsts", 0, 1, "server"),
        Counter("TcpExt.TCPTimeouts", 0, 2, "client"),
        Counter("TcpExt.ListenDrops", 0, 2, "server"),
    )
    assert [line.split("  ")[1].strip() for line in lines[1:]] == [
        "server ListenDrops +2",
        "server OutRsts +1",
        "client TCPTimeouts +2",
    ]


def test_a_narrow_page_is_kept():
    lines = section(Counter("TcpExt.TCPReqQFullDoCookies", 0, 1), width=60)
    assert len(lines) == 3
    assert all(cells(line) <= 60 for line in lines)
