"""``observatory claims``: the book's statements, put to the test on this kernel."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from observatory import __version__
from observatory.cli.terminal import Progress, display, say, write_text
from observatory.errors import UsageError

if TYPE_CHECKING:
    from observatory.claims.judging import Observed
    from observatory.claims.statements import Statement
    from observatory.model.claims import ClaimsReport

SUMMARY = "put the book's statements to the test on this kernel"

EPILOG = """\
Stevens' UNIX Network Programming says what each call of the socket API does. Here the behaviours
that show it are run, each once, in private networks (no root needed), and a predicate over each
run finds whether the statement holds on this kernel, differs, or cannot be tested here, and says
which calls and segments it rests on. The runs are kept, to be opened in Wireshark.

The exit status is 0 whatever the verdicts are: they are findings.

examples:
  observatory claims                        all of them, in well under a minute
  observatory claims 4.3                    what section 4.3 says of connect()
  observatory claims --json | jq '.claims[] | select(.verdict == "differs")'
  observatory claims --from captures/claims judge runs that were made before
  observatory claims --slow                 with what takes minutes
"""

DEFAULT_FOLDER = "captures/claims"
SUFFIX = ".pcapng"
SIDE_BY_SIDE = 4


@dataclass(frozen=True, slots=True)
class Order:
    """One behaviour to be run, and where its run file goes."""

    name: str
    path: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be typed after ``observatory claims``."""
    add = parser.add_argument
    add("section", nargs="?", metavar="SECTION", help="of UNP, such as 4.3")
    add("--format", choices=["text", "markdown", "json"], default="text", help="(default: text)")
    add("--json", dest="format", action="store_const", const="json", help="as --format json")
    add("--slow", action="store_true", help="also what takes minutes: timers to their end")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        *("-o", "--output"),
        metavar="FOLDER",
        help=f"keep the runs there (default: {DEFAULT_FOLDER}/); no file is overwritten, a number "
        "is added",
    )
    where.add_argument(
        "--from", metavar="FOLDER", dest="runs", help="judge its NAME.pcapng; nothing is run"
    )


def claims(parsed: argparse.Namespace) -> int:
    """0, or if nothing could be run the status of the first failure."""
    from observatory.claims.judging import judged

    statements = chosen(parsed.section)
    names = behaviours(statements, parsed.slow)
    if parsed.runs is not None:
        status, observed = 0, read(names, Path(parsed.runs))
    else:
        status, observed = run(names, Path(parsed.output or DEFAULT_FOLDER))
    report = judged(statements, observed, parsed.slow)
    write_text(FORMATS[parsed.format](report))
    return status


def chosen(section: str | None) -> Sequence[Statement]:
    """The statements of a section, or all. Raises UsageError."""
    from observatory.claims.statements import STATEMENTS, of_section

    statements = of_section(section) if section else STATEMENTS
    if not statements:
        sections = ", ".join(dict.fromkeys(one.section for one in STATEMENTS))
        raise UsageError(f"no statement is of section {section}; there are {sections}")
    return statements


def behaviours(statements: Sequence[Statement], slow: bool) -> list[str]:
    """The behaviours that test them, each once."""
    tests = [test for one in statements for test in one.tests if slow or not test.slow]
    return list(dict.fromkeys(test.behaviour for test in tests))


def read(names: Sequence[str], folder: Path) -> dict[str, Observed]:
    """The runs that a folder holds. Raises UsageError if it holds none of them, BadFile."""
    from observatory.claims.judging import Observed

    observed = {}
    for name in names:
        path = folder / f"{name}{SUFFIX}"
        observed[name] = (
            _opened(path)
            if path.exists()
            else Observed(None, why_not=f"{folder} has no run of {name}")
        )
    if all(one.analysis is None for one in observed.values()):
        few = ", ".join(f"{name}{SUFFIX}" for name in names[:3])
        raise UsageError(f"{folder} has none of the {len(names)} runs that are needed ({few}, …)")
    return observed


def run(names: Sequence[str], folder: Path) -> tuple[int, dict[str, Observed]]:
    """Run each behaviour that there is, several side by side, and read its run file again: what
    is judged is what is kept. With it the exit status: of the first failure if all failed."""
    from observatory.claims.judging import Observed
    from observatory.cli.several import runs_side_by_side
    from observatory.scenarios.catalogue import catalogue

    there = [name for name in names if name in catalogue()]
    absent = [name for name in names if name not in catalogue()]
    observed = {name: Observed(None, why_not=f"there is no behaviour {name}") for name in absent}
    # The longest first: what they wait for passes while the others run.
    there.sort(key=lambda name: not catalogue()[name].slow)
    progress = Progress(len(there))
    progress.begin()
    statuses = []
    for outcome in runs_side_by_side(
        _observe, [Order(n, folder / f"{n}{SUFFIX}") for n in there], SIDE_BY_SIDE
    ):
        progress.clear()
        name = outcome.item.name
        if outcome.result is None:
            say(f"observatory: {name}: {outcome.message}")
            observed[name] = Observed(None, why_not=_reason(outcome.message, outcome.status))
            statuses.append(outcome.status)
        else:
            observed[name] = outcome.result
        progress.done(name)
    progress.clear()
    return (statuses[0] if statuses and len(statuses) == len(there) else 0), observed


def _observe(order: Order) -> Observed:
    from observatory.pipeline import observe

    path = observe(order.name, path=order.path).path
    assert path is not None
    return _opened(path)


def _reason(message: str, status: int) -> str:
    """Why there is no run, in one line; the whole message was on stderr."""
    from observatory.cli.several import BROKEN

    if status == BROKEN:
        return "an error of the observatory's own kept it from being observed"
    return f"it did not run: {message.partition(chr(10))[0]}"


def _opened(path: Path) -> Observed:
    from observatory.claims.judging import Observed
    from observatory.pipeline import analyze, load

    return Observed(analyze(load(path)), str(path))


# --- How it is shown ------------------------------------------------------------------------------


def _text(report: ClaimsReport) -> str:
    from observatory.reports.claims import render

    shown = display(sys.stdout)
    return render(report, shown.width, shown.colour, shown.ascii)


def _markdown(report: ClaimsReport) -> str:
    from observatory.reports.claims_markdown import render

    return render(report)


def _json(report: ClaimsReport) -> str:
    from observatory.codec.claims_document import encode

    return encode(report, __version__)


FORMATS: Mapping[str, Callable[[ClaimsReport], str]] = {
    "text": _text,
    "markdown": _markdown,
    "json": _json,
}
