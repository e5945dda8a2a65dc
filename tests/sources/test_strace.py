"""How strace is asked, and its logs are found and merged."""

import os
import shutil
from pathlib import Path

import pytest

from observatory.errors import BadFile, MissingTool
from observatory.sources import strace


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def line(pid: int, stamp: str, text: str) -> str:
    return f"{pid} {stamp} {text}\n"


LISTENING = (
    line(7, "1700000000.100000000", "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]>")
    + line(7, "1700000000.100001000", "listen(3<socket:[1]>, 5) = 0")
    + line(7, "1700000000.100002000", "close(3<socket:[1]>) = 0")
)


def test_the_command_stands_behind_the_options() -> None:
    words = strace.command_line(Path("log"), command=["ls", "-f"])
    assert words[0] == "/usr/bin/strace"
    assert words[-3:] == ["--", "ls", "-f"]
    assert {"-f", "-y", "--seccomp-bpf"} <= set(words)
    assert "-yy" not in words
    assert "-k" not in words


def test_attaching_has_no_command_and_no_seccomp() -> None:
    words = strace.command_line(Path("log"), attach=[4, 5])
    assert words[-4:] == ["-p", "4", "-p", "5"]
    assert "--seccomp-bpf" not in words


def test_more_is_asked_for_only_when_it_is_wanted() -> None:
    options = strace.Options(payload=500, stack=True, user="nobody")
    words = strace.command_line(Path("log"), options, command=["ls"])
    assert words[words.index("-s") + 1] == "500"
    assert words[words.index("-u") + 1] == "nobody"
    assert "-k" in words


def test_without_strace_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingTool, match="apt-get install strace"):
        strace.program()


@pytest.mark.parametrize(("version", "old"), [("4.26", True), ("6.1", False), ("6.10", False)])
def test_an_old_strace_is_told(tmp_path: Path, version: str, old: bool) -> None:
    program = tmp_path / "strace"
    program.write_text(f"#!/bin/sh\necho strace -- version {version}\n")
    program.chmod(0o755)
    assert (strace.check_version(str(program)) is not None) is old


def test_a_helper_listens_when_listen_has_returned(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert not strace.listens(log)
    log.write_text(LISTENING.partition("1700000000.100001000")[0])
    assert not strace.listens(log)
    log.write_text(LISTENING)
    assert strace.listens(log)


def test_logs_are_read_in_order_of_time_and_whole_lines_only(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(LISTENING)
    early = line(
        8, "1700000000.050000000", "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4<socket:[2]>"
    )
    two.write_text(early + "8 1700000000.2000")
    log = strace.read_logs([one, two, tmp_path / "not yet"])
    assert [call.pid for call in log.calls] == [8, 7, 7, 7]
    assert log.unread == ()


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read"):
        strace.read_text(tmp_path / "none")
    (tmp_path / "log").write_bytes(b"\xff\nclose(3) = 0")
    assert strace.read_text(tmp_path / "log") == ["\\xff", "close(3) = 0"]


def test_threads_of_a_process() -> None:
    assert strace.threads_of([os.getpid()])[os.getpid()] == os.getpid()
    assert strace.threads_of([1 << 30]) == {}
