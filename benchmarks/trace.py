"""What ``observatory trace`` costs the program it watches, beside bare strace in the same run.

    python benchmarks/trace.py [--connections 3000] [--repeats 3]

A program opens many short connections to itself and tells how long that took. It is run bare,
under ``strace`` with the same options and calls, and under ``observatory trace --private``; the
best of several turns each. What the observatory does before the program starts and after it has
ended is not the program's time, and is told apart. Exit status 1 if the observatory costs more
than 1.1 times what strace does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from observatory.sources.strace import command_line

PROGRAM = """
import socket, sys, time
count = int(sys.argv[1])
began = time.perf_counter()
with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
    for _ in range(count):
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        client.sendall(b"request")
        server.recv(100)
        server.sendall(b"reply")
        client.recv(100)
        client.close()
        server.close()
print(time.perf_counter() - began)
"""
LIMIT = 1.1


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of the program's own, and of the whole command."""

    program: float
    whole: float


def turn(words: list[str], folder: Path) -> Turn:
    began = time.perf_counter()
    said = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - began
    if said.returncode:
        sys.exit(f"{' '.join(words[:3])} … ended with status {said.returncode}: {said.stderr}")
    return Turn(float(said.stdout), whole)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--connections", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parsed = parser.parse_args()
    # Under pyenv and the like `python` is a shell script, whose calls are not what is measured.
    program = [os.path.realpath(sys.executable), "-c", PROGRAM, str(parsed.connections)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        observatory = [sys.executable, "-m", "observatory", "trace", "--private", "-q", "--"]
        ways = {
            "bare": program,
            "strace": command_line(folder / "log", command=program),
            "observatory trace": [*observatory, *program],
        }
        best: dict[str, Turn] = {}
        for _ in range(parsed.repeats):  # in turns, so that a busy moment hits all alike
            for way, words in ways.items():
                found = turn(words, folder)
                if way not in best or found.program < best[way].program:
                    best[way] = found
    bare, strace = best["bare"].program, best["strace"].program
    print(f"{parsed.connections} connections, best of {parsed.repeats}")
    for way, found in best.items():
        rest = found.whole - found.program
        print(
            f"{way:18} {found.program:7.3f} s  {found.program / bare:5.2f} x bare  "
            f"{found.program / strace:5.2f} x strace   {rest:6.3f} s before and after"
        )
    ratio = best["observatory trace"].program / strace
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
