"""How fast ``observatory analyze`` is, beside tshark in the same run, and how it grows.

    python benchmarks/analyze.py [--packets 100000] [--repeats 3]

Makes a capture of many TCP connections (handshake, requests and replies, orderly close; on every
tenth a retransmission), then times whole commands, the best of several turns:

- ``observatory analyze FILE --json``,
- ``tshark -r FILE -T fields`` with the same columns,
- ``observatory analyze`` of a capture of a tenth of the packets.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack

from observatory.codec.packets import write_packets
from observatory.model import Frame, Interface, Trace

# What the document has for a segment, as tshark calls it.
COLUMNS = (
    "frame.number",
    "frame.time_epoch",
    "frame.interface_name",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags.str",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.seq",
    "tcp.ack",
    "tcp.len",
    "tcp.window_size_value",
    "tcp.stream",
    "tcp.completeness",
    "tcp.analysis.retransmission",
    "icmp.type",
    "icmp.code",
)
START_NS = 1_790_000_000_000_000_000
STEP_NS = 7_000
SYN, FIN, ACK, PSH = 2, 1, 16, 8
SERVER = 80
EXCHANGES = 8
MOST_AT_ONCE = 50


def connection(number: int) -> Iterator[bytes]:
    """The frames of one connection, in order: 3 + 3 * EXCHANGES + 4, or one more."""
    client = 20_000 + number % 40_000
    ours, theirs = number * 977_777 % 2**32, number * 1_234_577 % 2**32
    ticks = number * 10

    def frame(out: bool, flags: int, payload: bytes = b"") -> bytes:
        source, target = (client, SERVER) if out else (SERVER, client)
        seq, ack = (ours, theirs) if out else (theirs, ours)
        options = b"\x01\x01\x08\x0a" + pack("!II", ticks, ticks)
        if flags & SYN:
            options = b"\x02\x04\xff\xd7\x04\x02\x08\x0a" + options[4:] + b"\x01\x03\x03\x07"
        offset = (20 + len(options)) // 4
        ack = ack if flags & ACK else 0
        header = pack(
            "!HHIIBBHHH", source, target, seq % 2**32, ack % 2**32, offset << 4, flags, 512, 0, 0
        )
        length = 20 + len(header) + len(options) + len(payload)
        packet = pack("!BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, 6, 0)
        addresses = bytes((127, 0, 0, 1, 127, 0, 0, 1))
        return bytes(12) + b"\x08\x00" + packet + addresses + header + options + payload

    yield frame(True, SYN)
    ours += 1
    yield frame(False, SYN | ACK)
    theirs += 1
    yield frame(True, ACK)
    for turn in range(EXCHANGES):
        ticks += 1
        request, reply = b"q" * 100, b"r" * 900
        yield frame(True, PSH | ACK, request)
        if number % 10 == 0 and turn == 0:
            yield frame(True, PSH | ACK, request)
        ours += len(request)
        yield frame(False, PSH | ACK, reply)
        theirs += len(reply)
        yield frame(True, ACK)
    yield frame(True, FIN | ACK)
    ours += 1
    yield frame(False, ACK)
    yield frame(False, FIN | ACK)
    theirs += 1
    yield frame(True, ACK)


def capture(packets: int) -> Iterator[Frame]:
    """``packets`` frames of connections that overlap, one frame each in turn."""
    running: list[Iterator[bytes]] = []
    made = number = 0
    while made < packets:
        while len(running) < MOST_AT_ONCE:
            number += 1
            running.append(connection(number))
        for one in tuple(running):
            data = next(one, None)
            if data is None:
                running.remove(one)
            elif made < packets:
                yield Frame(START_NS + made * STEP_NS, 0, data, len(data))
                made += 1


def write(path: Path, packets: int) -> None:
    trace = Trace(interfaces=(Interface("lo", 1),), frames=tuple(capture(packets)))
    with path.open("wb") as file:
        file.writelines(write_packets(trace, "pcapng"))


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds on the wall, and of processor time, which other work on the machine leaves alone."""

    wall: float
    processor: float


def spend(command: Sequence[str | Path]) -> Spent:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with status {process.returncode}")
    return Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


def best(turns: Sequence[Spent]) -> Spent:
    return Spent(min(turn.wall for turn in turns), min(turn.processor for turn in turns))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parsed = parser.parse_args()
    observatory = (sys.executable, "-m", "observatory", "analyze")
    fields = [word for column in COLUMNS for word in ("-e", column)]
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large.pcapng"), Path(folder, "small.pcapng")
        write(large, parsed.packets)
        write(small, parsed.packets // 10)
        commands = {
            "observatory analyze --json": (*observatory, large, "--json"),
            "observatory analyze": (*observatory, large),
            "tshark -T fields": ("tshark", "-n", "-r", large, "-T", "fields", *fields),
            "observatory analyze --json, a tenth": (*observatory, small, "--json"),
            "observatory --version": (*observatory[:-1], "--version"),
        }
        # In turn, so that what else the machine does meets all of them.
        turns = [
            {name: spend(command) for name, command in commands.items()}
            for _ in range(parsed.repeats)
        ]
    spent = {name: best([turn[name] for turn in turns]) for name in commands}
    print(f"{parsed.packets} packets{'':25} wall  processor")
    for name, each in spent.items():
        print(f"{name:36} {each.wall:6.2f} s   {each.processor:6.2f} s")
    ours, text, theirs, tenth, start = (each.processor for each in spent.values())
    print(f"tshark takes {theirs / ours:.2f} times as long as --json, {theirs / text:.2f} as text")
    print(f"ten times the packets take {(ours - start) / (tenth - start):.1f} times as long")


if __name__ == "__main__":
    main()
