"""What is in the run file when the observatory is killed in the midst of a run."""

import os
import subprocess
import sys
import time
from pathlib import Path

from observatory import load
from observatory.growing import Growth
from observatory.model import Call, KernelEvent, Trace
from observatory.sources.files import RunWriter
from observatory.sources.tracefs_instances import survey
from tests.conftest import environment

SLOW = "connect-timeout-blackhole"
FAULT = "lab:fault"
STATE = "sock:inet_sock_set_state"


def event(time_ns: int, name: str) -> KernelEvent:
    return KernelEvent(0, time_ns, name, 7, None, None, {"socket": "1f"})


def test_events_are_written_once_and_read_in_order_of_time(tmp_path: Path) -> None:
    told: list[KernelEvent] = []
    path = tmp_path / "run.pcapng"

    def kernel(seen: Trace) -> list[KernelEvent]:
        assert [call.id for call in seen.calls] == [1]
        return told

    with RunWriter(path, Trace()) as writer:
        growth = Growth(
            writer,
            Trace(),
            calls=lambda: [Call(1, "socket", 7, 7, None, {}, 5)],
            frames=lambda: [],
            own=None,
            kernel=kernel,
        )
        growth.append()
        told += [event(20, FAULT), event(30, STATE)]
        growth.append()
        told.insert(0, event(10, STATE))  # only now it is known whose it is
        growth.append()
    trace = load(path)
    assert [(each.id, each.time_ns) for each in trace.kernel] == [(1, 10), (2, 20), (3, 30)]
    assert [call.id for call in trace.calls] == [1]


def test_a_mistake_in_judging_events_does_not_end_the_run(tmp_path: Path) -> None:
    def mistaken(seen: Trace) -> list[KernelEvent]:
        raise ZeroDivisionError

    path = tmp_path / "run.pcapng"
    with RunWriter(path, Trace()) as writer:
        growth = Growth(
            writer,
            Trace(),
            calls=lambda: [Call(1, "socket", 7, 7, None, {}, 5)],
            frames=lambda: [],
            own=None,
            kernel=mistaken,
        )
        growth.append()
    assert [call.id for call in load(path).calls] == [1]


def test_a_kill_leaves_what_the_kernel_said_and_what_was_done_to_the_lab(
    live: None, tmp_path: Path
) -> None:
    path = tmp_path / "run.pcapng"
    asked = os.geteuid() == 0 and not survey(()).refusal
    wanted = {FAULT, STATE} if asked else {FAULT}
    with subprocess.Popen(
        [sys.executable, "-m", "observatory", "run", SLOW, "-o", path],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as running:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not has_all(path, wanted):
            assert running.poll() is None, running.communicate()[1].decode()
            time.sleep(0.02)
        running.kill()
    trace = load(path)
    assert has_all(path, wanted)
    assert any("broken off" in defect for defect in trace.defects)
    assert trace.witness is None, "what did not come may have been lost with the observatory"
    assert not any(each.detail.get("location") for each in trace.kernel)


def has_all(path: Path, wanted: set[str]) -> bool:
    """Whether the growing file has calls, packets and these events."""
    if not path.exists() or not path.stat().st_size:
        return False
    trace = load(path)
    events = {each.event for each in trace.kernel}
    return bool(trace.calls and trace.frames) and wanted <= events
