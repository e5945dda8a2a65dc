"""While a command runs: what the user does to end it, and how long it may take."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Iterator

from observatory.lab.watch import Watch

AWAITED = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
SENT_BY_THE_KERNEL = 0x80  # si_code SI_KERNEL: the terminal's, which the command has got too
GRACE_S = 5.0
"""How long the command has to end by itself after Ctrl-C."""
TICK_S = 0.05
RESTING = 50
"""How many times as long as a reading took the next one is put off: reading takes what the command
might need."""


class HeldSignals:
    """While the command runs, what is sent to end us is asked for and does not strike.

    A context manager; ``release`` ends it early.
    """

    def __init__(self) -> None:
        self._numbers = {n for n in AWAITED if signal.getsignal(n) is not signal.SIG_IGN}
        self._before: set[signal.Signals | int] | None = None

    def __enter__(self) -> HeldSignals:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        if self._before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
            self._before = None

    def next(self) -> signal.struct_siginfo | None:
        """A signal that has come since the last time."""
        return signal.sigtimedwait(self._numbers, 0) if self._numbers else None


def attend(
    watch: Watch,
    append: Callable[[], None],
    held: HeldSignals,
    seconds: float | None,
    attached: bool,
) -> Iterator[str]:
    """Until the command has ended: pass on signals, end it when the time is up, and ``append``
    what is observed to the run file. What was done to it, in sentences."""
    began, end_by, append_at, asked = 0.0, 0.0, 0.0, 0
    while not select.select([watch], [], [], TICK_S)[0]:
        now = time.monotonic()
        if not began and watch.started:
            began = now
        if seconds is not None and began and not asked and now > began + seconds:
            asked = 1
            watch.end()
            what = "the process goes on" if attached else "the command was sent SIGTERM"
            yield f"the observation ended after {seconds:g} s (--for): {what}"
        if (sent := held.next()) is not None:
            asked += 1
            name = signal.Signals(sent.si_signo).name
            if asked > 1:
                watch.kill()
                yield f"the command was killed, by a second {name}"
            elif attached:
                watch.end()
                yield f"{name} ended the observation; the process goes on"
            else:
                if sent.si_code != SENT_BY_THE_KERNEL:
                    watch.forward(sent.si_signo)
                end_by = now + GRACE_S
                yield f"{name} ended the observation; the command was sent it too"
        if end_by and now > end_by:
            end_by = 0.0
            watch.end()
            yield f"the command went on {GRACE_S:g} s longer, and was sent SIGTERM"
        if now > append_at:
            append()
            # A log that has become long is read again less often.
            append_at = time.monotonic() + RESTING * (time.monotonic() - now)
