"""How many packets a second each way of capturing can take on loopback before it loses any.

    .venv/bin/python benchmarks/capture.py [--rates 10000,100000,300000] [--seconds 1]

One sender floods the loopback interface of a private network namespace with small UDP datagrams
at rising rates; each contender captures each flood. The table gives the percentage lost, counted
against what the sender's sendmmsg calls had accepted. Contenders are our capture (as `observatory
run` uses it), the same with a sink that writes every frame to a file, scapy's AsyncSniffer with
its defaults, tcpdump and dumpcap, both of these as they come and with their largest useful
buffer; they write to a file in memory.

Takes under two minutes. Needs root or user namespaces, and leaves out tools that are missing.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 40000
PAYLOAD = 64
FRAME = 14 + 20 + 8 + PAYLOAD
BATCH = 64
PCAP_HEADER, PCAP_RECORD = 24, 16
RATES = (1_000, 10_000, 100_000, 300_000, 400_000, 700_000)
ONE_SENDER = 300_000
"""Datagrams a second that one sending process can be asked for."""
DUMPCAP_LARGEST_MIB = 2047
"""What fits the int in which libpcap keeps the buffer's size."""
TCPDUMP_LARGEST_KIB = 512 * 1024
"""tcpdump takes seconds to begin with more."""
BUFFERED = 1.2
"""Seconds; tcpdump has the kernel hand over a block that is not full after one."""
HOPELESS = 90
"""Percent lost, after which a contender is not asked to go faster."""
INSIDE = "OBSERVATORY_BENCHMARK_INSIDE"


@dataclass(frozen=True, slots=True)
class Flood:
    """What the sender did: datagrams accepted by the kernel, and the seconds that took."""

    sent: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.sent / self.seconds


@dataclass(frozen=True, slots=True)
class Contender:
    """``capture`` runs the given flood while capturing and says how many frames it got."""

    name: str
    capture: Callable[[Callable[[], Flood]], tuple[Flood, int]]


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Message(ctypes.Structure):
    """struct msghdr (recvmsg(2))."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("iov", ctypes.POINTER(Iovec)),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class ManyMessages(ctypes.Structure):
    """struct mmsghdr (sendmmsg(2))."""

    _fields_ = (("message", Message), ("sent", ctypes.c_uint))


def send(rate: int, seconds: float) -> Flood:
    """Sends ``rate`` datagrams a second, in bursts of at most ``BATCH``, as far as it can."""
    libc = ctypes.CDLL(None, use_errno=True)
    payload = ctypes.create_string_buffer(PAYLOAD)
    iovec = Iovec(ctypes.addressof(payload), PAYLOAD)
    message = Message(iov=ctypes.pointer(iovec), iov_length=1)
    messages = (ManyMessages * BATCH)(*[ManyMessages(message) for _ in range(BATCH)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", PORT))
        number, sent, begin = sock.fileno(), 0, time.monotonic()
        while (elapsed := time.monotonic() - begin) < seconds:
            due = int(elapsed * rate) - sent
            if due < min(BATCH, rate // 1000):
                time.sleep(20e-6)
                continue
            sent += max(0, libc.sendmmsg(number, messages, min(due, BATCH), 0))
        return Flood(sent, time.monotonic() - begin)


@contextmanager
def unread_receiver() -> Iterator[None]:
    """Somebody has to be bound to the port, or every datagram draws an ICMP error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind(("127.0.0.1", PORT))
        yield


