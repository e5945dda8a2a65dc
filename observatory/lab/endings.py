"""How the processes of a play end, and how it is told."""

from __future__ import annotations

import signal
import sys
import traceback
from pathlib import Path

from observatory.lab.board import Board
from observatory.sources.journal import Journal

FAILED = 70  # exit status of an actor whose part raised (EX_SOFTWARE)


def tell_failure(board: Board, role: str, failure: BaseException) -> None:
    """Say on the blackboard that ``role`` failed, where and why."""
    text = "".join(traceback.format_exception(failure))
    line = _last_line_of_play(failure)
    board.tell("failure", {"role": role, "line": line, "what": repr(failure), "text": text})


def note_end(journal: Journal, pid: int, code: int) -> None:
    """Journal the end of a process, from its exit code (negative: a signal)."""
    name = signal.Signals(-code).name if code < 0 else None
    journal.process_ended(pid, None if code < 0 else code, name)


def flush() -> None:
    """Unwritten output must neither be lost by _exit nor written twice by a fork."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _last_line_of_play(failure: BaseException) -> str:
    """``file:line`` of the innermost frame that is not the lab's own."""
    frames = [
        frame
        for frame in traceback.extract_tb(failure.__traceback__)
        if "/observatory/lab/" not in frame.filename
        and "/observatory/sources/" not in frame.filename
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
