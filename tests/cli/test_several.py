"""Runs side by side: in whatever order they end, each is told what came of it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from observatory.cli.several import BROKEN, INTERRUPTED, Outcome, side_by_side
from observatory.errors import CaptureError


def outcomes(work: Callable[[int], Any], items: list[int]) -> dict[int, Outcome[int, Any]]:
    return {one.item: one for one in side_by_side(work, items, 2)}


def test_results_come_back_from_other_processes() -> None:
    found = outcomes(lambda item: (item * 2, os.getpid()), [1, 2, 3, 4, 5])
    assert [found[item].result[0] for item in range(1, 6)] == [2, 4, 6, 8, 10]
    assert os.getpid() not in {one.result[1] for one in found.values()}


def test_the_quick_overtake_the_slow() -> None:
    def work(item: int) -> None:
        time.sleep(0.5 if item == 1 else 0)

    assert [one.item for one in side_by_side(work, [1, 2, 3], 2)] == [2, 3, 1]


def test_no_more_than_the_limit_at_once(tmp_path: Path) -> None:
    def work(item: int) -> int:
        mark = tmp_path / str(item)
        mark.touch()
        time.sleep(0.05)
        at_once = len(list(tmp_path.iterdir()))
        mark.unlink()
        return at_once

    assert max(one.result for one in side_by_side(work, list(range(6)), 3)) <= 3


def test_what_goes_wrong_is_told_with_its_exit_status() -> None:
    def work(item: int) -> str:
        if item == 1:
            error = CaptureError("the interface is down")
            error.add_note("what was seen is in x.pcapng")
            raise error
        if item == 2:
            raise ZeroDivisionError("ours")
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if item == 4:
            raise KeyboardInterrupt
        return "fine"

    found = outcomes(work, [1, 2, 3, 4, 5])
    assert found[1].status == CaptureError.exit_status
    assert found[1].message == "the interface is down\nwhat was seen is in x.pcapng"
    assert found[2].status == BROKEN
    assert "ZeroDivisionError: ours" in found[2].message
    assert found[3].message == "its process was killed by signal 9"
    assert found[4].status == INTERRUPTED
    assert found[5].result == "fine"


def test_who_stops_early_interrupts_and_waits(tmp_path: Path) -> None:
    def work(item: int) -> None:
        if item == 1:
            return
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            time.sleep(0.1)
            (tmp_path / str(item)).touch()
            raise

    running = side_by_side(work, [1, 2, 3], 3)
    assert next(running).item == 1
    time.sleep(0.1)
    running.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
