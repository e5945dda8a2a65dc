"""The command ``atlas``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from observatory.cli import running
from observatory.cli.selecting import SECTIONS, all_behaviours
from observatory.cli.terminal import Progress, display, say, write_text
from observatory.errors import ScenarioFailed

SUMMARY = "a page, a picture and a run file of every behaviour"
EPILOG = """\
Writes Markdown and SVG that read well on a code host; docs/site/ builds them into a site. The
folder is the atlas's own: pages of an earlier atlas are replaced.

examples:
  observatory atlas -o docs/atlas
  observatory atlas -o docs/atlas --from captures/catalogue --lang en --lang zh
"""
DEFAULT_FOLDER = "docs/atlas"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", metavar="DIR", default=DEFAULT_FOLDER, help=f"(default: {DEFAULT_FOLDER})"
    )
    parser.add_argument(
        "--from",
        dest="runs",
        metavar="DIR",
        help="a folder with NAME.pcapng of every behaviour (default: run them now)",
    )
    parser.add_argument("--slow", action="store_true", help="also the behaviours that take minutes")
    parser.add_argument(
        "--lang",
        action="append",
        metavar="LANG",
        help="an edition to write, en or zh, may be given again (default: every edition)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def atlas(parsed: argparse.Namespace) -> int:
    import tempfile

    from observatory import atlas, messages

    editions = parsed.lang or list(messages.languages())
    for lang in editions:
        messages.load(lang)  # an unknown one is told before anything runs
    behaviours = [one for one in all_behaviours() if parsed.slow or not one.takes_minutes]
    with tempfile.TemporaryDirectory(prefix="observatory-atlas-") as folder:
        runs = Path(parsed.runs) if parsed.runs else Path(folder)
        if not parsed.runs:
            _run_all([one.name for one in behaviours], runs, parsed.quiet)
        written = 0
        for lang in editions:
            for name, content in atlas.files(behaviours, runs, SECTIONS, lang):
                atlas.save(Path(parsed.output) / name, content)
                written += 1
    say(f"wrote {written} files")
    write_text(f"{Path(parsed.output) / 'index.md'}\n")
    return 0


def _run_all(names: list[str], folder: Path, quiet: bool) -> None:
    """Raises ScenarioFailed if any did not run."""
    from observatory.cli.several import runs_side_by_side

    look = display(sys.stdout)
    orders = [
        running.Order(name, folder / f"{name}.pcapng", False, running.LOOPBACK, None, look)
        for name in names
    ]
    progress = Progress(len(orders), enabled=not quiet)
    progress.begin()
    failed = []
    for outcome in runs_side_by_side(running.carry_out, orders, running.SIDE_BY_SIDE):
        progress.done(outcome.item.name)
        if outcome.result is None:
            failed.append(f"{outcome.item.name}: {outcome.message}")
    progress.clear()
    if failed:
        raise ScenarioFailed("\n".join(failed))
