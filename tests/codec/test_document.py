"""The document has the published shape, whatever is in the analysis."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from observatory.codec.document import document, encode, schema
from observatory.codec.document_shape import Document
from observatory.model import TcpOptions
from tests.reports import samples

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "document.schema.json"


def test_the_committed_schema_is_the_generated_one():
    committed = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert committed == schema(), (
        "run: python -m observatory.codec.document > docs/document.schema.json"
    )


@pytest.mark.parametrize("name", samples.ALL)
def test_every_document_has_the_published_shape(name):
    msgspec.json.decode(encode(samples.ALL[name]()), type=Document, strict=True)


@pytest.mark.parametrize("name", samples.ALL)
def test_every_field_of_the_schema_is_printed_and_no_other(name):
    published = schema()
    made = json.loads(encode(samples.ALL[name]()))
    assert list(made) == published["$defs"]["Document"]["required"]
    for part, definition in (("calls", "CallEntry"), ("segments", "SegmentEntry")):
        for entry in made[part]:
            assert list(entry) == published["$defs"][definition]["required"]


def test_a_refused_connect():
    made = document(samples.refused())
    assert made["schema"] == "observatory/1"
    assert made["run"]["scenario"] == "connect-refused"
    assert made["run"]["interfaces"] == [{"name": "lo", "captured": 12, "dropped": 0, "host": ""}]
    connect = made["calls"][1]
    assert connect["text"] == "connect(3, 127.0.0.1:9) = -1 ECONNREFUSED (Connection refused)"
    assert connect["errno"] == "ECONNREFUSED"
    assert (connect["sent"], connect["completed_by"]) == ([1], [2])
    assert connect["explanation"]["evidence"] == {"segments": [1, 2], "calls": [], "kernel": [1]}
    syn = made["segments"][0]
    assert (syn["src"], syn["dst"], syn["flags"]) == ("127.0.0.1:40000", "127.0.0.1:9", "S")
    assert syn["cause"] == {
        "kind": "call",
        "call": 2,
        "segment": None,
        "reason": "SYN",
        "confidence": "certain",
        "mechanism": "",
    }
    assert made["connections"][0]["states"]["client"] == ["CLOSED", "SYN-SENT", "CLOSED"]
    assert made["kernel"][0]["src"] == "127.0.0.1:9"


def test_what_a_protocol_does_not_have_is_null():
    datagram, error = document(samples.datagrams())["segments"]
    assert datagram["seq"] is datagram["ack"] is datagram["window"] is None
    assert error["icmp"] == {"type": 3, "code": 3, "quotes": 1}
    assert error["src"] == "127.0.0.1"


def test_an_empty_datagram_is_not_printed_as_eof():
    assert document(samples.datagrams())["calls"][2]["text"].endswith("0 (empty datagram)")


def test_paths_that_are_no_utf8_are_encoded():
    s = samples.Sample()
    s.call(0, 1, "connect", fd=3, address="unix:/tmp/\udcff")
    assert json.loads(encode(s.analysis()))["calls"][0]["args"]["address"] == "unix:/tmp/\\udcff"


def test_indented_and_compact_are_the_same_document():
    analysis = samples.established()
    assert encode(analysis).count(b"\n") == 1
    assert encode(analysis, indent=2).count(b"\n") > 100
    assert json.loads(encode(analysis)) == json.loads(encode(analysis, indent=2))
    assert json.loads(encode(analysis)) == document(analysis)


@pytest.mark.parametrize(
    ("client", "server", "told"),
    [(7, 10, (7, 10)), (7, None, (0, 0)), (None, None, (0, 0)), (0, 3, (0, 3))],
)
def test_windows_are_scaled_as_both_syns_agreed(client, server, told):
    analysis = samples.established()
    syns = [
        replace(one, segment=replace(one.segment, options=TcpOptions(window_scale=scale)))
        for one, scale in zip(analysis.segments, (client, server), strict=False)
    ]
    made = document(replace(analysis, segments=(*syns, *analysis.segments[2:])))
    assert made["connections"][0]["window_scale"] == {"client": told[0], "server": told[1]}


def test_how_windows_are_scaled_is_not_known_where_a_syn_was_not_seen():
    analysis = samples.established()
    syn = analysis.segments[1]
    syn = replace(syn, segment=replace(syn.segment, options=TcpOptions(window_scale=7)))
    made = document(replace(analysis, segments=(syn, *analysis.segments[2:])))
    assert made["connections"][0]["window_scale"] == {"client": None, "server": None}


def test_names_that_are_no_utf8_are_encoded():
    s = samples.Sample("scenario \udcff")
    s.process(1, "client\udcff")
    s.defects = ("\udcff",)
    made = json.loads(encode(s.analysis()))
    assert made["processes"][0]["role"] == "client\\udcff"
    assert made["run"]["defects"] == ["\\udcff"]
