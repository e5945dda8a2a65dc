"""Processes of the test's own are found and ended."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from observatory.lab import processes

STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
)


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A shell with a child that ignores SIGTERM, which has said that it does."""
    parent = subprocess.Popen(
        ["/bin/sh", "-c", f"{shlex.join([sys.executable, '-c', STUBBORN])}; exit 3"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    with parent.stdout as said:
        said.readline()
        yield parent
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def test_descendants_are_found_and_not_the_ancestor(family: subprocess.Popen[str]) -> None:
    below = processes.descendants([family.pid])
    assert len(below) == 1
    assert family.pid in processes.descendants([os.getpid()])
    assert processes.descendants([below[0]]) == []


def test_what_ignores_sigterm_is_killed(family: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    processes.end(lambda: processes.descendants([family.pid]), 0.1)
    assert processes.descendants([family.pid]) == []
    assert time.monotonic() - begun < 5


def test_a_process_that_is_gone_is_no_error() -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    processes.send([ended.pid], signal.SIGTERM)
    processes.kill(list)
