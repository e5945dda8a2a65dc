"""CSV of calls and segments: what a spreadsheet reads back."""

import csv
import io

import pytest

from observatory.reports.tables import calls_csv, segments_csv
from tests.reports import samples


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", samples.ALL)
def test_one_row_each(name):
    analysis = samples.ALL[name]()
    assert [row["id"] for row in rows(calls_csv(analysis))] == [
        str(one.call.id) for one in analysis.calls
    ]
    assert [row["id"] for row in rows(segments_csv(analysis))] == [
        str(one.segment.id) for one in analysis.segments
    ]


def test_a_refused_connect():
    call = next(row for row in rows(calls_csv(samples.refused())) if row["name"] == "connect")
    assert (call["errno"], call["sent"], call["completed_by"]) == ("ECONNREFUSED", "1", "2")
    syn, reset = rows(segments_csv(samples.refused()))
    assert (syn["cause"], syn["flags"], syn["interface"]) == ("call", "S", "lo")
    assert (reset["cause"], reset["cause_segment"]) == ("reply", "1")


def test_no_cell_is_a_formula():
    s = samples.Sample()
    s.process(7, '=HYPERLINK("x")')
    s.call(0, 7, "connect", fd=3, address="unix:/x", why="=1+1")
    (row,) = rows(calls_csv(s.analysis()))
    assert row["process"].startswith("'=")
    assert row["explanation"] == "'=1+1"
