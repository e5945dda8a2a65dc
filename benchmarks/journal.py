"""What journaling costs: the same calls on a plain and on an instrumented socket.

::

    python benchmarks/journal.py [--calls 20000] [--connections 4000] [--folder /tmp]

Prints, for a stream of small messages and for short connections, the time of each way and their
ratio. The rounds alternate, and the fastest of each is taken: what else the machine does only
ever adds.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from observatory.sources.instrumented import InstrumentedSocket
from observatory.sources.journal import Journal

ROUNDS = 5
Maker = Callable[[], socket.socket]


class Cost(NamedTuple):
    """Seconds by the wall clock, and of this process on a processor."""

    elapsed: float
    processor: float


class Watch:
    """Runs from its making."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def cost(self) -> Cost:
        """What has passed until now."""
        elapsed, processor = self._began
        return Cost(time.perf_counter() - elapsed, time.process_time() - processor)


@contextmanager
def forked(work: Callable[[], None]) -> Iterator[None]:
    """A child process that does ``work`` until it is done."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    yield
    os.waitpid(pid, 0)


def messages(make: Maker, count: int) -> Cost:
    """What it takes to make ``count`` sends and recvs of 100 bytes, each an answer's wait."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        def echo() -> None:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(100):
                connection.sendall(data)

        with forked(echo), make() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.connect(address)
            payload = bytes(100)
            watch = Watch()
            for _ in range(count):
                client.send(payload)
                client.recv(100)
            return watch.cost()


def sends(make: Maker, count: int) -> Cost:
    """What it takes to make ``count`` sends of 100 bytes that never wait for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        def swallow() -> None:
            connection, _ = listener.accept()
            while connection.recv(1 << 20):
                pass

        with forked(swallow), make() as client:
            client.connect(address)
            payload = bytes(100)
            watch = Watch()
            for _ in range(count):
                client.send(payload)
            return watch.cost()


def connections(make: Maker, count: int) -> Cost:
    """What it takes to make ``count`` short connections: socket, connect, send, recv, close."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        address = listener.getsockname()

        def answer() -> None:
            for _ in range(count):
                connection, _ = listener.accept()
                connection.sendall(connection.recv(100))
                connection.close()

        with forked(answer):
            watch = Watch()
            for _ in range(count):
                with make() as client:
                    client.connect(address)
                    client.send(b"x" * 100)
                    client.recv(100)
            return watch.cost()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=4_000)
    parser.add_argument("--folder", help="where the journal is written (a file system to compare)")
    options = parser.parse_args()
    works = (
        ("send alone", sends, options.calls, 1),
        ("send and recv, in turn", messages, options.calls // 2, 2),
        ("short connections", connections, options.connections, 5),
    )
    print(f"{'':24} {'plain':>9} {'journaled':>9} {'ratio':>6} {'processor time a call more':>27}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        journal = Journal(Path(folder), "benchmark", "")
        try:
            for title, work, count, calls in works:
                plain, journaled = fastest(work, count, journal)
                more = (journaled.processor - plain.processor) / (count * calls) * 1e6
                print(
                    f"{title:24} {plain.elapsed:8.3f}s {journaled.elapsed:8.3f}s"
                    f" {journaled.elapsed / plain.elapsed:6.2f} {more:24.1f} µs"
                )
        finally:
            journal.close()
    busy, processors = os.getloadavg()[0], os.cpu_count()
    print(f"load of the machine meanwhile: {busy:.1f} on {processors} processors")


def fastest(work: Callable[[Maker, int], Cost], count: int, journal: Journal) -> tuple[Cost, Cost]:
    """The least of some rounds, plain and journaled."""
    rounds = [
        (work(socket.socket, count), work(lambda: InstrumentedSocket(journal=journal), count))
        for _ in range(ROUNDS)
    ]
    plain, journaled = zip(*rounds, strict=True)
    return least(plain), least(journaled)


def least(costs: Sequence[Cost]) -> Cost:
    """The least of each."""
    return Cost(min(cost.elapsed for cost in costs), min(cost.processor for cost in costs))


if __name__ == "__main__":
    main()
