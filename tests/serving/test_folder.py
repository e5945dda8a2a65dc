"""A folder of run files: what is listed, what is read again, what is never handed out."""

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from observatory.pipeline import analyze, load
from observatory.serving.folder import Folder

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"


@pytest.fixture
def folder(tmp_path):
    shutil.copy(CATALOGUE / "connect-refused.pcapng", tmp_path)
    (tmp_path / "notes.txt").write_text("not a capture")
    (tmp_path / "bad.pcapng").write_bytes(b"no capture at all")
    (tmp_path / ".hidden.pcapng").write_bytes(b"")
    return tmp_path


def test_what_a_run_shows(folder):
    rows = {row["file"]: row for row in Folder(folder, _read).summaries()}
    assert rows.keys() == {"connect-refused.pcapng", "bad.pcapng"}
    run = rows["connect-refused.pcapng"]
    assert (run["scenario"], run["outcome"]) == ("connect-refused", "ECONNREFUSED")
    assert run["explained"]
    assert "bad.pcapng" in rows["bad.pcapng"]["problem"]


def _read(path):
    return analyze(load(path))


def test_a_file_is_read_again_only_when_it_changed(folder):
    read = []
    listing = Folder(folder, lambda path: read.append(path.name) or _read(path))
    listing.summaries()
    listing.summaries()
    assert sorted(read) == ["bad.pcapng", "connect-refused.pcapng"]
    os.utime(folder / "connect-refused.pcapng", ns=(1, 1))
    listing.summaries()
    assert read.count("connect-refused.pcapng") == 2
    (folder / "bad.pcapng").unlink()
    assert [row["file"] for row in listing.summaries()] == ["connect-refused.pcapng"]


@pytest.mark.parametrize("name", ["../secret", "notes.txt", ".hidden.pcapng", "", "/etc/passwd"])
def test_nothing_else_is_handed_out(folder, name):
    assert Folder(folder, _read).file(name) is None
