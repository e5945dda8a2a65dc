"""Commands are run apart and ended, here without a tracer."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from observatory.errors import CaptureError, ScenarioFailed
from observatory.lab import processes
from observatory.lab.runner import Opener, Programs
from observatory.lab.watch import Watch, open_watch


def untraced(log: Path, command: Sequence[str]) -> Sequence[str]:
    """The command alone; what a tracer does first is write its log."""
    return ["/bin/sh", "-c", f"echo begun > {log}; {shlex.join(command)}"]


def watch(*command: str, helpers: Sequence[Sequence[str]] = (), opener: Opener = list) -> Watch:
    def ready(log: Path) -> bool:
        return log.exists() and log.read_text() != ""

    return open_watch(Programs(command, helpers, untraced, ready), opener)


def test_the_exit_status_is_the_commands() -> None:
    with watch("sh", "-c", "exit 5") as running:
        assert not running.started
        running.go()
        assert running.wait() == 5
        assert running.started


def test_one_that_a_signal_ended() -> None:
    with watch("sh", "-c", "kill -KILL $$") as running:
        running.go()
        assert running.wait() == 128 + signal.SIGKILL


def test_signals_are_passed_on_and_its_end_is_asked_for() -> None:
    with watch("sleep", "60") as running:
        running.go()
        wait_for_sleep(running)
        running.forward(signal.SIGUSR1)
        assert running.wait() == 128 + signal.SIGUSR1
    with watch("sleep", "60") as running:
        running.go()
        wait_for_sleep(running)
        running.end()
        assert running.wait() == 128 + signal.SIGTERM


def test_what_was_left_behind_is_ended_with_it() -> None:
    with watch("sh", "-c", "sleep 60 & exit 0") as running:
        assert running.pid is not None
        pid = running.pid
        running.go()
        assert running.wait() == 0
    assert processes.descendants([pid]) == []


def test_a_helper_is_ready_before_the_command_and_ended_after_it(tmp_path: Path) -> None:
    order = tmp_path / "order"
    helper = ["sh", "-c", f"echo helper >> {order}; exec sleep 60"]
    command = ["sh", "-c", f"echo command >> {order}"]
    programs = Programs(command, [helper], untraced, lambda log: order.exists())
    with open_watch(programs, list) as running:
        running.go()
        assert running.wait() == 0
        assert [log.name for log in running.logs] == ["1-helper.strace", "command.strace"]
    assert order.read_text().split() == ["helper", "command"]


def test_a_helper_that_ends_keeps_the_command_from_running(tmp_path: Path) -> None:
    programs = Programs(["touch", f"{tmp_path}/ran"], [["false"]], untraced, lambda log: False)
    with open_watch(programs, list) as running:
        running.go()
        with pytest.raises(ScenarioFailed, match="`false` ended"):
            running.wait()
    assert not (tmp_path / "ran").exists()


def test_what_the_opener_raises_is_raised_here() -> None:
    def refuse() -> Sequence[object]:
        raise CaptureError("no such interface")

    with pytest.raises(CaptureError, match="no such interface"):
        watch("true", opener=refuse)  # type: ignore[arg-type]


def test_the_logs_are_removed() -> None:
    with watch("true") as running:
        running.go()
        running.wait()
        folder = running.logs[0].parent
    assert not folder.exists()


def test_nothing_outlives_an_observer_that_is_killed(tmp_path: Path) -> None:
    program = (
        "from tests.lab.test_watch import watch\n"
        "with watch('sh', '-c', 'echo $$ > pid; exec sleep 60') as running:\n"
        "    running.go(); running.wait()\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path[1:]])}
    observer = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())
    observer.kill()
    observer.wait()
    until(lambda: not Path(f"/proc/{pid}").exists())


def wait_for_sleep(running: Watch) -> None:
    """Until the command has become what it is to be."""
    assert running.pid is not None
    pid = running.pid
    until(lambda: any(_is_sleep(one) for one in processes.descendants([pid])))


def _is_sleep(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    except OSError:
        return False


def until(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
