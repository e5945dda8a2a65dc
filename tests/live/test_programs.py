"""Programs that nobody wrote for the observatory, traced: every segment of their connections has
its cause, every call its explanation, and the counts are those of tshark."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from observatory.analysis import analyze
from observatory.model import Analysis, CauseKind, Confidence, Protocol
from observatory.sources import files
from tests.conftest import Command

HERE = Path(__file__).parent / "programs"
PYTHON = f"{shlex.quote(sys.executable)} -I"

NGINX = """
daemon off; master_process on; worker_processes 2; user root;
pid "{here}/nginx.pid"; error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path "{here}/body"; proxy_temp_path "{here}/proxy";
    fastcgi_temp_path "{here}/fastcgi"; uwsgi_temp_path "{here}/uwsgi";
    scgi_temp_path "{here}/scgi";
    server {{ listen 127.0.0.1:8080; root "{here}/www"; }}
}}
"""


@dataclass(frozen=True)
class Program:
    """A command and the servers that it talks to. ``{here}`` is the test's folder, ``{scripts}``
    that of the scripts; ``needs`` are the programs that must be installed."""

    command: str
    helpers: Sequence[str] = ()
    needs: Sequence[str] = ()
    connections: int | None = None
    rules: frozenset[str] = field(default_factory=frozenset)
    status: int = 0


PROGRAMS = {
    "curl": Program(
        "curl -s -o /dev/null http://127.0.0.1:8000/",
        [f"{PYTHON} -m http.server --bind 127.0.0.1 8000"], ["curl"], 1,
        frozenset({"connect-in-progress", "accept", "send", "recv"})),
    "curl refused": Program(
        "curl -s http://127.0.0.1:8001/", (), ["curl"], 1,
        frozenset({"connect-in-progress", "pending-error"}), status=7),
    "nginx with two workers": Program(
        "for i in 1 2 3 4; do curl -s -o /dev/null http://127.0.0.1:8080/big"
        " http://127.0.0.1:8080/ & done; wait",
        ["nginx -c {here}/nginx.conf"], ["nginx", "curl"], 4,
        frozenset({"connect-in-progress", "accept", "ready", "epoll-watch"})),
    "redis": Program(
        "redis-cli -p 6400 set a b; redis-benchmark -q -p 6400 -n 200 -c 5 -t get,set",
        ["redis-server --port 6400 --bind 127.0.0.1 --appendonly no --dir {here}"],
        ["redis-server", "redis-cli", "redis-benchmark"], None,
        frozenset({"accept", "epoll-watch"})),
    "socat between": Program(
        "curl -s -o /dev/null http://127.0.0.1:8002/",
        [f"{PYTHON} -m http.server --bind 127.0.0.1 8003",
         "socat TCP-LISTEN:8002,fork,reuseaddr TCP:127.0.0.1:8003"], ["curl", "socat"], 2,
        frozenset({"accept", "shutdown-write"})),
    "netcat": Program(
        "echo hello | nc -N 127.0.0.1 8004", ["nc -l 127.0.0.1 8004"], ["nc"], 1,
        frozenset({"accept", "recv-eof"})),
    "node and asyncio": Program(
        "node {scripts}/client.js 8005", [PYTHON + " {scripts}/asynchronous.py 8005"], ["node"], 3,
        frozenset({"connect-in-progress", "accept", "ready"})),
    "a process for each connection": Program(
        PYTHON + " {scripts}/client.py 8006 3", [PYTHON + " {scripts}/forking.py 8006"], (), 3,
        frozenset({"accept", "fork", "close-not-last", "ends-sockets"})),
    "threads": Program(
        PYTHON + " {scripts}/threads.py 8", (), (), 8, frozenset({"accept", "recv-eof"})),
    "killed": Program(
        PYTHON + " {scripts}/killer.py 8007", [PYTHON + " {scripts}/victim.py 8007"], (), 1,
        frozenset({"kill-ends-sockets", "recv-eof"})),
    "resets": Program(
        PYTHON + " {scripts}/resets.py", (), (), 2,
        frozenset({"close-unread-data", "close-linger-zero", "recv-reset"})),
    "leaks": Program(
        PYTHON + " {scripts}/leaks.py", (), (), 5, frozenset({"ends-sockets", "accept"})),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_explained(name: str, live: None, command: Command, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    analysis = trace(program, command, tmp_path)
    found = Counter(one.explanation.rule for one in analysis.calls)
    assert program.rules <= found.keys(), found
    if program.connections is not None:
        assert len(analysis.connections) == program.connections
    assert_explained(analysis)
    assert_as_tshark_counts(analysis, tmp_path / "run.pcapng")


def test_a_thousand_short_connections(live: None, command: Command, tmp_path: Path) -> None:
    began = time.monotonic()
    number = 1_000
    analysis = trace(Program(f"{PYTHON} {{scripts}}/short.py {number}"), command, tmp_path)
    assert len(analysis.connections) == number
    assert_explained(analysis)
    assert not analysis.trace.dropped
    opened = [c.call for c in analysis.calls if c.call.name == "connect"]
    causes = {s.cause.call: s for s in analysis.segments if s.segment.flags == "S"}
    assert all(causes[call.id].cause.confidence is Confidence.CERTAIN for call in opened)
    assert time.monotonic() - began < 60


def trace(program: Program, command: Command, here: Path) -> Analysis:
    """The analysis of the program's run; skips where something is not installed."""
    for needed in ("strace", *program.needs):
        if shutil.which(needed, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin") is None:
            pytest.skip(f"{needed} is not installed")
    prepare(here)
    places = {"here": shlex.quote(str(here)), "scripts": shlex.quote(str(HERE))}
    helpers = [f"--with={helper.format(**places)}" for helper in program.helpers]
    words = ["sh", "-c", program.command.format(**places)]
    said = command("trace", "--private", "-q", "-o", "run.pcapng", *helpers, "--", *words)
    assert said.status == program.status, said.err
    return analyze(files.load(here / "run.pcapng"))


def prepare(here: Path) -> None:
    here.chmod(0o755)
    (here / "www").mkdir()
    (here / "www" / "big").write_bytes(b"x" * 300_000)
    (here / "www" / "index.html").write_text("hello")
    (here / "nginx.conf").write_text(NGINX.format(here=here))


def assert_explained(analysis: Analysis) -> None:
    unknown = [
        f"#{one.segment.id} {one.segment.flags}: {one.cause.reason}"
        for one in analysis.segments
        if one.cause.kind is CauseKind.UNKNOWN
    ]
    unexplained = [
        f"c{one.call.id}: {one.explanation.text}"
        for one in analysis.calls
        if one.explanation.confidence is Confidence.UNEXPLAINED
    ]
    assert not unknown + unexplained


def assert_as_tshark_counts(analysis: Analysis, path: Path) -> None:
    """As many connections, bytes and retransmissions as tshark counts."""
    if shutil.which("tshark") is None:
        return
    fields = ("tcp.stream", "tcp.srcport", "tcp.len", "tcp.analysis.retransmission")
    asked = [word for name in fields for word in ("-e", name)]
    said = subprocess.run(
        ["tshark", "-2", "-n", "-r", path, "-Y", "tcp", "-T", "fields", *asked],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    fresh = [(stream, port, int(size)) for stream, port, size, again in rows if not again]
    sent: Counter[tuple[str, str]] = Counter()
    for stream, port, size in fresh:
        sent[stream, port] += size
    ours = sorted(
        size for one in analysis.connections for size in (one.client_bytes, one.server_bytes)
    )
    assert len({row[0] for row in rows}) == len(analysis.connections)
    assert sorted(sent.values()) == ours
    again = sum(bool(row[3]) for row in rows)
    assert again == sum(one.retransmissions for one in analysis.connections)
    assert len(rows) == sum(one.segment.protocol is Protocol.TCP for one in analysis.segments)
