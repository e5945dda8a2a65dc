"""What the relay costs: the same packets over a plain link and over one that a relay carries.

::

    python benchmarks/relay.py [--rounds 2000] [--packets 20000]

Prints, for a plain link, for a relay that only hands on, and for one with a fault in force, the
round trip of a datagram (median and slowest in a hundred), how many datagrams a second arrive when
they are sent as fast as possible in bursts that fit the buffers, and what TCP carries in a second.
"""

from __future__ import annotations

import argparse
import select
import socket
import statistics
import time
from collections.abc import Sequence

from observatory.lab import force, namespace
from observatory.lab.faults import Fault, Lose, Relayed
from observatory.lab.match import FIN
from observatory.lab.network import Network, build
from observatory.lab.topology import PAIR

LINK = ("client", "server")
PORT = 7007
BURST = 50
WAYS: Sequence[tuple[str, Sequence[Fault]]] = (
    ("plain link", ()),
    ("relay", (Relayed(LINK),)),
    ("relay, FINs lost", (Lose(LINK, match=FIN),)),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--packets", type=int, default=20000)
    asked = parser.parse_args()
    namespace.enter_private_network()
    print(f"{'':18}{'round trip':>12}{'1 in 100':>12}{'datagrams/s':>14}{'TCP':>12}")
    for name, faults in WAYS:
        with build(PAIR) as network:
            force.prepare(faults, network)
            for fault in faults:
                force.put(fault, network)
            median, slow = round_trips(network, asked.rounds)
            rate = datagrams(network, asked.packets)
            carried = tcp(network)
        print(f"{name:18}{median:>9.0f} µs{slow:>9.0f} µs{rate:>14,.0f}{carried / 1e6:>7.0f} MB/s")


def round_trips(network: Network, rounds: int) -> tuple[float, float]:
    """Median, and the slowest in a hundred, in microseconds."""
    near, far = datagram_ends(network)
    taken = []
    with near, far:
        for _ in range(rounds):
            began = time.perf_counter()
            near.send(b"there")
            far.send(far.recv(100))
            near.recv(100)
            taken.append((time.perf_counter() - began) * 1e6)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[-1]


def datagrams(network: Network, packets: int) -> float:
    """Datagrams a second, in bursts of which the next leaves when one has arrived."""
    near, far = datagram_ends(network)
    with near, far:
        began = time.perf_counter()
        for _ in range(packets // BURST):
            for _ in range(BURST):
                near.send(bytes(100))
            for _ in range(BURST):
                far.recv(200)
        return packets // BURST * BURST / (time.perf_counter() - began)


def datagram_ends(network: Network) -> tuple[socket.socket, socket.socket]:
    """A socket on each host, connected to the other, that have exchanged a datagram."""
    ends = []
    for host in LINK:
        with network.enter(host):
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.settimeout(10)
        end.bind((network.address(host), PORT))
        ends.append(end)
    near, far = ends
    near.connect((network.address(LINK[1]), PORT))
    far.connect((network.address(LINK[0]), PORT))
    near.send(b"hello")
    far.send(far.recv(100))
    near.recv(100)
    return near, far


def tcp(network: Network, seconds: float = 1.0) -> float:
    """Bytes a second that arrive over one connection."""
    with network.enter("server"):
        listener = socket.socket()
    with network.enter("client"):
        near = socket.socket()
    with listener, near:
        listener.bind((network.address("server"), PORT))
        listener.listen()
        near.connect((network.address("server"), PORT))
        far, _ = listener.accept()
        with far:
            near.setblocking(False)
            far.setblocking(False)
            arrived, began = 0, time.perf_counter()
            while time.perf_counter() - began < seconds:
                readable, writable, _ = select.select([far], [near], [], 1)
                if writable:
                    near.send(bytes(1 << 16))
                if readable:
                    arrived += len(far.recv(1 << 20))
            return arrived / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
