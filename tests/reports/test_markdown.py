"""The Markdown report keeps its tables and code blocks whole."""

from dataclasses import replace

import pytest

from observatory.model import Analysis, Counter, Topology
from observatory.reports.markdown import render
from tests.reports import samples


@pytest.mark.parametrize("name", samples.ALL)
def test_tables_have_as_many_cells_in_every_row(name):
    table = []
    for line in [*render(samples.ALL[name]()).splitlines(), ""]:
        if line.startswith("|"):
            table.append(line.replace("\\|", "").count("|"))
        else:
            assert len(set(table)) <= 1
            table = []


def test_a_refused_connect():
    text = render(samples.refused())
    assert text.startswith("# connect-refused\n")
    assert "`connect(3, 127.0.0.1:9) = -1 ECONNREFUSED (Connection refused)`" in text
    assert "evidence `#1` `#2` k1" in text
    assert "```text" in text


def test_doubt_is_loud():
    assert "**NOT EXPLAINED.**" in render(samples.troubled())


def test_what_programs_say_is_no_markup():
    s = samples.Sample("a | *b* <script> #7")
    s.call(0, 1, "connect", fd=3, address="unix:/a|b`c`", why="<img> | *x*")
    text = render(s.analysis())
    assert "<script>" not in text
    assert "<img>" not in text
    assert "`` connect(3, unix:/a\\|b`c`) = 0 ``" in text


def counted(*counters: Counter, lab: bool = False) -> str:
    found: Analysis = samples.refused()
    run = replace(found.trace.run, topology=Topology("routed", (), ()) if lab else None)
    return render(replace(found, trace=replace(found.trace, run=run, counters=counters)))


def test_what_the_kernel_counted_is_told_with_its_meaning():
    text = counted(Counter("Tcp.OutRsts", 3, 1_004), Counter("Tcp.InSegs", 0, 13))
    assert "| `Tcp.OutRsts` | +1,001 | RSTs sent |" in text
    assert "InSegs" not in text
    assert "All ends of the connections together." in text
    assert "## Counters" not in counted(Counter("Tcp.InSegs", 0, 13))


def test_whose_counters_they_are():
    text = counted(Counter("Tcp.OutRsts", 0, 1, host="server"), lab=True)
    assert "| server `Tcp.OutRsts` | +1 | RSTs sent |" in text
    assert "together" not in text
    assert "Others on this machine" in counted(Counter("Tcp.OutRsts", 0, 1, exact=False))
