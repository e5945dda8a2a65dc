"""The committed run files: today's analyzer still explains every one of them."""

from pathlib import Path

import pytest

from observatory import analyze, load
from observatory.codec.document import document
from observatory.codec.runfile import read_capture, write_run
from observatory.model import CauseKind, Confidence
from observatory.scenarios.catalogue import catalogue

FOLDER = Path(__file__).parent.parent / "captures" / "catalogue"
SAMPLES = sorted(FOLDER.glob("*.pcapng"), key=lambda path: path.stem)
LARGEST = 512 * 1024


def name_of(path: Path) -> str:
    return path.stem


def test_there_is_one_of_each_behaviour() -> None:
    """`make samples` makes them."""
    assert [path.stem for path in SAMPLES] == sorted(catalogue())


@pytest.mark.parametrize("path", SAMPLES, ids=name_of)
class TestSample:
    def test_every_call_and_segment_is_explained(self, path: Path) -> None:
        analysis = analyze(load(path))
        assert analysis.trace.run.scenario == path.stem
        assert analysis.trace.defects == ()
        assert analysis.coverage.dropped == 0
        unexplained = [
            f"{one.call.id} {one.call.name}"
            for one in analysis.calls
            if one.explanation.confidence is Confidence.UNEXPLAINED
        ]
        unknown = [
            one.segment.id for one in analysis.segments if one.cause.kind is CauseKind.UNKNOWN
        ]
        assert (unexplained, unknown) == ([], [])

    def test_written_again_it_gives_the_same_document(self, path: Path) -> None:
        trace = load(path)
        again = read_capture(b"".join(write_run(trace)))
        assert again == trace
        assert document(analyze(again)) == document(analyze(trace))

    def test_it_is_small(self, path: Path) -> None:
        assert path.stat().st_size <= LARGEST
