"""The command as a person types it: another process, its stdout, stderr and exit status."""

import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from observatory import load
from tests.conftest import Command, environment

SHORT = "connect-refused"
ANOTHER = "connect-established"
# Blocks for seconds in the middle, long enough to be ended there.
LONG = "connect-timeout-full-backlog"


def start(folder: Path, *arguments: str, **changes: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, left running."""
    return subprocess.Popen(
        [sys.executable, "-m", "observatory", *arguments],
        cwd=folder,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_packets(path: Path, seconds: float = 20.0) -> None:
    """Until the growing run file holds a packet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_size and load(path).frames:
            return
        time.sleep(0.02)
    pytest.fail(f"no packet was in {path} after {seconds} s")


def on_a_terminal(folder: Path, *arguments: str, status: int = 0, **changes: str) -> str:
    """What the command shows on a terminal, stdout and stderr together."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "observatory", *arguments],
        cwd=folder,
        env=environment(**changes),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    # Reading fails when the last one who had the terminal's other end has closed it.
    with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
        while chunk := terminal.read(65536):
            shown += chunk
    assert process.wait() == status, shown
    return shown.decode()


def processes_named(text: str) -> list[int]:
    """Pids whose environment names ``text``: those that a test started, and what they forked."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                names = (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in names:
                found.append(int(entry.name))
    return found


def wait_for_no_process(mark: str, seconds: float = 10.0) -> None:
    """The private network lives as long as a process in it."""
    deadline = time.monotonic() + seconds
    while processes_named(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_named(mark) == []


# --- list, help, version -------------------------------------------------------------------------


def test_list_has_sections_and_a_line_for_each_behaviour(command: Command) -> None:
    said = command("list")
    assert said.status == 0
    lines = said.out.splitlines()
    assert "4.3" in [line.split()[0] for line in lines if line]
    assert any(line.split()[:1] == [SHORT] for line in lines)
    assert said.err == ""


def test_list_of_a_section_and_as_json(command: Command) -> None:
    said = command("list", "4.3", "--json")
    assert {entry["section"] for entry in said.document} == {"4.3"}
    entry = next(entry for entry in said.document if entry["name"] == SHORT)
    assert entry["title"] and entry["summary"]
    assert entry["refuses_host"] is None
    assert len(command("list", "4", "--json").document) > len(said.document)


def test_list_of_a_section_that_is_not_there_names_those_that_are(command: Command) -> None:
    said = command("list", "99")
    assert said.status == 2
    assert said.out == ""
    assert "4.3" in said.err


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["run", "--help"], ["list", "--json"]])
def test_nothing_heavy_is_loaded_for(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from observatory.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = ('scapy', 'pyroute2', 'pyshark', 'msgspec', 'rich', 'asyncio')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [["list"], ["--help"]])
def test_quick_to_answer(arguments: list[str]) -> None:
    """0.15 s is the budget: of processor time, since the tests beside this one keep it busy."""
    took = []
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "observatory", *arguments],
            env=environment(),
            capture_output=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.15


def test_help_has_examples_and_exit_statuses(command: Command) -> None:
    said = command("--help")
    assert said.status == 0
    assert "examples:" in said.out
    assert "exit status:" in said.out
    assert "130 interrupted" in said.out
    assert "examples:" in command("run", "--help").out


def test_version(command: Command) -> None:
    assert command("--version").out.startswith("observatory 0.")


# --- usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice"),
        (["run"], "run NAME"),
        (["run", SHORT, "--all"], "run NAME"),
        (["run", "connect-refuse"], "did you mean connect-refused"),
        (["run", SHORT, ANOTHER, "-o", "one.pcapng"], "folder"),
        (["run", SHORT, "--frob"], "--frob"),
        (["list", "--js"], "--js"),
        (["report", "x.pcapng", "--format", "pdf"], "invalid choice"),
    ],
)
def test_usage_errors_exit_2_and_say_what_is_right(
    command: Command, arguments: list[str], told: str
) -> None:
    said = command(*arguments)
    assert said.status == 2
    assert said.out == ""
    assert told in said.err


def test_a_behaviour_that_changes_settings_refuses_the_host(command: Command) -> None:
    said = command("run", "listen-abort-on-overflow", "--host")
    assert said.status == 2
    assert "tcp_abort_on_overflow" in said.err


