"""Files on disk: never written over, never half written, readable after a kill or a full disk."""

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from observatory.codec.runfile import read_capture, write_run
from observatory.errors import BadFile, WriteFailed
from observatory.model import Trace
from observatory.sources.files import (
    UNFINISHED,
    RunWriter,
    load,
    make_folder,
    save,
    sudo_owner,
    unused_path,
)
from tests.packets import refused_connect

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def names(folder):
    return [path.name for path in folder.iterdir()]


def known_before(trace):
    return Trace(trace.run, trace.interfaces, trace.processes)


def test_what_is_saved_loads(tmp_path):
    trace = refused_connect()
    save(tmp_path / "a run.pcapng", write_run(trace))
    assert load(tmp_path / "a run.pcapng") == trace
    assert names(tmp_path) == ["a run.pcapng"]


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x0a\x0d\x0d\x0a"])
def test_what_is_no_capture_is_named(tmp_path, data):
    path = tmp_path / "x.pcap"
    path.write_bytes(data)
    with pytest.raises(BadFile, match=r"x\.pcap cannot be read: it "):
        load(path)


def test_a_directory_and_nothing(tmp_path):
    with pytest.raises(BadFile, match="is a directory"):
        load(tmp_path)
    with pytest.raises(BadFile, match="does not exist"):
        load(tmp_path / "none.pcapng")
    with pytest.raises(BadFile, match="cannot be read: Not a directory"):
        (tmp_path / "file").touch()
        load(tmp_path / "file" / "none.pcapng")


@as_user
def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "x.pcap"
    path.touch(0)
    with pytest.raises(BadFile, match="may not be read"):
        load(path)


def test_a_pipe_is_read_to_its_end(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    trace = refused_connect()
    writer = threading.Thread(target=save, args=(path, write_run(trace)))
    writer.start()
    assert load(path) == trace
    writer.join()
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_taken_name_gets_a_number(tmp_path):
    path = tmp_path / "run.pcapng"
    found = [unused_path(path) for _ in range(3)]
    assert [one.name for one in found] == ["run.pcapng", "run-2.pcapng", "run-3.pcapng"]
    assert all(one.stat().st_size == 0 for one in found)


def test_nobody_is_given_the_same_name(tmp_path):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(unused_path(tmp_path / "run.pcapng")))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 20


def test_a_place_that_is_not_there(tmp_path):
    with pytest.raises(WriteFailed, match="make the folder first"):
        unused_path(tmp_path / "none" / "run.pcapng")
    with pytest.raises(WriteFailed, match="make the folder first"):
        save(tmp_path / "none" / "run.pcapng", [b"x"])
    with pytest.raises(WriteFailed, match="make the folder first"):
        RunWriter(tmp_path / "none" / "run.pcapng", Trace())


