"""The command ``diff``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from observatory.cli.terminal import display, say, write_text

SUMMARY = "what is new, gone or other in a second run"
EPILOG = """\
Processes are paired by role, connections by the roles of their ends; ephemeral ports, process ids
and times are no difference. Exit status 1 if the runs differ, as diff(1) does.

examples:
  observatory diff captures/connect-refused.pcapng captures/connect-refused-2.pcapng
  observatory diff before.pcapng after.pcapng --format html -o diff.html
  observatory diff a.pcapng b.pcapng --json | jq '.calls[] | select(.change != "same")'
"""
DIFFERENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help="a run file or capture")
    parser.add_argument("after", metavar="B", help="the one to compare with it")
    parser.add_argument(
        "--format", choices=["text", "json", "html"], default="text", help="(default: text)"
    )
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", help="as --format json"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="(default: stdout)")
    parser.add_argument("--full", action="store_true", help="with what is the same, too")


def diff(parsed: argparse.Namespace) -> int:
    from observatory import pipeline

    compared = pipeline.compare(Path(parsed.before), Path(parsed.after))
    if parsed.format == "html":
        from observatory.reports import comparing_html

        text = comparing_html.render(compared)
    elif parsed.format == "json":
        from observatory.reports import comparing

        text = json.dumps(comparing.document(compared), indent=2) + "\n"
    else:
        from observatory.reports import comparing

        shown = display(sys.stdout)
        colour = shown.colour and parsed.output is None
        text = comparing.render(compared, shown.width, colour, shown.ascii, parsed.full)
    if parsed.output is None:
        write_text(text)
    else:
        encoded = text.encode("utf-8", "backslashreplace")
        say(f"wrote {pipeline.write_new(Path(parsed.output), [encoded])}")
    return 0 if compared.same else DIFFERENT
