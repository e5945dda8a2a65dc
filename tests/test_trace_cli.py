"""``observatory trace`` as a person types it, on small programs in private networks."""

import contextlib
import fcntl
import json
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from observatory import load
from tests.conftest import Command, environment, why_no_run

PYTHON = sys.executable

REFUSED = """
import socket, sys
sock = socket.socket()
sys.exit(sock.connect_ex(("127.0.0.1", 9)) and 7)
"""
ECHO_ITSELF = """
import socket
with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"x" * 1000)
            client.shutdown(socket.SHUT_WR)
            while server.recv(300):
                pass
"""
CLIENT = """
import socket
with socket.create_connection(("127.0.0.1", 8000)) as sock:
    sock.sendall(b"hello")
    sock.shutdown(socket.SHUT_WR)
    print(sock.recv(100).decode())
"""
SERVER = """
import socket, time
time.sleep(0.2)
with socket.create_server(("127.0.0.1", 8000)) as listener:
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.sendall(sock.recv(100).upper())
"""
FORKING = """
import os, socket, threading
with socket.create_server(("127.0.0.1", 0)) as listener:
    pid = os.fork()
    if pid == 0:
        def run():
            socket.create_connection(listener.getsockname()).close()
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        os._exit(0)
    listener.accept()[0].close()
    os.waitpid(pid, 0)
"""


NOISE = """
import socket, time
while True:
    socket.create_connection(("127.0.0.1", {port})).close()
    time.sleep(.002)
"""


@pytest.fixture(autouse=True)
def tracing(live: None) -> None:
    """Skips where strace is missing or may trace nothing."""
    from observatory.doctor import Status, System
    from observatory.doctor.checks import check_strace

    for finding in check_strace(System()):
        if finding.status is Status.MISSING:
            pytest.skip(f"{finding.name}: {finding.detail}")


def calls(document: Any, name: str) -> list[Any]:
    return [call for call in document["calls"] if call["name"] == name]


def test_a_refused_connect_is_explained_and_its_status_passed_through(command: Command) -> None:
    said = command("trace", "--private", "--json", "--", PYTHON, "-c", REFUSED)
    assert said.status == 7
    document = said.document
    (connect,) = calls(document, "connect")
    assert connect["errno"] == "ECONNREFUSED"
    assert connect["explanation"]["confidence"] != "unexplained"
    assert [one["flags"] for one in document["segments"]] == ["S", "RA"]
    assert document["segments"][0]["cause"]["call"] == connect["id"]
    assert document["run"]["sources"]["calls"] == "strace"
    assert document["coverage"]["segments_attributed"] == 2