def test_folders_are_made(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(WriteFailed, match="is not a folder"):
        make_folder(tmp_path / "file")
    with pytest.raises(WriteFailed):
        make_folder(tmp_path / "file" / "c")


def test_a_failure_while_saving_leaves_what_was_there(tmp_path):
    def chunks():
        yield b"half"
        raise OSError(28, "No space left on device")

    path = tmp_path / "run.pcapng"
    path.write_bytes(b"before")
    with pytest.raises(WriteFailed, match=r"No space left on device; free some space"):
        save(path, chunks())
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["run.pcapng"]


def test_sudo_names_the_owner(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert sudo_owner({"SUDO_UID": "1000", "SUDO_GID": "100"}) == (1000, 100)
    assert sudo_owner({}) is None
    assert sudo_owner({"SUDO_UID": "x", "SUDO_GID": "100"}) is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert sudo_owner({"SUDO_UID": "1000", "SUDO_GID": "100"}) is None


@as_root
def test_files_and_folders_belong_to_the_owner(tmp_path):
    owner = (12345, 12346)
    make_folder(tmp_path / "captures", owner)
    path = unused_path(tmp_path / "captures" / "run.pcapng", owner)
    with RunWriter(path, Trace(), owner) as writer:
        writer.finish(write_run(Trace()))
    for made in (path, path.parent):
        assert (made.stat().st_uid, made.stat().st_gid) == owner


def test_a_growing_run_can_be_read_at_any_time(tmp_path):
    trace = refused_connect()
    path = tmp_path / "run.pcapng"
    with RunWriter(path, known_before(trace)) as writer:
        assert load(path).defects[0] == UNFINISHED
        writer.frames(trace.frames[:2])
        writer.calls([replace(trace.calls[1], returned_ns=None, result=None, errno=None)])
        assert not load(path).calls[0].failed
        writer.calls(reversed(trace.calls))
        assert load(path).segments == trace.segments[:2]
        assert load(path).calls == trace.calls
        writer.frames(trace.frames[2:])
        writer.kernel(trace.kernel)
        writer.statistics(trace.interfaces, trace.frames[-1].time_ns)
        grown = load(path)
        assert grown.segments == trace.segments
        assert grown.kernel == trace.kernel
        assert grown.dropped == 0
        writer.finish(write_run(trace, {1: ("a comment",)}))
    assert load(path) == trace
    assert names(tmp_path) == ["run.pcapng"]


KILLED = """
import os, signal, sys
from pathlib import Path
from observatory.sources.files import RunWriter
from tests.packets import refused_connect
writer = RunWriter(Path(sys.argv[1]), refused_connect())
writer.frames(refused_connect().frames)
writer.calls(refused_connect().calls)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_what_was_observed(tmp_path):
    path = tmp_path / "run.pcapng"
    done = subprocess.run([sys.executable, "-c", KILLED, path], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    trace = load(path)
    assert trace.segments == refused_connect().segments
    assert trace.calls == refused_connect().calls
    assert UNFINISHED in trace.defects


@pytest.fixture
def small_disk():
    """No file of this process may become longer than the limit that the test sets."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda length: resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_keeps_whole_blocks_and_says_so(tmp_path, small_disk):
    trace = refused_connect()
    path = tmp_path / "run.pcapng"
    with RunWriter(path, known_before(trace)) as writer:
        writer.frames(trace.frames)
        written = path.stat().st_size
        small_disk(written + 100)  # the next block begins to fit
        writer.calls(trace.calls)
        writer.calls(trace.calls)
        with pytest.raises(WriteFailed, match="holds the packets and calls") as refusal:
            writer.finish(write_run(trace))
    assert "name another place with -o" in str(refusal.value)
    assert path.stat().st_size == written
    kept = read_capture(path.read_bytes())
    assert kept.segments == trace.segments
    assert names(tmp_path) == ["run.pcapng"]


def test_a_disk_that_was_full_before_leaves_no_empty_file(tmp_path, small_disk):
    path = unused_path(tmp_path / "run.pcapng")
    small_disk(10)
    with (
        RunWriter(path, Trace()) as writer,
        pytest.raises(WriteFailed, match="nothing of the run"),
    ):
        writer.finish(write_run(refused_connect()))
    assert names(tmp_path) == []


FULL = """
import sys
from pathlib import Path
from observatory.codec.runfile import write_run
from observatory.errors import WriteFailed
from observatory.sources.files import RunWriter
from tests.packets import refused_connect
trace = refused_connect()
with RunWriter(Path(sys.argv[1]) / "run.pcapng", trace) as writer:
    for _ in range(100):
        writer.frames(trace.frames)
    try:
        writer.finish(write_run(trace))
    except WriteFailed as refusal:
        print(refusal)
sys.stdout.flush()
sys.stdout.buffer.write((Path(sys.argv[1]) / "run.pcapng").read_bytes())
"""


def test_a_full_file_system(tmp_path):
    mounted = 'mount -t tmpfs -o size=16k none "$2" && exec "$0" -c "$1" "$2"'
    command = ["unshare", "-Urm", "sh", "-c", mounted, sys.executable, FULL, str(tmp_path)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode in (1, 32) and b"Traceback" not in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.decode()}")
    message, _, data = done.stdout.partition(b"\n")
    assert b"No space left on device; free some space" in message
    assert b"observatory analyze reads it" in message
    kept = read_capture(data)
    assert len(kept.frames) > 0
    assert UNFINISHED in kept.defects
