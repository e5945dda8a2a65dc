"""The kernel heard on conclusions about whole runs, live; and the same runs without it."""

from __future__ import annotations

import pytest

from observatory import pipeline
from observatory.model import Analysis, Verdict
from observatory.sources.tracefs_instances import survey

# Each mechanism of a RST, closes by fork, signal and exit, and connections that never opened.
BEHAVIOURS = (
    "close-linger-zero",
    "close-unread-data",
    "connect-dissolve",
    "connect-refused",
    "connect-self",
    "fork-shared-descriptor",
    "half-open",
    "kill-closes",
    "listen-close-pending",
    "rst-three-causes",
    "shutdown-write",
)


@pytest.fixture
def tracefs(live: None) -> None:
    if refusal := survey(()).refusal:
        pytest.skip(f"no tracefs: {refusal}")


def mechanisms(analysis: Analysis) -> list[str]:
    return [one.cause.mechanism for one in analysis.segments if "R" in one.segment.flags]


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_the_kernel_agrees(tracefs: None, name: str) -> None:
    analysis = pipeline.observe(name).analysis
    assert analysis.differences == ()
    assert analysis.coverage.contradicted == 0
    assert analysis.coverage.agreed > 0
    for one in analysis.segments:
        if "R" in one.segment.flags:
            assert one.kernel is not None
            assert one.kernel.verdict is Verdict.AGREED
            assert one.kernel_reason
    told = [end for c in analysis.connections for end in (c.client_kernel, c.server_kernel) if end]
    assert told, "the kernel's states stand beside ours"


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_without_it_the_same_stands(live: None, name: str) -> None:
    analysis = pipeline.observe(name, kernel=False).analysis
    assert all(mechanisms(analysis)), "each RST has its mechanism from calls and wire alone"
    assert {one.kernel for one in analysis.segments} <= {None}
    figures = analysis.coverage
    assert (figures.agreed, figures.contradicted, figures.silent) == (0, 0, 0)
    assert figures.calls == figures.calls_explained
    assert figures.segments == figures.segments_attributed
