"""Records: everything the model can hold comes back equal, everything else is a BadRecord."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec import records
from observatory.model import (
    Call,
    Endpoint,
    KernelEvent,
    Process,
    RunHeader,
    Site,
    UnixAddress,
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
)


@given(calls)
def test_a_call_comes_back(call):
    again = records.read_call(records.loads(records.dumps(records.call_record(call))))
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
    assert records.read_kernel(records.loads(records.dumps(records.kernel_record(event)))) == event


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
    )
)
def test_a_process_comes_back(process):
    record = records.loads(records.dumps(records.process_record(process)))
    assert records.read_process(record) == process


@given(
    st.builds(
        RunHeader,
        *[st.none() | texts] * 3,
        st.none() | times,
        *[st.none() | texts] * 5,
        settings=st.dictionaries(texts, texts, max_size=3),
    )
)
def test_a_run_header_comes_back(run):
    assert records.read_run(records.loads(records.dumps(records.run_record(run)))) == run


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
    ],
)
def test_a_field_of_the_wrong_type_is_refused(wrong):
    with pytest.raises(records.BadRecord):
        records.read_call({**GOOD, **wrong})


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "[" * 100_000, '{"a":' + "9" * 5000 + "}"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(records.BadRecord):
        records.loads(text)


json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=5
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), json_values))
def test_anything_else_is_a_bad_record(changes):
    for read in (records.read_call, records.read_kernel, records.read_process, records.read_run):
        try:
            read(json.loads(json.dumps({**GOOD, **changes})))
        except records.BadRecord as problem:
            assert str(problem)
