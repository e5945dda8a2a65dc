"""Real processes converse at random; what is concluded is held against the marks on their bytes.

The seeds are fixed, the kernel is not: each run is another conversation. ``LIVE_SEEDS=500`` plays
as many more.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from observatory import pipeline
from observatory.lab.behaviour import Behaviour
from observatory.scenarios import catalogue
from tests.live.conversations import Notes, Play, marked
from tests.live.truth import lies

pytestmark = pytest.mark.skipif(not shutil.which("nft"), reason="nft (nftables) is not installed")

SEEDS = range(int(os.environ.get("LIVE_SEEDS", "12")))


@pytest.fixture
def notes() -> Iterator[Notes]:
    found = Notes()
    yield found
    found.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_conversation_is_told_as_it_was(
    seed: int, notes: Notes, live: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = Play(seed, notes)
    one = Behaviour("random", "0", f"seed {seed}", "Anything goes.", play, time_limit=20.0)
    monkeypatch.setattr(catalogue, "find", {"random": one}.__getitem__)
    path = tmp_path / f"{seed}.pcapng"
    analysis = pipeline.observe("random", path=path).analysis
    found = lies(analysis, notes.read())
    assert not found, "\n".join([f"seed {seed}, observed in {path}:", *found])


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_tshark_sees_the_same_packets(
    seed: int,
    notes: Notes,
    live: None,
    tshark: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = Play(seed, notes)
    one = Behaviour("random", "0", f"seed {seed}", "Anything goes.", play, time_limit=20.0)
    monkeypatch.setattr(catalogue, "find", {"random": one}.__getitem__)
    path = tmp_path / f"{seed}.pcapng"
    pipeline.observe("random", path=path)
    assert pipeline.check(path).disagreements == ()


def test_marks_tell_calls_apart() -> None:
    assert marked("client", 0, 8) != marked("client", 1, 8) != marked("server", 1, 8)
    assert marked("client", 0, 100).startswith(marked("client", 0, 8))