def test_input_and_output_are_the_commands_own(tmp_path: Path) -> None:
    script = "read line; echo got $line; echo told >&2; exit 3"
    done = subprocess.run(
        [PYTHON, "-m", "observatory", "trace", "--private", "--", "sh", "-c", script],
        cwd=tmp_path,
        env=environment(),
        input="words\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout == "got words\n"
    assert done.stderr.startswith("told\n")
    assert "wrote captures/sh.pcapng" in done.stderr


def test_both_ends_in_one_program_and_every_packet_once(command: Command, tmp_path: Path) -> None:
    options = ["-o", tmp_path / "mine.pcapng", "--json"]
    said = command("trace", "--private", *options, "--", PYTHON, "-c", ECHO_ITSELF)
    assert said.status == 0, said.err
    document = said.document
    assert len(document["connections"]) == 1
    coverage = document["coverage"]
    assert coverage["segments"] == coverage["segments_attributed"]
    trace = load(tmp_path / "mine.pcapng")
    assert len(trace.segments) == coverage["segments"]
    assert sum("S" in one.flags for one in trace.segments) == 2
    assert trace.run.calls_source == "strace"


def test_children_and_threads_are_followed(command: Command) -> None:
    said = command("trace", "--private", "--json", "--", PYTHON, "-c", FORKING)
    assert said.status == 0, said.err
    document = said.document
    (connect,) = [one for one in calls(document, "connect") if one["connection"]]
    (accept,) = [one for one in document["calls"] if one["name"].startswith("accept")]
    assert connect["pid"] != accept["pid"]
    assert connect["tid"] != connect["pid"]


def test_a_helper_is_waited_for_traced_and_ended(command: Command) -> None:
    helper = shlex.join([PYTHON, "-c", SERVER])
    mark = f"OBSERVATORY_TEST_{os.getpid()}"
    said = command(
        "trace", "--private", "--with", helper, "--report", "report.json", "--json", "--",
        PYTHON, "-c", CLIENT, env={mark: "1"},
    )  # fmt: skip
    assert said.status == 0, said.err
    assert said.out == "HELLO\n"
    assert not running(mark)


def test_a_helper_that_ends_at_once_is_told(command: Command) -> None:
    said = command("trace", "--private", "--with", "true", "--", "true")
    assert said.status == 6
    assert "`true` ended before it listened" in said.err


def test_stack_tells_the_line_of_the_program(command: Command, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(REFUSED)
    said = command("trace", "--private", "--stack", "--json", "--", PYTHON, "app.py")
    (connect,) = calls(said.document, "connect")
    assert "app.py:4" in json.dumps(connect)


def test_quiet_names_only_the_file(command: Command) -> None:
    said = command("trace", "--private", "-q", "--", "true")
    assert (said.status, said.out, said.err) == (0, "", "captures/true.pcapng\n")


def test_a_signal_that_ends_the_command_is_its_status(command: Command) -> None:
    assert command("trace", "--private", "-q", "--", "sh", "-c", "kill -9 $$").status == 137


def test_for_ends_the_command_and_says_so(command: Command) -> None:
    begun = time.monotonic()
    said = command("trace", "--private", "--for", "0.5", "--", "sleep", "60")
    assert said.status == 128 + signal.SIGTERM
    assert "--for" in said.err
    assert time.monotonic() - begun < 30


def test_what_is_left_in_the_background_is_followed_and_ended(command: Command) -> None:
    left = "setsid sleep 60 & exit 0"
    said = command("trace", "--private", "--for", "1", "--", "sh", "-c", left)
    assert "--for" in said.err
    assert said.status == 0


def running(mark: str) -> list[int]:
    """Processes that have ``mark`` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def started(tmp_path: Path, mark: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command left running, when what it traces runs."""
    process = subprocess.Popen(
        [PYTHON, "-m", "observatory", "trace", "--private", "-o", "run.pcapng", "--", *words],
        cwd=tmp_path,
        env=environment(**{mark: "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        deadline = time.monotonic() + 20
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield process
        process.kill()


WAITING = "open('ready', 'w').close()\nimport time\ntime.sleep(60)\n"


def test_a_signal_to_the_observatory_is_passed_on(tmp_path: Path) -> None:
    mark = f"OBSERVATORY_TEST_{os.getpid()}"
    with started(tmp_path, mark, PYTHON, "-c", WAITING) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "KeyboardInterrupt" in said
    assert "SIGINT ended the observation" in said
    assert load(tmp_path / "run.pcapng").calls
    assert not running(mark)


COUNTING = """
import signal, sys, time
interrupts = []
signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
open("ready", "w").close()
while not interrupts:
    time.sleep(0.01)
time.sleep(0.5)
sys.exit(len(interrupts))
"""


def test_ctrl_c_of_the_terminal_reaches_the_command_once(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PYTHON, "-m", "observatory", "trace", "--private", "--", PYTHON, "-c", COUNTING],
        cwd=tmp_path,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(theirs)
        deadline = time.monotonic() + 20
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.write(ours, b"\x03")
        _, said = process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 1, said
    assert "SIGINT ended the observation" in said


def test_nothing_is_left_when_the_observatory_is_killed(tmp_path: Path) -> None:
    mark = f"OBSERVATORY_TEST_{os.getpid()}"
    with started(tmp_path, mark, PYTHON, "-c", WAITING) as process:
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while running(mark) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running(mark)
    trace = load(tmp_path / "run.pcapng")
    assert any("broken off" in defect for defect in trace.defects)


def test_a_running_process_is_attached_to_and_goes_on(tmp_path: Path, command: Command) -> None:
    if os.geteuid() != 0:
        pytest.skip("attaching to a process on the machine's own network needs root")
    program = (
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(listener.getsockname())\n"
        "server, _ = listener.accept()\n"
        "print(client.getsockname()[1], flush=True)\n"
        "sys.stdin.readline()\n"
        "client.sendall(b'hello')\n"
        "server.recv(5)\n"
        "print('sent', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [PYTHON, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as target:
        assert target.stdout is not None
        assert target.stdin is not None
        port = target.stdout.readline().strip()
        observing = subprocess.Popen(
            [PYTHON, "-m", "observatory", "trace", "-i", "lo", "-p", str(target.pid), "--json"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        with observing:
            deadline = time.monotonic() + 20
            while tracer_of(target.pid) == 0 and time.monotonic() < deadline:
                time.sleep(0.05)
            target.stdin.write("\n")
            target.stdin.flush()
            assert target.stdout.readline() == "sent\n"
            time.sleep(0.2)
            observing.send_signal(signal.SIGINT)
            out, _ = observing.communicate(timeout=30)
        assert observing.returncode == 0
        assert target.poll() is None
        target.communicate("\n")
    document = json.loads(out)
    attached = calls(document, "attach")
    assert {one["explanation"]["rule"] for one in attached} == {"open-before"}
    assert "ESTABLISHED" in {one["args"]["state"] for one in attached}
    (connection,) = document["connections"]
    assert connection["client"] == f"127.0.0.1:{port}"
    assert "before the capture began" in connection["opened"]
    data = [one for one in document["segments"] if one["length"] == 5]
    assert len(data) == 1
    (sent,) = [one for one in document["calls"] if one["name"].startswith("send")]
    assert data[0]["cause"]["call"] == sent["id"]


def tracer_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().split("TracerPid:")[1]
    return int(status.split()[0])


def test_foreign_packets_are_left_out_on_the_host(tmp_path: Path, command: Command) -> None:
    if os.geteuid() != 0:
        pytest.skip("capturing on the machine's own network needs root")
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        noisy = NOISE.format(port=port)
        noise = subprocess.Popen([PYTHON, "-c", noisy], stderr=subprocess.DEVNULL)
        with noise:
            said = command("trace", "-i", "lo", "--json", "--", PYTHON, "-c", ECHO_ITSELF)
            noise.kill()
    assert said.status == 0, said.err
    document = said.document
    assert len(document["connections"]) == 1
    assert all(str(port) not in one["src"] + one["dst"] for one in document["segments"])


def test_a_filter_decides_what_is_captured(command: Command) -> None:
    program = ("trace", "--private", "--json", "-f", "icmp", "--", PYTHON, "-c", REFUSED)
    said = command(*program)
    if said.status == 7 and "tcpdump" in said.err:
        pytest.skip("tcpdump is not installed")
    assert said.document["segments"] == []
    wrong = command("trace", "--private", "-f", "tcp prot 9", "--", "true")
    assert wrong.status == 2
    assert "pcap-filter" in wrong.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["trace"], "say what to trace"),
        (["trace", "--", "no-such-command"], "no command"),
        (["trace", "-p", "1073741824"], "there is no process"),
        (["trace", "-p", "1", "--private"], "no --private"),
        (["trace", "--private", "-i", "eth7", "--", "true"], "lo alone"),
        (["trace", "--for", "-1", "--", "true"], "positive"),
        (["trace", "--with", "'", "--private", "--", "true"], "--with"),
    ],
)
def test_what_cannot_be_carried_out_is_told(command: Command, words: list[str], why: str) -> None:
    said = command(*words)
    assert said.status == 2
    assert why in said.err


def test_without_the_capability_it_points_to_private(command: Command) -> None:
    if os.geteuid() == 0:
        pytest.skip("for an ordinary user")
    said = command("trace", "--", "true")
    assert said.status == 3
    assert "--private" in said.err


def test_a_capture_and_a_log_made_elsewhere_are_joined(command: Command, tmp_path: Path) -> None:
    """The run file's packets, and a log that plain strace made of the same program."""
    assert why_no_run() == ""
    log = tmp_path / "elsewhere.strace"
    program = ["strace", "-f", "-y", "-ttt", "-o", str(log), PYTHON, "-c", ECHO_ITSELF]
    whole = command(
        "trace", "--private", "-o", "whole.pcapng", "-q", "--", PYTHON, "-c", ECHO_ITSELF
    )
    assert whole.status == 0
    subprocess.run(program, check=True, cwd=tmp_path)
    # Recorded a moment apart: as if the clocks differed by that moment.
    packets = tmp_path / "packets.pcap"
    assert command("report", "whole.pcapng", "--format", "pcap", "-o", packets).status == 0
    said = command("analyze", packets, "--calls", log, "--json")
    assert said.status == 0, said.err
    document = said.document
    assert any("exact to 1000 ns only" in defect for defect in document["run"]["defects"])
    assert any("clock" in defect for defect in document["run"]["defects"])
    assert document["run"]["sources"]["calls"] == "strace"


def test_a_log_without_times_is_refused_with_what_to_do(command: Command, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("close(3) = 0\n")
    sample = Path(__file__).parent.parent / "captures" / "catalogue" / "connect-refused.pcapng"
    said = command("analyze", sample, "--calls", "log")
    assert said.status == 5
    assert "-ttt" in said.err


def test_help_has_examples_and_completion_knows_its_options(command: Command) -> None:
    assert "--with 'python3 -m http.server" in command("trace", "--help").out
    offered = command("_complete", "trace", "--p").out.split()
    assert offered == ["--private", "--payload", "--pid"]
    assert "lo" in command("_complete", "trace", "-i", "l").out.split()
