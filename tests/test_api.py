"""The same from Python."""

import subprocess
import sys
from pathlib import Path

import pytest

import observatory
from observatory.errors import BadFile, UsageError
from observatory.model import Analysis, Trace
from tests.conftest import environment


@pytest.mark.usefixtures("live")
def test_run_gives_the_analysis_and_writes_only_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"
    analysis = observatory.run("connect-refused", path=path)
    assert isinstance(analysis, Analysis)
    assert [call.call.errno for call in analysis.calls if call.call.name == "connect"] == [
        "ECONNREFUSED"
    ]
    assert path.exists()
    assert isinstance(observatory.run("connect-refused"), Analysis)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("live")
def test_load_gives_the_trace_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"
    analysis = observatory.run("connect-refused", path=path)
    trace = observatory.load(path)
    assert isinstance(trace, Trace)
    assert trace == analysis.trace
    assert observatory.analyze(trace) == analysis


def test_an_empty_trace_has_an_empty_analysis() -> None:
    analysis = observatory.analyze(Trace())
    assert (analysis.calls, analysis.segments, analysis.connections) == ((), (), ())


def test_errors_are_typed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="connect-refused"):
        observatory.run("connect-refusd")
    with pytest.raises(BadFile, match="nothing"):
        observatory.load(tmp_path / "nothing.pcapng")


def test_importing_costs_nothing_heavy() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import observatory;"
        "print(sorted({'scapy', 'msgspec', 'socket', 'dataclasses'} & set(sys.modules)))"
    )
    root = Path(observatory.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(root)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
