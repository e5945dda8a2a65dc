"""Drafts become the very values that the frozen constructors make."""

from dataclasses import FrozenInstanceError
from inspect import signature

import pytest

from observatory.codec.drafts import (
    FrameDraft,
    OptionsDraft,
    SegmentDraft,
    finished_frame,
    finished_options,
    finished_segment,
)
from observatory.model import Direction, Endpoint, Frame, Icmp, Protocol, Segment, TcpOptions

FRAME = (5, 0, b"abc", 60, Direction.INBOUND)
ENDS = (Endpoint("::1", 7), Endpoint("::1", 9))
SEGMENT = (1, 5, 0, Protocol.TCP, *ENDS, 3, "SA", 7, 8, 9, 10)
SEGMENT += (TcpOptions(mss=1), Icmp(3, 3), Frame(*FRAME))


@pytest.mark.parametrize(
    ("draft", "finished", "frozen", "values"),
    [
        (FrameDraft, finished_frame, Frame, FRAME),
        (SegmentDraft, finished_segment, Segment, SEGMENT),
        (OptionsDraft, finished_options, TcpOptions, (1, 2, True, ((3, 4),), (5, 6), True)),
    ],
)
def test_a_draft_becomes_its_frozen_class(draft, finished, frozen, values):
    made = finished(draft(*values))
    assert type(made) is frozen
    assert made == frozen(*values)
    assert repr(made) == repr(frozen(*values))
    assert hash(made) == hash(frozen(*values))
    with pytest.raises(FrozenInstanceError):
        setattr(made, next(iter(frozen.__dataclass_fields__)), 7)
    parameters = [(each.name, each.default) for each in signature(draft).parameters.values()]
    expected = [(each.name, each.default) for each in signature(frozen).parameters.values()]
    assert parameters == expected
