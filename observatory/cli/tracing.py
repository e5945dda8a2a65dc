"""``observatory trace``: any program, its calls and its packets."""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from observatory.cli import formats
from observatory.cli.running import destinations
from observatory.cli.terminal import display, say, write_text
from observatory.errors import UsageError

if TYPE_CHECKING:
    from observatory.model import Analysis
    from observatory.tracing import Request

SUMMARY = "run a program and explain its calls and packets"

EPILOG = """\
The command has this terminal, its input and output; the report comes when it has ended, on stderr
(--report FILE: in a file), with --json on stdout. The exit status is the command's own, 128 more
than the signal that ended it; 2 to 8 also when observatory itself could not do its part, and says
why. What the command has started and left running is followed too, as strace does: --for or Ctrl-C
ends that. Ctrl-C reaches the command as ever; if it goes on for 5 s it is sent SIGTERM.

--private gives the command a network of its own, with a loopback alone: no root needed, nothing
foreign captured. Without it, capturing needs root or CAP_NET_RAW; under sudo the command runs as
root, as with strace, unless -u names a user. Packets that no call accounts for are left out.

examples:
  observatory trace --private --with 'python3 -m http.server 8000' -- curl -s http://127.0.0.1:8000/
  sudo observatory trace -u "$USER" -- curl -s https://example.org/
  sudo observatory trace -p 4711 --for 10 --only 443
  observatory trace --private --json -- ./client | jq .coverage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be typed after ``observatory trace``."""
    add = parser.add_argument
    add("-o", "--output", metavar="FILE", help="the run file (default: captures/COMMAND.pcapng)")
    add("--private", action="store_true", help="in a network of its own; needs no root")
    add(
        *("-i", "--interface"),
        metavar="IFACE",
        dest="interfaces",
        action="append",
        default=[],
        help="to capture on, several times if need be (default: all that are up)",
    )
    add("-f", "--filter", metavar="BPF", help="capture only this (pcap-filter(7))")
    add("-q", "--quiet", action="store_true", help="no report: only the name of the run file")
    add("--json", action="store_true", help="the report as JSON, on stdout")
    add(
        "--report",
        metavar="FILE",
        help="the report goes to FILE: as its name ends (.html …), or text",
    )
    add("--full", action="store_true", help="leave nothing out of a long report")
    add("--show-kernel", action="store_true", help="mark the kernel's own events in the ladder")
    add("--only", metavar="WHAT", help="report only this port, address or process")
    add(
        "--with",
        metavar="HELPER",
        dest="helpers",
        action="append",
        default=[],
        help="a server to start first, wait for, trace too, and end after",
    )
    add("--for", metavar="SECONDS", dest="seconds", type=float, help="end the observation then")
    add("--stack", action="store_true", help="note where in the program each call was made")
    add("--payload", metavar="N", type=int, default=0, help="have strace read N bytes of data")
    add("--no-kernel", action="store_true", help="do not ask the kernel's tracepoints (root only)")
    add("-u", "--user", metavar="USER", help="run the command as USER (root only)")
    add("-p", "--pid", metavar="PID", type=int, help="attach to a running process instead")
    add("words", metavar="-- COMMAND", nargs=argparse.REMAINDER, help="with its arguments")


def trace(parsed: argparse.Namespace) -> int:
    """The exit status is the command's."""
    from observatory import tracing

    gc.disable()  # nothing of a trace is garbage before the command ends
    wanted = request(parsed)
    name = Path(wanted.command[0]).name if wanted.command else f"process-{parsed.pid}"
    (path,) = destinations(parsed.output, [name])
    done = tracing.trace(wanted, path)
    analysis = done.analysis if parsed.only is None else tracing.only(done.analysis, parsed.only)
    show(analysis, parsed)
    gc.freeze()
    say(f"wrote {done.path}" if not parsed.quiet else str(done.path))
    return done.status


def request(parsed: argparse.Namespace) -> Request:
    """What was typed, as values. Raises UsageError."""
    from observatory.tracing import Request

    words = parsed.words[1:] if parsed.words[:1] == ["--"] else parsed.words
    if parsed.payload < 0 or (parsed.seconds is not None and parsed.seconds <= 0):
        raise UsageError("--payload and --for take positive numbers")
    if parsed.quiet and (parsed.json or parsed.report):
        raise UsageError("--quiet leaves out the report that --json or --report asks for")
    try:
        helpers = tuple(tuple(shlex.split(helper)) for helper in parsed.helpers)
    except ValueError as problem:
        raise UsageError(f"--with: {problem}; it is split into words as a shell does") from None
    return Request(
        command=tuple(words),
        helpers=helpers,
        attach=parsed.pid,
        private=parsed.private,
        interfaces=tuple(dict.fromkeys(parsed.interfaces)),
        filter=parsed.filter,
        seconds=parsed.seconds,
        payload=parsed.payload,
        stack=parsed.stack,
        user=parsed.user,
        kernel=not parsed.no_kernel,
    )


def show(analysis: Analysis, parsed: argparse.Namespace) -> None:
    """The report, where it was asked for."""
    if parsed.quiet:
        return
    form = "json" if parsed.json else "text"
    if parsed.report is not None and parsed.report != "-":
        form = form if parsed.json else formats.named(formats.of_file(parsed.report))
        look = display(None, parsed.full, parsed.show_kernel)
        formats.to_file(analysis, form, Path(parsed.report), look)
    elif parsed.json or parsed.report == "-":
        shown = display(sys.stdout, parsed.full, parsed.show_kernel)
        write_text(formats.TEXT[form](analysis, shown))
    else:
        shown = display(sys.stderr, parsed.full, parsed.show_kernel)
        text = formats.TEXT[form](analysis, shown)
        encoding = sys.stderr.encoding
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
