"""Several runs side by side, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Generic, NoReturn, TypeVar

from observatory.cli.terminal import with_notes
from observatory.errors import ObservatoryError

Item = TypeVar("Item")
Result = TypeVar("Result")

INTERRUPTED = 130
BROKEN = 70  # EX_SOFTWARE of sysexits.h: an error of ours, its traceback in the message


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """What came of one item: a result, or the message and exit status of what went wrong."""

    item: Item
    result: Result | None
    message: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class _Worker(Generic[Item]):
    item: Item
    pid: int
    pipe: IO[bytes]


def side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], limit: int
) -> Iterator[Outcome[Item, Result]]:
    """``work(item)`` for each, at most ``limit`` at once, in the order in which they finish.

    Forks, so what the caller has imported is not imported again. Results are pickled. When the
    caller stops early (an interrupt), each worker is interrupted and waited for, so that what it
    has observed is in its file.
    """
    waiting = list(reversed(items))
    with selectors.DefaultSelector() as selector:
        running: dict[int, _Worker[Item]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    worker = _start(work, waiting.pop())
                    running[worker.pid] = worker
                    selector.register(worker.pipe, selectors.EVENT_READ, worker)
                for key, _ in selector.select():
                    finished: _Worker[Item] = key.data
                    selector.unregister(finished.pipe)
                    outcome: Outcome[Item, Result] = _finish(finished)
                    del running[finished.pid]
                    yield outcome
        finally:
            _interrupt(list(running.values()))


def runs_side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], limit: int, kernel: bool = True
) -> Iterator[Outcome[Item, Result]]:
    """The same for runs: what each of them needs is loaded, and with ``kernel`` opened, once."""
    from observatory.pipeline import kernel_for_several, preload

    preload()
    with kernel_for_several(limit if kernel else 0):
        yield from side_by_side(work, items, limit)


def _start(work: Callable[[Item], Result], item: Item) -> _Worker[Item]:
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        # Ctrl-C then reaches the worker once, from us, and not also from the terminal.
        os.setpgid(0, 0)
        _end_with(parent)
        _work(work, item, writing)
    os.close(writing)
    return _Worker(item, pid, os.fdopen(reading, "rb"))


def _end_with(parent: int) -> None:
    """Be interrupted when the parent is killed, and not go on unseen."""
    from observatory.lab import kernel

    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        os._exit(0)


def _work(work: Callable[[Item], Result], item: Item, writing: int) -> NoReturn:
    try:
        outcome: Outcome[Item, Result] = Outcome(item, work(item))
    except ObservatoryError as error:
        outcome = Outcome(item, None, with_notes(str(error), error), error.exit_status)
    except KeyboardInterrupt as interrupt:
        outcome = Outcome(item, None, with_notes("interrupted", interrupt), INTERRUPTED)
    except BaseException:
        outcome = Outcome(item, None, traceback.format_exc(), BROKEN)
    with contextlib.suppress(OSError), os.fdopen(writing, "wb") as pipe:
        pickle.dump(outcome, pipe)
    os._exit(0)


def _finish(worker: _Worker[Item]) -> Outcome[Item, Result]:
    with worker.pipe:
        data = worker.pipe.read()
    _, status = os.waitpid(worker.pid, 0)
    if not data:
        ended = (
            f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended early"
        )
        return Outcome(worker.item, None, f"its process was {ended}", BROKEN)
    outcome: Outcome[Item, Result] = pickle.loads(data)
    return outcome


def _interrupt(workers: Sequence[_Worker[Item]]) -> None:
    for worker in workers:
        os.kill(worker.pid, signal.SIGINT)
    for worker in workers:
        with worker.pipe:
            worker.pipe.read()
        os.waitpid(worker.pid, 0)
