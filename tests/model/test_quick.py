"""Values made fast are the very values that the frozen constructors make."""

from dataclasses import FrozenInstanceError, fields
from inspect import signature

import pytest

from observatory.model import (
    AttributedSegment,
    Cause,
    CauseKind,
    Confidence,
    Direction,
    Endpoint,
    Frame,
    Icmp,
    Protocol,
    RunHeader,
    Segment,
    TcpOptions,
)
from observatory.model.quick import quick

FRAME = Frame(5, 0, b"abc", 60, Direction.INBOUND)
ENDS = (Endpoint("::1", 7), Endpoint("::1", 9))
OPTIONS = TcpOptions(1, 2, True, ((3, 4),), (5, 6), True)
SEGMENT = Segment(1, 5, 0, Protocol.TCP, *ENDS, 3, "SA", 7, 8, 9, 10, OPTIONS, Icmp(3, 3), FRAME)
CAUSE = Cause(CauseKind.CALL, "SYN", Confidence.CERTAIN, 4)
ATTRIBUTED = AttributedSegment(SEGMENT, 1, CAUSE, (4,), 5, 6, True, 7, 8, 9)


@pytest.mark.parametrize(
    "value", [FRAME, OPTIONS, SEGMENT, CAUSE, ATTRIBUTED], ids=lambda value: type(value).__name__
)
def test_a_quick_value_is_the_frozen_one(value):
    frozen = type(value)
    names = [each.name for each in fields(frozen)]
    made = quick(frozen)(*(getattr(value, name) for name in names))
    assert type(made) is frozen
    assert made == value
    assert repr(made) == repr(value)
    assert hash(made) == hash(value)
    assert [getattr(made, name) for name in names] == [getattr(value, name) for name in names]
    with pytest.raises(FrozenInstanceError):
        setattr(made, names[0], None)


@pytest.mark.parametrize("frozen", [Frame, TcpOptions, Segment, Cause, AttributedSegment])
def test_it_takes_the_same_arguments(frozen):
    def parameters(made):
        return [(each.name, each.default) for each in signature(made).parameters.values()]

    assert parameters(quick(frozen)) == parameters(frozen)


def test_a_default_that_is_made_each_time_is_not_shared():
    made = quick(RunHeader)
    assert made().settings == {}
    assert made().settings is not made().settings