# --- run -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
class TestRun:
    def test_a_run_prints_a_report_and_leaves_a_file(
        self, command: Command, tmp_path: Path
    ) -> None:
        said = command("run", SHORT)
        assert said.status == 0, said.err
        assert "ECONNREFUSED" in said.out
        path = tmp_path / "captures" / f"{SHORT}.pcapng"
        assert str(path.relative_to(tmp_path)) in said.err
        trace = load(path)
        assert trace.run.scenario == SHORT
        assert trace.frames and trace.calls and not trace.defects

    def test_no_file_is_overwritten(self, command: Command, tmp_path: Path) -> None:
        for _ in range(3):
            assert command("run", SHORT, "-q").status == 0
        names = sorted(path.name for path in (tmp_path / "captures").iterdir())
        assert names == [f"{SHORT}{number}.pcapng" for number in ("-2", "-3", "")]

    def test_output_names_a_folder(self, command: Command, tmp_path: Path) -> None:
        assert command("run", SHORT, "-q", "-o", "some/where").status == 0
        assert (tmp_path / "some" / "where" / f"{SHORT}.pcapng").exists()

    def test_output_names_a_file(self, command: Command, tmp_path: Path) -> None:
        said = command("run", SHORT, "-q", "-o", "here/mine.pcapng")
        assert said.out == "here/mine.pcapng\n"
        assert command("run", SHORT, "-q", "-o", "here/mine.pcapng").out == "here/mine-2.pcapng\n"
        assert (tmp_path / "here" / "mine.pcapng").exists()

    def test_json_is_one_document_and_analyze_says_the_same(self, command: Command) -> None:
        said = command("run", SHORT, "--json")
        assert said.status == 0
        assert said.document["schema"] == "observatory/1"
        assert said.document["run"]["scenario"] == SHORT
        again = command("analyze", f"captures/{SHORT}.pcapng", "--json")
        assert again.document == said.document

    def test_quiet_prints_the_name_alone(self, command: Command) -> None:
        said = command("run", SHORT, "--quiet")
        assert said.out == f"captures/{SHORT}.pcapng\n"
        assert said.err == ""

    def test_several_are_shown_in_the_order_asked(self, command: Command, tmp_path: Path) -> None:
        said = command("run", ANOTHER, SHORT, ANOTHER, "--json")
        assert said.status == 0, said.err
        documents = [json.loads(line) for line in said.out.splitlines()]
        assert [document["run"]["scenario"] for document in documents] == [ANOTHER, SHORT]
        assert "\r" not in said.err, "progress is for terminals"
        assert sorted(path.stem for path in (tmp_path / "captures").iterdir()) == [ANOTHER, SHORT]

    def test_colour_is_for_terminals(self, command: Command) -> None:
        assert "\x1b[" not in command("run", SHORT).out

    def test_on_a_terminal_there_is_colour_unless_refused(self, tmp_path: Path) -> None:
        coloured = on_a_terminal(tmp_path, "run", SHORT, TERM="xterm")
        assert "\x1b[" in coloured
        assert "\x1b[" not in on_a_terminal(tmp_path, "run", SHORT, TERM="xterm", NO_COLOR="1")
        assert "\x1b[" not in on_a_terminal(tmp_path, "run", SHORT, TERM="dumb")

    def test_on_a_terminal_several_show_their_progress(self, tmp_path: Path) -> None:
        shown = on_a_terminal(tmp_path, "run", SHORT, ANOTHER)
        assert "[0/2]" in shown
        assert "[2/2]" in shown

    def test_on_a_terminal_no_binary_is_written(self, tmp_path: Path, command: Command) -> None:
        command("run", SHORT, "-q")
        said = on_a_terminal(
            tmp_path, "report", f"captures/{SHORT}.pcapng", "--format", "pcapng", status=2
        )
        assert "-o" in said

    def test_a_locale_without_utf8_gets_ascii(self, command: Command) -> None:
        said = command("run", SHORT, env={"LC_ALL": "C"})
        assert said.status == 0
        assert said.out.isascii()

    def test_a_place_that_cannot_be_written_to(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        said = command("run", SHORT, "-o", "file/below")
        assert said.status == 8
        assert "file" in said.err

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as if through sudo")
    def test_files_belong_to_who_typed_sudo(self, command: Command, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        said = command(
            "run", SHORT, "-o", "new/folder", env={"SUDO_UID": "65534", "SUDO_GID": "65534"}
        )
        assert said.status == 0, said.err
        for path in (
            tmp_path / "new",
            tmp_path / "new/folder",
            tmp_path / f"new/folder/{SHORT}.pcapng",
        ):
            assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534), path

    @pytest.mark.skipif(os.geteuid() != 0, reason="capturing on the host needs root")
    def test_the_host_gives_only_the_run_s_own_packets(
        self, command: Command, tmp_path: Path
    ) -> None:
        said = command("run", ANOTHER, "--host", "--json")
        assert said.status == 0, said.err
        ports = {
            call["local"].rpartition(":")[2] for call in said.document["calls"] if call["local"]
        }
        for segment in said.document["segments"]:
            ends = {segment[end].rpartition(":")[2] for end in ("src", "dst")}
            assert ends & ports

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may capture on the host")
    def test_the_host_needs_permission(self, command: Command, tmp_path: Path) -> None:
        said = command("run", SHORT, "--host")
        assert said.status == 3
        assert "sudo" in said.err
        assert not (tmp_path / "captures").exists()

    def test_an_interface_that_is_not_there(self, command: Command, tmp_path: Path) -> None:
        said = command("run", SHORT, "-i", "none7")
        assert said.status == 2
        assert "--host" in said.err
        said = command("run", SHORT, "-i", "none7", "--host")
        assert said.status == (4 if os.geteuid() == 0 else 3)
        assert said.err
        assert not (tmp_path / "captures").exists()


@pytest.mark.usefixtures("live")
class TestEndedEarly:
    def test_killed_leaves_a_readable_file_and_no_process(self, tmp_path: Path) -> None:
        mark = f"OBSERVATORY_TEST={tmp_path}"
        path = tmp_path / "captures" / f"{LONG}.pcapng"
        with start(tmp_path, "run", LONG, OBSERVATORY_TEST=str(tmp_path)) as running:
            wait_for_packets(path)
            assert len(processes_named(mark)) > 1
            running.kill()
        trace = load(path)
        assert trace.frames and trace.calls
        assert trace.defects, "that it is unfinished must be said"
        wait_for_no_process(mark)

    def test_ctrl_c_keeps_what_was_observed(self, tmp_path: Path, command: Command) -> None:
        path = tmp_path / "captures" / f"{LONG}.pcapng"
        with start(tmp_path, "run", LONG) as running:
            wait_for_packets(path)
            os.killpg(running.pid, signal.SIGINT)
            _, err = running.communicate(timeout=20)
        assert running.returncode == 130
        assert "Traceback" not in err
        assert str(path.relative_to(tmp_path)) in err
        trace = load(path)
        assert any("interrupted" in defect for defect in trace.defects)
        assert any(call.returned_ns is None for call in trace.calls), "a call was blocked"
        assert command("analyze", path).status == 0

    def test_ctrl_c_ends_several(self, tmp_path: Path) -> None:
        path = tmp_path / "captures" / f"{LONG}.pcapng"
        with start(tmp_path, "run", LONG, SHORT) as running:
            wait_for_packets(path)
            os.killpg(running.pid, signal.SIGINT)
            _, err = running.communicate(timeout=20)
        assert running.returncode == 130
        assert "Traceback" not in err
        assert any("interrupted" in defect for defect in load(path).defects)

    def test_killed_among_several_keeps_what_was_observed(self, tmp_path: Path) -> None:
        mark = f"OBSERVATORY_TEST={tmp_path}"
        path = tmp_path / "captures" / f"{LONG}.pcapng"
        with start(tmp_path, "run", LONG, SHORT, OBSERVATORY_TEST=str(tmp_path)) as running:
            wait_for_packets(path)
            running.kill()
        wait_for_no_process(mark)
        assert any("interrupted" in defect for defect in load(path).defects)

    def test_a_full_disk_is_said_and_what_fits_is_kept(self, tmp_path: Path) -> None:
        """A file system of 16 KiB, in a mount namespace of its own."""
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        small = tmp_path / "small"
        small.mkdir()
        script = (
            'mount -t tmpfs -o size=16k small "$1" && cd "$1" || exit 77\n'
            '"$2" -m observatory run fork-concurrent-server -o .\n'
            "status=$?\n"
            '[ -e fork-concurrent-server.pcapng ] && cp fork-concurrent-server.pcapng "$1.pcapng"\n'
            "ls -A; exit $status"
        )
        done = subprocess.run(
            [*unshare, "sh", "-c", script, "sh", str(small), sys.executable],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip(f"no mount namespace: {done.stderr.strip()}")
        assert done.returncode == 8, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert ".part" not in done.stdout
        kept = tmp_path / "small.pcapng"
        if kept.exists():
            load(kept)


# --- analyze, report, check ----------------------------------------------------------------------


@pytest.fixture
def run_file(command: Command, live: None, tmp_path: Path) -> Path:
    """A fresh run file."""
    said = command("run", ANOTHER, "-q")
    assert said.status == 0, said.err
    return tmp_path / said.out.strip()


def test_report_has_every_format(command: Command, run_file: Path) -> None:
    text = command("report", run_file)
    assert text.status == 0
    assert text.out == command("analyze", run_file).out
    assert command("report", run_file, "--json").document == (
        command("report", run_file, "--format", "json").document
    )
    assert command("report", run_file, "--format", "markdown").out.startswith("#")


def test_report_writes_capture_files(command: Command, run_file: Path, tmp_path: Path) -> None:
    said = command("report", run_file, "--format", "pcapng", "-o", "again.pcapng")
    assert said.status == 0
    assert said.out == ""
    assert load(tmp_path / "again.pcapng") == load(run_file)
    said = command("report", run_file, "--format", "pcap", "-o", "plain.pcap")
    assert "left out" in said.err
    assert "calls" in said.err
    plain, whole = load(tmp_path / "plain.pcap"), load(run_file)
    assert [frame.data for frame in plain.frames] == [frame.data for frame in whole.frames]
    assert [frame.time_ns for frame in plain.frames] == [frame.time_ns for frame in whole.frames]
    assert plain.calls == ()


def test_a_file_is_of_the_format_that_its_name_ends_with(
    command: Command, run_file: Path, tmp_path: Path
) -> None:
    for name, start in {"a.html": "<!doctype html>", "a.md": "#", "a.json": "{"}.items():
        assert command("report", run_file, "-o", name).status == 0
        assert (tmp_path / name).read_text("utf-8").startswith(start)


def test_a_page_speaks_the_language_that_is_asked_for(
    command: Command, run_file: Path, tmp_path: Path
) -> None:
    assert command("report", run_file, "-o", "a.html", "--lang", "zh").status == 0
    assert '<html lang="zh"' in (tmp_path / "a.html").read_text("utf-8")
    refused = command("report", run_file, "-o", "b.html", "--lang", "xx")
    assert refused.status == 2
    assert "use one of en, zh" in refused.err
    assert not (tmp_path / "b.html").exists()


def test_report_does_not_overwrite(command: Command, run_file: Path, tmp_path: Path) -> None:
    before = run_file.read_bytes()
    assert command("report", run_file, "--format", "pcap", "-o", run_file).status == 0
    assert run_file.read_bytes() == before
    assert (run_file.parent / f"{ANOTHER}-2.pcapng").exists()


def test_a_capture_without_calls_is_explained_from_the_wire(
    command: Command, run_file: Path
) -> None:
    command("report", run_file, "--format", "pcap", "-o", "plain.pcap")
    said = command("analyze", "plain.pcap", "--json")
    assert said.status == 0, said.err
    assert said.document["calls"] == []
    assert len(said.document["connections"]) == 1


@pytest.mark.usefixtures("tshark")
def test_check_agrees(command: Command, run_file: Path) -> None:
    said = command("check", run_file)
    assert said.status == 0, said.out + said.err
    assert "agree" in said.out
    said = command("check", run_file, "--json")
    assert said.status == 0


@pytest.mark.parametrize("verb", ["analyze", "report", "check"])
def test_a_bad_file_exits_5(command: Command, tmp_path: Path, verb: str) -> None:
    (tmp_path / "notes.txt").write_text("no capture at all")
    for name in ("notes.txt", "missing.pcapng", "."):
        said = command(verb, name)
        assert said.status == 5, said.err
        assert said.out == ""
        assert name in said.err
        assert "Traceback" not in said.err


def test_check_without_tshark_says_how_to_get_it(command: Command, run_file: Path) -> None:
    said = command("check", run_file, env={"PATH": "/nowhere"})
    assert said.status == 7
    assert "apt" in said.err


def test_a_closed_pipe_is_no_error_to_talk_about(run_file: Path) -> None:
    script = '"$0" -m observatory analyze "$1" --json | true; echo ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, str(run_file)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")  # 0 if all fitted into the pipe before it closed


# --- doctor, completion --------------------------------------------------------------------------


def test_doctor_exits_0_where_runs_are_possible(command: Command) -> None:
    said = command("doctor", "--json")
    assert said.document["can_run"] == (said.status == 0)
    text = command("doctor")
    assert text.status == said.status
    assert "tshark" in text.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(command: Command, shell: str) -> None:
    said = command("completion", shell)
    assert said.status == 0
    assert "_complete" in said.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ru"], ["run"]),
        (["run", "connect-refus"], [SHORT]),
        (["run", SHORT, "--sec"], ["--section"]),
        (["run", "--section", "4.3"], ["4.3"]),
        (["report", "x.pcapng", "--format", "mark"], ["markdown"]),
        (["completion", "z"], ["zsh"]),
        (["analyze", "x"], []),
    ],
)
def test_completion_offers(command: Command, words: list[str], expected: list[str]) -> None:
    assert command("_complete", *words).out.split() == expected


def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "observatory"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m observatory "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(observatory completion bash)"; COMP_WORDS=(observatory run connect-refu); '
        'COMP_CWORD=2; _observatory; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == SHORT
