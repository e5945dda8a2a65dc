"""Behaviours seen twice, by the journal and by strace: the same segments have the same causes, and
the same calls the same explanations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from observatory.scenarios.catalogue import catalogue
from tests.live.both_ways import ASKED, observe


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize(
    "name", [name for name, behaviour in catalogue().items() if not behaviour.takes_minutes]
)
def test_strace_tells_what_the_journal_tells(name: str, live: None, tmp_path: Path) -> None:
    both = observe(name, tmp_path)
    told = {one.call.name for one in both.journal.calls if one.call.id not in both.pairs.values()}
    # The program's own questions for names on what is no socket look like the journal's.
    unlike = {"detach"} | (ASKED if name == "getsockname-errors" else set())
    assert told <= unlike, "calls that strace does not have"
    assert not list(both.differences())
