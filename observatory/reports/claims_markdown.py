"""The claims as a Markdown page: the verdicts first, then what each rests on.

The first table has nothing in it that changes from run to run on one kernel, so that two pages
can be compared; ids and times stand in the second part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from observatory.codec.printable import printable
from observatory.model.claims import Check, Claim, ClaimsReport, Item
from observatory.reports.claims import counts_text

Link = Callable[[str], str]

ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|~"} | {"&": "&amp;"})
EVIDENCE = "## Evidence"
HEAD = """\
Statements of W. Richard Stevens, Bill Fenner, Andrew M. Rudoff: *UNIX Network Programming*,
volume 1, third edition, each held against runs of the behaviours named. A verdict is what a
predicate found in the run, by `observatory claims`; none is written down in advance. A statement
**holds** where every test of it came out so, **differs** where one did not; what could not be
observed **cannot be tested here**.
"""


def render(report: ClaimsReport, link: Link = str) -> str:
    """The page; ``link`` makes the run file's name as it is to stand there. Ends with a
    newline."""
    return "\n".join(_lines(report, link)).rstrip("\n") + "\n"


def _lines(report: ClaimsReport, link: Link) -> Iterator[str]:
    yield from (f"# The book's claims on {_plain(report.kernel)}", "", HEAD)
    yield from (f"**{_plain(counts_text(report))}**", "")
    yield "| | UNP | statement | verdict | tested by |"
    yield "| ---: | --- | --- | --- | --- |"
    for claim in report.claims:
        behaviours = ", ".join(f"`{check.behaviour}`" for check in claim.checks)
        statement = f"{_plain(claim.statement)} *“{_plain(claim.quoted)}”*"
        yield (
            f"| [{claim.number}](#{claim.number}) | {claim.section} | {statement} "
            f"| **{claim.verdict}** | {behaviours} |"
        )
    yield from ("", EVIDENCE, "")
    yield "Times are since the first event of each run; `c` is a call, `#` a segment, `k` an event"
    yield "that the kernel reported, numbered as in the run file."
    yield ""
    for claim in report.claims:
        yield from _claim(claim, link)


def _claim(claim: Claim, link: Link) -> Iterator[str]:
    yield from (f"### {claim.number}", "")
    yield f"UNP {claim.section}: {_plain(claim.statement)} **{claim.verdict}**"
    yield ""
    for check in claim.checks:
        yield from _check(check, link)


def _check(check: Check, link: Link) -> Iterator[str]:
    run_file = f" ({link(check.run_file)})" if check.run_file else ""
    yield f"`{check.behaviour}`{run_file}: {check.finding.verdict}. {_plain(check.finding.seen)}"
    yield ""
    if check.items:
        yield from ("| id | time | what |", "| --- | ---: | --- |")
        yield from (_item(item, check.started_ns or 0) for item in check.items)
        yield ""


def _item(item: Item, start: int) -> str:
    times = f"{_micros(item.time_ns - start)}"
    if item.until_ns is not None and not item.id.startswith("#"):
        times += f" – {_micros(item.until_ns - start)}"  # noqa: RUF001
    return f"| {_ids(item.id)} | {times} | {_code(item.text)} |"


def _micros(time_ns: int) -> str:
    return f"{time_ns // 1000:,} µs"


def _plain(text: str) -> str:
    return _ids(printable(text).translate(ESCAPED))


def _ids(text: str) -> str:
    """Segment ids in code spans: a ticket system would take a bare ``#12`` for its own."""
    return re.sub(r"#\d+", r"`\g<0>`", text)


def _code(text: str) -> str:
    safe = printable(text).replace("|", "\\|")
    return f"`` {safe} ``" if "`" in safe else f"`{safe}`"
