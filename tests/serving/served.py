"""``observatory serve`` started for a test, and requests to it."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of ``folder``'s pages; Ctrl-C ends it, and it must end well."""
    command = [sys.executable, "-m", "observatory", "serve", str(folder)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=_take_interrupts,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().strip()
        assert address, process.stderr.read()
        try:
            _wait(address)
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        assert process.returncode == 0


def _take_interrupts() -> None:
    """Also where the tests were started in the background of a shell, which ignores them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait(address: str) -> None:
    """The address is printed a moment before it is listened at."""
    for _ in range(500):
        try:
            get(address)
        except urllib.error.URLError as error:
            assert isinstance(error.reason, ConnectionRefusedError)
            time.sleep(0.02)
        else:
            return


def get(address: str, **options) -> bytes:  # type: ignore[no-untyped-def]
    """What is answered to a request."""
    request = urllib.request.Request(address, **options)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: bytes = answer.read()
    return found
