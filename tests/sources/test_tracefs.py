"""The kernel's tracepoints, live: this very process's connections among the whole machine's."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from observatory.codec.tracepoints import TELLS
from observatory.model import Endpoint, KernelEvent
from observatory.sources import tracefs_instances
from observatory.sources.tracefs import Tracepoints, lost_of
from observatory.sources.tracefs_instances import listed, mend, survey
from observatory.sources.tracefs_mount import open_folder
from observatory.sources.tracefs_ready import ReadyInstances

SLACK_NS = 2_000_000


@pytest.fixture
def folder() -> Iterator[int]:
    """The folder of tracefs; without it there is nothing to test."""
    if refusal := survey(()).refusal:
        pytest.skip(f"no tracefs: {refusal}")
    opened = open_folder()
    yield opened
    os.close(opened)


def instances_of(pid: int, folder: int) -> list[str]:
    names = listed("instances", folder)
    return [name for name in names if name.split(".")[0] == f"observatory-{pid}"]


def refused_connect(family: int = socket.AF_INET, host: str = "127.0.0.1") -> tuple[Endpoint, ...]:
    """Connect where nobody listens; our end and the other."""
    with socket.socket(family) as taken, socket.socket(family) as sock:
        taken.bind((host, 0))
        port = taken.getsockname()[1]
        sock.bind((host, 0))
        ours = Endpoint(host, sock.getsockname()[1])
        with suppress(ConnectionRefusedError):
            sock.connect((host, port))
    return ours, Endpoint(host, port)


def between(events: list[KernelEvent], one: Endpoint, other: Endpoint) -> list[KernelEvent]:
    return [event for event in events if {event.src, event.dst} == {one, other}]


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_refused_connect_is_told_from_its_syn_to_its_end(
    folder: int, family: int, host: str
) -> None:
    with Tracepoints(tuple(TELLS)) as tracepoints:
        before_ns = time.time_ns()
        try:
            ours, theirs = refused_connect(family, host)
        except OSError as error:
            assert error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
            pytest.skip(f"no {host} here")
        after_ns = time.time_ns()
        tracepoints.stop()
    found = between(tracepoints.events(), ours, theirs)
    changes = [
        (event.detail["old"], event.detail["new"])
        for event in found
        if event.event == "sock:inet_sock_set_state"
    ]
    assert changes == [("CLOSED", "SYN-SENT"), ("SYN-SENT", "CLOSED")]
    resets = [event for event in found if event.event == "tcp:tcp_send_reset"]
    assert [(reset.src, reset.detail["reason"]) for reset in resets] == [(theirs, "NO_SOCKET")]
    errors = [event.detail for event in found if event.event == "sock:inet_sk_error_report"]
    assert [error["error"] for error in errors] == ["ECONNREFUSED"]
    for event in found:
        assert before_ns - SLACK_NS <= event.time_ns <= after_ns + SLACK_NS
    assert found[0].pid == os.getpid()
    assert tracepoints.lost == tracepoints.unread == 0


def test_the_instance_is_there_for_as_long_as_it_is_used(folder: int) -> None:
    before = instances_of(os.getpid(), folder)
    with Tracepoints(tuple(TELLS)):
        assert len(instances_of(os.getpid(), folder)) == len(before) + 1
    assert instances_of(os.getpid(), folder) == before


def test_it_is_removed_after_a_failure(folder: int) -> None:
    before = instances_of(os.getpid(), folder)
    with pytest.raises(KeyboardInterrupt), Tracepoints(tuple(TELLS)):
        raise KeyboardInterrupt
    assert instances_of(os.getpid(), folder) == before


def test_two_at_once_both_see_all(folder: int) -> None:
    with Tracepoints(tuple(TELLS)) as one:
        with Tracepoints(tuple(TELLS)) as other:
            first = refused_connect()
            other.stop()
        second = refused_connect()
        one.stop()
    assert between(other.events(), *first)
    assert between(one.events(), *first)
    assert between(one.events(), *second)


def test_runs_of_forked_processes_take_instances_that_are_ready(folder: int) -> None:
    def run_in_a_child() -> int:
        """Its exit status: how many instances of its own it made, 10 more if it saw nothing."""
        child = os.fork()
        if child == 0:
            try:
                with Tracepoints(tuple(TELLS)) as tracepoints:
                    made = len(instances_of(os.getpid(), folder))
                    ends = refused_connect()
                    tracepoints.stop()
                seen = between(tracepoints.events(), *ends)
                os._exit(made + (0 if len(seen) >= 4 else 10))
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    before = instances_of(os.getpid(), folder)
    with ReadyInstances(1):
        assert [run_in_a_child() for _ in range(3)] == [0, 0, 0]
        with ready_one_taken(folder):
            assert run_in_a_child() == 1
    assert instances_of(os.getpid(), folder) == before
    assert run_in_a_child() == 1


@contextmanager
def ready_one_taken(folder: int) -> Iterator[None]:
    """As if another run had the instance that is ready."""
    (name,) = [name for name in listed("instances", folder) if f"{os.getpid()}.ready" in name]
    instance = os.open(f"instances/{name}", os.O_RDONLY, dir_fd=folder)
    fcntl.flock(instance, fcntl.LOCK_EX)
    yield
    os.close(instance)


KILLED = """
import time
from observatory.sources.tracefs import Tracepoints
with Tracepoints(("sock:inet_sock_set_state",)):
    print("open", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_behind_is_removed_by_the_next(folder: int) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"open\n"
        assert instances_of(killed.pid, folder), "it has one"
        with Tracepoints(("sock:inet_sock_set_state",)):
            assert instances_of(killed.pid, folder), "while it lives, it is left alone"
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    # Another run that begins just now may have been faster.
    with Tracepoints(("sock:inet_sock_set_state",)):
        assert instances_of(killed.pid, folder) == []


def test_the_doctor_removes_it_too(folder: int) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    os.mkdir(f"instances/observatory-{ended.pid}", dir_fd=folder)
    mend()
    assert instances_of(ended.pid, folder) == []
    assert f"observatory-{ended.pid}" not in survey(()).leftovers


def test_what_the_kernel_has_not_is_missing_and_the_rest_is_watched(folder: int) -> None:
    wanted = (
        *("sock:inet_sock_set_state", "tcp:tcp_send_reset", "tcp:tcp_send_reset.state"),
        *("tcp:tcp_send_reset.colour", "tcp:tcp_is_tired"),
    )
    missing = ("tcp:tcp_send_reset.colour", "tcp:tcp_is_tired")
    assert survey(wanted).missing == missing
    with Tracepoints(wanted) as tracepoints:
        assert tracepoints.missing == missing
        assert tracepoints.watched == ("sock:inet_sock_set_state", "tcp:tcp_send_reset")


def test_kernel_addresses_are_not_given_away(folder: int) -> None:
    with Tracepoints(tuple(TELLS)) as tracepoints:
        refused_connect()
        tracepoints.stop()
    found = {
        str(event.detail["socket"]) for event in tracepoints.events() if "socket" in event.detail
    }
    assert found
    assert not [one for one in found if one.startswith("ffff")]


def test_a_kernel_without_the_tai_clock_has_the_monotonic_one(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tracefs_instances.read

    def without_tai(path: str, where: int) -> str:
        return real(path, where).replace("tai", "")

    monkeypatch.setattr(tracefs_instances, "read", without_tai)
    with Tracepoints(("sock:inet_sock_set_state",)) as tracepoints:
        before_ns = time.time_ns()
        ours, theirs = refused_connect()
        after_ns = time.time_ns()
        tracepoints.stop()
    found = between(tracepoints.events(), ours, theirs)
    assert found
    for event in found:
        assert before_ns - SLACK_NS <= event.time_ns <= after_ns + SLACK_NS


def test_an_ordinary_user_is_told_so() -> None:
    if os.geteuid() == 0:
        pytest.skip("root may")
    tracepoints = Tracepoints(tuple(TELLS))
    tracepoints.start()
    with pytest.raises(PermissionError):
        tracepoints.ready()
    tracepoints.close()
    assert tracepoints.events() == []


def test_in_a_container_process_numbers_are_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs_instances, "FIRST_PID_NAMESPACE", 1)
    assert "container" in survey(tuple(TELLS)).refusal


def test_events_lost_are_counted_of_both_kinds() -> None:
    stats = "entries: 7\noverrun: 12\ncommit overrun: 0\nbytes: 400\ndropped events: 30\n"
    assert lost_of(stats) == 42
