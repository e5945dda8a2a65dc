"""A log and a capture joined, the log written here for packets that were captured once."""

from pathlib import Path

import pytest

from observatory import analyze, load
from observatory.errors import BadFile
from observatory.model import CauseKind, Confidence, Endpoint, parse_address
from observatory.tracing import Request, join, only, trace

SAMPLE = Path(__file__).parent.parent / "captures" / "catalogue" / "connect-refused.pcapng"


def log_of(path: Path, shift_ns: int = 0) -> Path:
    """What strace -f -y would have told of the sample's client, on a clock that is off."""
    calls = load(SAMPLE).calls
    (connect,) = [call for call in calls if call.name == "connect"]
    server = parse_address(connect.args["address"])
    assert isinstance(server, Endpoint)
    lines = []
    for at, text in (
        (connect.entered_ns - 50_000, "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4<socket:[7]>"),
        (
            connect.entered_ns,
            f"connect(4<socket:[7]>, {{sa_family=AF_INET, sin_port=htons({server.port}), "
            f'sin_addr=inet_addr("{server.address}")}}, 16) = -1 ECONNREFUSED (Connection refused)',
        ),
        (connect.returned_ns or 0, "close(4<socket:[7]>) = 0"),
        ((connect.returned_ns or 0) + 50_000, "exit_group(0) = ?"),
        ((connect.returned_ns or 0) + 90_000, "+++ exited with 0 +++"),
    ):
        seconds, nanos = divmod(at + shift_ns, 10**9)
        lines.append(f"{connect.pid} {seconds}.{nanos:09} {text}\n")
    path.write_text("".join(lines))
    return path


def test_the_calls_of_the_log_explain_the_packets(tmp_path: Path) -> None:
    joined = join(SAMPLE, log_of(tmp_path / "log"))
    assert joined.run.calls_source == "strace"
    assert not any("clock" in defect for defect in joined.defects)
    analysis = analyze(joined)
    (connect,) = [one for one in analysis.calls if one.call.name == "connect"]
    assert connect.explanation.confidence is not Confidence.UNEXPLAINED
    assert analysis.segments[0].cause.kind is CauseKind.CALL
    assert analysis.segments[0].cause.call == connect.call.id


@pytest.mark.parametrize("seconds", [12.5, -3600.0])
def test_a_clock_that_is_off_is_set_and_told(tmp_path: Path, seconds: float) -> None:
    plain = join(SAMPLE, log_of(tmp_path / "log"))
    moved = join(SAMPLE, log_of(tmp_path / "late", int(seconds * 1e9)))
    (told,) = [defect for defect in moved.defects if "clock" in defect]
    assert abs(float(told.split()[4]) - abs(seconds)) < 0.001
    assert ("ahead of" if seconds > 0 else "behind") in told
    for right, found in zip(plain.calls, moved.calls, strict=True):
        assert abs(found.entered_ns - right.entered_ns) < 1_000_000
    assert analyze(moved).segments[0].cause.kind is CauseKind.CALL


def test_a_log_of_something_else_is_told(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log")
    log.write_text(log.read_text().replace("connect(", "bind("))
    assert any("clocks may differ" in defect for defect in join(SAMPLE, log).defects)


def test_lines_that_are_not_understood_are_shown(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log")
    log.write_text(log.read_text() + "12 1700000000.1 connect(4, {what is this\n")
    assert any("what is this" in defect for defect in join(SAMPLE, log).defects)


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("nothing of the kind\n")
    with pytest.raises(BadFile, match="strace -f -y -ttt"):
        join(SAMPLE, tmp_path / "log")


def test_only_a_part_is_shown(tmp_path: Path) -> None:
    analysis = analyze(load(SAMPLE))
    assert only(analysis, "203.0.113.1").segments == ()


@pytest.mark.usefixtures("live")
def test_without_a_path_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = trace(Request(command=("sh", "-c", "exit 4"), private=True))
    assert (done.status, done.path) == (4, None)
    assert done.analysis.trace.run.command == "sh -c exit 4"
    assert list(tmp_path.iterdir()) == []