def flood(rate: int, seconds: float) -> Flood:
    """Senders in processes of their own, so that they never wait for our interpreter lock."""
    count = -(-rate // ONE_SENDER)
    command = [sys.executable, __file__, "--send", str(rate // count), "--seconds", str(seconds)]
    senders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    answers = [sender.communicate()[0].split() for sender in senders]
    return Flood(
        sum(int(sent) for sent, _seconds in answers),
        max(float(seconds) for _sent, seconds in answers),
    )


def ours(run: Callable[[], Flood]) -> tuple[Flood, int]:
    from observatory.sources.capture import Capture
    from observatory.sources.ring import open_packet_socket

    with Capture(open_packet_socket("lo")) as capture:
        flood = run()
    return flood, len(capture.frames)


def ours_to_a_file(run: Callable[[], Flood]) -> tuple[Flood, int]:
    from observatory.model import Frame
    from observatory.sources.capture import Capture
    from observatory.sources.ring import open_packet_socket

    record = struct.Struct("=IIII")

    def write(frames: tuple[Frame, ...]) -> None:
        file.write(
            b"".join(
                record.pack(*divmod(each.time_ns, 10**9), len(each.data), each.original_length)
                + each.data
                for each in frames
            )
        )

    with (
        tempfile.TemporaryFile(dir=memory()) as file,
        Capture(open_packet_socket("lo"), sink=write) as capture,
    ):
        flood = run()
        capture.stop()
        return flood, file.tell() // (PCAP_RECORD + FRAME)


def async_sniffer(run: Callable[[], Flood]) -> tuple[Flood, int]:
    from scapy.layers.inet import UDP
    from scapy.sendrecv import AsyncSniffer

    ready = threading.Event()
    sniffer = AsyncSniffer(iface="lo", started_callback=ready.set)
    sniffer.start()
    ready.wait(5)
    flood = run()
    time.sleep(0.3)
    packets = sniffer.stop()
    # It sees every packet of loopback both going out and coming in.
    return flood, sum(UDP in each for each in packets) // 2


def tool(*command: str) -> Callable[[Callable[[], Flood]], tuple[Flood, int]]:
    """A contender that is a program writing classic pcap to the file named after ``-w``."""

    def capture(run: Callable[[], Flood]) -> tuple[Flood, int]:
        with tempfile.NamedTemporaryFile(dir=memory(), suffix=".pcap") as file:
            path = Path(file.name)
            program = subprocess.Popen(
                [*command, "-i", "lo", "-w", file.name], stderr=subprocess.PIPE, text=True
            )
            try:
                wait_until_ready(program)
                flood = run()
                settle(path)
                program.send_signal(signal.SIGINT)
                program.communicate(timeout=20)
            finally:
                program.kill()
                program.communicate()
            frames = (path.stat().st_size - PCAP_HEADER) // (PCAP_RECORD + FRAME)
        return flood, frames

    return capture


def wait_until_ready(program: subprocess.Popen[str]) -> None:
    """tcpdump says ``listening on``, dumpcap ``File:``, when packets are being kept."""
    said = []
    for line in program.stderr or ():
        if "listening on" in line or line.startswith("File:"):
            return
        said.append(line)
    raise SystemExit("".join(said) or "the capturing program ended at once")


def settle(path: Path) -> None:
    """Waits until the file has stopped growing: what is buffered is not to count as lost."""
    size = -1
    while size != (size := path.stat().st_size):
        time.sleep(BUFFERED)


def memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def contenders() -> list[Contender]:
    tools = [
        ("dumpcap", ("dumpcap", "-P", "-q")),
        ("dumpcap, largest buffer", ("dumpcap", "-P", "-q", "-B", str(DUMPCAP_LARGEST_MIB))),
        ("tcpdump", ("tcpdump", "-Z", "root")),
        ("tcpdump, largest buffer", ("tcpdump", "-Z", "root", "-B", str(TCPDUMP_LARGEST_KIB))),
    ]
    return [
        Contender("observatory", ours),
        Contender("observatory, to a file", ours_to_a_file),
        Contender("AsyncSniffer, defaults", async_sniffer),
        *(Contender(name, tool(*command)) for name, command in tools if shutil.which(command[0])),
    ]


def enter_private_namespace(arguments: list[str]) -> None:
    """Runs this program again in a network namespace of its own, loopback up."""
    how = ["-n"] if os.getuid() == 0 else ["-U", "-r", "-n"]
    os.environ[INSIDE] = "1"
    again = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, __file__]
    os.execvp("unshare", ["unshare", *how, *again, *arguments])


def measure(rates: list[int], seconds: float) -> None:
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} processors, busy with {load:.1f} other processes; {seconds:g} s a cell\n"
    )
    print(f"{'contender':26}" + "".join(f"{rate:>10,}" for rate in rates) + "  packets/s asked for")
    results = {each.name: row(each, rates, seconds) for each in contenders()}
    print("\npercent lost of what was sent; ~ with the rate in thousands that the sender reached")
    print("when it was not the one asked for; - not tried after such a loss\n")
    ours = results["observatory"]
    for name, (best, flawless) in results.items():
        if flawless:
            verdict = f"lost nothing at any rate, {best:,.0f} packets/s the highest it met"
        else:
            ratio = f"ours took {ours[0] / best:.1f} times that" if best else "none of these rates"
            verdict = f"lost nothing up to {best:,.0f} packets/s; {ratio}"
        print(f"{name:26}{verdict}")


def row(contender: Contender, rates: list[int], seconds: float) -> tuple[float, bool]:
    """Prints one line of the table. The highest rate that the sender reached before anything was
    lost, and whether nothing was lost at all."""
    best = 0.0
    lost = 0.0
    flawless = True
    print(f"{contender.name:26}", end="", flush=True)
    for rate in rates:
        if lost > HOPELESS:
            print(f"{'-':>10}", end="", flush=True)
            continue
        with unread_receiver():
            sent, got = contender.capture(lambda rate=rate: flood(rate, seconds))
        lost = 100 * max(0, sent.sent - got) / sent.sent
        flawless = flawless and lost == 0
        best = max(best, sent.rate) if flawless else best
        reached = "" if sent.rate >= 0.95 * rate else f"~{sent.rate / 1000:.0f}"
        print(f"{f'{lost:.2f}{reached}':>10}", end="", flush=True)
    print()
    return best, flawless


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        done = send(options.send, options.seconds)
        print(done.sent, done.seconds)
    elif INSIDE not in os.environ:
        enter_private_namespace(sys.argv[1:])
    else:
        measure([int(rate) for rate in options.rates.split(",")], options.seconds)


if __name__ == "__main__":
    main()
