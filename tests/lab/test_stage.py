import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from observatory.errors import CaptureError, PermissionRefused, UsageError
from observatory.lab.stage import open_stage
from tests.lab.plays import behaviour, named, performed, roles

NOBODY = 65534


def packet_socket(device):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))


def opened(*arguments, **options):
    try:
        return open_stage(*arguments, **options)
    except PermissionRefused as refusal:
        pytest.skip(str(refusal))


def say_hello(stage):
    def client(actor):
        with actor.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"hello", ("127.0.0.1", 9))

    stage.play(client=client)


def wait_for_ever(stage):
    def server(actor):
        listener = actor.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        actor.fork(lambda child: child.pause(600))
        actor.pause(600)

    stage.play(server=server)


def test_the_capture_socket_is_in_the_private_network():
    with opened(behaviour(say_hello), opener=packet_socket) as stage:
        (opened_there,) = stage.opened
        assert opened_there.name == "lo"
        with socket.socket(fileno=opened_there.fd) as capture:
            assert not os.get_inheritable(capture.fileno())
            capture.settimeout(5)
            stage.go()
            seen = capture.recv(65536)
        outcome = stage.wait()

    assert seen.endswith(b"hello")
    assert outcome.failure is None
    assert named(outcome, "sendto")[0].result == 5


def test_without_an_opener_there_is_no_capture_socket():
    with opened(behaviour(say_hello)) as stage:
        assert stage.opened == ()
        assert stage.pids == {"": stage.pid}
        assert stage.settings["net.core.somaxconn"].isdecimal()


def test_nothing_plays_before_go():
    with opened(behaviour(say_hello)) as stage:
        time.sleep(0.05)
        assert stage.so_far().calls == ()


def test_its_end_can_be_polled_for():
    import select

    with opened(behaviour(say_hello)) as stage:
        assert select.select([stage], [], [], 0)[0] == []
        stage.go()
        assert select.select([stage], [], [], 20)[0] == [stage]
        assert stage.wait().failure is None


def test_its_files_are_gone_with_it():
    with opened(behaviour(say_hello)) as stage:
        folder = stage._folder
        stage.go()
        stage.wait()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (PermissionError(1, "Operation not permitted"), PermissionRefused),
        (CaptureError("no such interface"), CaptureError),
    ],
)
def test_what_the_opener_raises_is_raised_here(raised, told):
    def refuse(device):
        raise raised

    try:
        open_stage(behaviour(say_hello)).close()
    except PermissionRefused as refusal:
        pytest.skip(str(refusal))
    with pytest.raises(told):
        open_stage(behaviour(say_hello), opener=refuse)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sysctls": {"net.ipv4.tcp_syn_retries": "2"}}, "tcp_syn_retries=2"),
        ({"needs_private": "it needs a network without routes"}, "without routes"),
    ],
)
def test_a_behaviour_may_refuse_the_hosts_network(changes, reason):
    with pytest.raises(UsageError, match=reason):
        open_stage(behaviour(say_hello, **changes), private=False)


def test_on_the_hosts_network():
    with open_stage(behaviour(say_hello), private=False) as stage:
        stage.go()
        outcome = stage.wait()
    assert named(outcome, "sendto")[0].result == 5


def test_an_interrupted_play_keeps_what_was_seen():
    with opened(behaviour(wait_for_ever)) as stage:
        stage.go()
        while not any(call.name == "fork" and call.result for call in stage.so_far().calls):
            time.sleep(0.01)
        outcome = stage.wait(interrupted=True)

    assert outcome.interrupted
    assert outcome.failure is None
    assert named(outcome, "listen")
    assert {process.signal for process in outcome.processes} == {"SIGKILL"}


def test_ctrl_c_in_wait_is_an_interruption(monkeypatch):
    with opened(behaviour(wait_for_ever)) as stage:
        stage.go()

        def interrupt():
            raise KeyboardInterrupt

        monkeypatch.setattr(stage, "_receive", interrupt)
        assert stage.wait().interrupted


def test_a_stage_that_is_killed_fails_the_play_and_leaves_nobody():
    with opened(behaviour(wait_for_ever)) as stage:
        stage.go()
        while len(stage.so_far().processes) < 2:
            time.sleep(0.01)
        os.kill(stage.pid, signal.SIGKILL)
        outcome = stage.wait()

    assert "its stage was killed" in str(outcome.failure)
    assert len(outcome.processes) == 2
    deadline = time.monotonic() + 10
    while not all(gone(process.pid) for process in outcome.processes):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stage_that_is_gone_before_it_began():
    with opened(behaviour(wait_for_ever)) as stage:
        os.kill(stage.pid, signal.SIGKILL)
        stage.go()
        assert "its stage was killed" in str(stage.wait().failure)


def gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


OBSERVER = """
import sys, time
from observatory.lab.stage import open_stage
from tests.lab.plays import behaviour
from tests.lab.test_stage import wait_for_ever

with open_stage(behaviour(wait_for_ever)) as stage:
    stage.go()
    while len(stage.so_far().processes) < 2:
        time.sleep(0.01)
    print(stage._folder, stage.pid, *(one.pid for one in stage.so_far().processes), flush=True)
    time.sleep(600)
"""


def test_everything_vanishes_with_a_killed_observer():
    opened(behaviour(say_hello)).close()
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", OBSERVER], stdout=subprocess.PIPE, text=True, cwd=root
    ) as observer:
        folder, *pids = observer.stdout.readline().split()
        observer.kill()

    deadline = time.monotonic() + 10
    while not all(gone(pid) for pid in pids) or Path(folder).exists():
        assert time.monotonic() < deadline, f"left behind: {pids} {folder}"
        time.sleep(0.01)
    assert len(pids) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_an_ordinary_user_needs_no_privilege(tmp_path):
    import pyroute2  # an ordinary user may not be able to read root's Python

    with pyroute2.IPRoute():
        pass
    performed(say_hello)
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                with open_stage(behaviour(say_hello), opener=packet_socket) as stage:
                    stage.go()
                    outcome = stage.wait()
                    answer = f"{len(stage.opened)} {named(outcome, 'sendto')[0].result}"
            except Exception as failure:
                answer = f"{type(failure).__name__}: {failure}"
            os.write(writable, answer.encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as told:
        answer = told.read()
    os.waitpid(pid, 0)
    if answer.startswith("PermissionRefused"):
        pytest.skip(answer)
    assert answer == "1 5"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_through_sudo_the_actors_are_the_user_who_typed_it(monkeypatch):
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))

    def play(stage):
        def client(actor):
            path = actor.folder / "socket"
            with actor.socket(socket.AF_UNIX) as sock:
                sock.bind(str(path))
            assert path.stat().st_uid == NOBODY
            actor.exit(os.getuid() == NOBODY)

        stage.play(client=client)

    assert roles(performed(play))["client"].status == 1
