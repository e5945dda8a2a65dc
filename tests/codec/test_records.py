"""Records: everything the model can hold comes back equal, everything else is a BadRecord."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec import fields, network, records
from observatory.model import (
    Call,
    Counter,
    Endpoint,
    Interface,
    KernelEvent,
    Link,
    Node,
    Process,
    RunHeader,
    Site,
    Topology,
    UnixAddress,
    Witness,
)

whole = st.integers(-(2**63) + 1, 2**63 - 1)
times = st.integers(0, 2**63 - 1)
texts = st.text()
endpoints = st.builds(Endpoint, st.ip_addresses().map(str), st.integers(0, 65535))
addresses = endpoints | st.builds(UnixAddress, texts)
scalars = st.none() | st.booleans() | whole | st.floats(allow_nan=False) | texts
arguments = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=8,
)
calls = st.builds(
    Call,
    id=whole,
    name=texts,
    pid=whole,
    tid=whole,
    fd=st.none() | whole,
    args=st.dictionaries(texts, arguments, max_size=4),
    entered_ns=times,
    returned_ns=st.none() | times,
    result=st.none() | whole,
    errno=st.none() | texts,
    local=st.none() | addresses,
    peer=st.none() | addresses,
    site=st.none() | st.builds(Site, texts, whole),
    asked=st.dictionaries(texts, st.dictionaries(texts, arguments, max_size=3), max_size=2),
)
pairs = st.tuples(texts, texts)
topologies = st.builds(
    Topology,
    texts,
    st.lists(
        st.builds(Node, texts, st.booleans(), st.lists(pairs, max_size=2).map(tuple)), max_size=3
    ).map(tuple),
    st.lists(st.builds(Link, st.tuples(pairs, pairs), texts), max_size=3).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
)


def reread(record):
    """The record as it comes out of a file."""
    return fields.loads(fields.dumps(record))


@given(calls)
def test_a_call_comes_back(call):
    again = records.read_call(reread(records.call_record(call)))
    assert again == call
    assert again.site == call.site
    assert list(again.args) == list(call.args)


@given(
    st.builds(
        KernelEvent,
        id=whole,
        time_ns=times,
        event=texts,
        pid=whole,
        src=st.none() | endpoints,
        dst=st.none() | endpoints,
        detail=st.dictionaries(texts, arguments, max_size=3),
    )
)
def test_a_kernel_event_comes_back(event):
    assert records.read_kernel(reread(records.kernel_record(event))) == event


@given(
    st.builds(
        Process,
        whole,
        st.none() | whole,
        texts,
        texts,
        st.none() | times,
        st.none() | whole,
        st.none() | texts,
        texts,
    )
)
def test_a_process_comes_back(process):
    record = reread(records.process_record(process))
    assert records.read_process(record) == process


@given(
    st.builds(
        RunHeader,
        *[st.none() | texts] * 3,
        st.none() | times,
        *[st.none() | texts] * 5,
        settings=st.dictionaries(texts, texts, max_size=3),
        topology=st.none() | topologies,
    )
)
def test_a_run_header_comes_back(run):
    assert records.read_run(reread(records.run_record(run))) == run


@given(st.builds(Counter, texts, whole, whole, texts, st.booleans()))
def test_a_counter_comes_back(counter):
    assert records.read_counter(reread(records.counter_record(counter))) == counter


@given(
    st.builds(
        Witness,
        st.lists(texts, max_size=3).map(tuple),
        st.lists(texts, max_size=3).map(tuple),
        whole,
        whole,
    )
)
def test_the_witness_comes_back(witness):
    assert records.read_witness(reread(records.witness_record(witness))) == witness


def test_what_older_files_do_not_have_is_empty():
    call = records.call_record(Call(1, "close", 2, 3, 4, {}, 5, 6, 0))
    process = records.process_record(Process(1, None, "a", "a"))
    run = records.run_record(RunHeader())
    del call["asked"], process["host"], run["topology"]
    assert records.read_call(call).asked == {}
    assert records.read_process(process).host == ""
    assert records.read_run(run).topology is None


def test_an_interface_belongs_to_the_host_in_its_name_if_the_lab_has_it():
    names = ("client:eth0", "server:eth0:1", "eth0", "lo:0", ":")
    interfaces = [Interface(name, 1) for name in names]
    lab = Topology("pair", (Node("client"), Node("server")), ())
    assert [each.host for each in network.with_hosts(interfaces, lab)] == [
        "client",
        "server",
        "",
        "",
        "",
    ]
    assert network.with_hosts(interfaces, None) == interfaces


GOOD = records.call_record(Call(1, "close", 2, 3, 4, {}, 5, 6, 0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None},
        {"id": True},
        {"id": 1.5},
        {"id": 2**63},
        {"name": 7},
        {"entered_ns": -1},
        {"entered_ns": None},
        {"args": []},
        {"errno": 9},
        {"local": "nowhere"},
        {"peer": {"address": "::1"}},
        {"peer": "1:" + "9" * 5000},
        {"site": ["a.py"]},
        {"site": "a.py:3"},
        {"asked": None},
        {"asked": [1]},
    ],
)
def test_a_field_of_the_wrong_type_is_refused(wrong):
    with pytest.raises(fields.BadRecord):
        records.read_call({**GOOD, **wrong})


LAB = network.topology_record(
    Topology("pair", (Node("a"),), (Link((("a", "eth0"), ("b", "eth0"))),), ("the link was cut",))
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 1},
        {"nodes": [1]},
        {"nodes": [{"name": "a", "router": 1, "addresses": []}]},
        {"nodes": [{"name": "a", "router": True, "addresses": [["eth0"]]}]},
        {"links": [{"ends": [["a", "eth0"]], "relay": ""}]},
        {"links": [{"ends": [["a", "eth0"], ["b", 1]], "relay": ""}]},
        {"links": [{"ends": {}, "relay": ""}]},
        {"links": [{"ends": [["a", "eth0"], ["b", "eth0"]], "relay": None}]},
        {"faults": "the link was cut"},
    ],
)
def test_a_topology_with_a_field_of_the_wrong_type_is_refused(wrong):
    network.read_topology({"topology": LAB})
    with pytest.raises(fields.BadRecord):
        network.read_topology({"topology": {**LAB, **wrong}})


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "[" * 100_000, '{"a":' + "9" * 5000 + "}"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(fields.BadRecord):
        fields.loads(text)


json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=5
)


READERS = (
    records.read_call,
    records.read_kernel,
    records.read_process,
    records.read_run,
    records.read_counter,
    records.read_witness,
    network.read_topology,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), json_values))
def test_anything_else_is_a_bad_record(changes):
    for read in READERS:
        try:
            read(json.loads(json.dumps({**GOOD, **changes})))
        except fields.BadRecord as problem:
            assert str(problem)
