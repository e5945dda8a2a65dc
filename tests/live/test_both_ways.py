"""Behaviours seen twice, by the journal and by strace: the same segments have the same causes, and
the same calls the same explanations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.live.both_ways import observe

REPRESENTATIVE = (
    "connect-established",
    "connect-refused",
    "connect-retry-after-refused",
    "connect-nonblocking",
    "connect-v4-mapped",
    "connect-port-exhaustion",
    "connect-dissolve",
    "listen-close-pending",
    "listen-backlog-overflow",
    "accept-aborted",
    "fork-exec",
    "fork-prefork",
    "fork-shared-descriptor",
    "close-unread-data",
    "close-dup",
    "kill-closes",
    "shutdown-write",
    "udp-iterative-server",
    "recv-timeout",
    "send-nagle",
    "fast-open",
)


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_strace_tells_what_the_journal_tells(name: str, live: None, tmp_path: Path) -> None:
    both = observe(name, tmp_path)
    told = {one.call.name for one in both.journal.calls if one.call.id not in both.pairs.values()}
    assert told <= {"detach"}, "calls that strace does not have"
    assert not list(both.differences())
