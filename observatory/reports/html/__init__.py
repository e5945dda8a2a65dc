"""One self-contained HTML page: the document, and the program that shows it, in one file.

The page holds the JSON document as it is, beside it what Python alone knows (which lanes there
are, in what order the rows come, what the calls say), and a small program without a framework
(``js/``) that draws both. A Content-Security-Policy allows this script and this stylesheet and
nothing else: no request leaves the page, and no text in it can become a script.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from observatory import messages
from observatory.codec.printable import printable
from observatory.messages.phrasebook import speech
from observatory.model import Analysis
from observatory.reports.html.assets import policy, program, script_safe, stylesheet
from observatory.reports.html.rows import drawing
from observatory.reports.text import coverage_text

FOLDER = Path(__file__).parent

Arc = tuple[str, str, str]
"""A transition of the state machine: from, event, to."""


def render(
    analysis: Analysis,
    arcs: Iterable[Arc] = (),
    lang: str = messages.ENGLISH,
    connect: str = "",
) -> Iterator[str]:
    """The page, in pieces.

    ``arcs`` are RFC 9293's transitions, over which the states are drawn. ``lang`` is the language
    of the page's own words (those it lacks are in English). ``connect`` is what the page may load
    while it is open (a CSP source such as ``'self'``, for a page that is served and grows);
    nothing by default. Raises UsageError if there is no such language.
    """
    import jinja2

    from observatory.codec.document import encode

    texts = words(lang)
    run = analysis.trace.run
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.j2").generate(
        title=printable(run.scenario or run.command or texts["capture"]),
        coverage=coverage_text(analysis.coverage, speech(messages.load(lang))),
        lang=lang,
        t=texts,
        policy=policy(connect),
        style=stylesheet(),
        program=program(),
        document=script_safe(encode(analysis).decode()),
        drawing=script_safe(drawing(analysis, arcs)),
        messages=script_safe(texts),
    )


def words(lang: str) -> dict[str, str]:
    """The page's own words by key: under ``page/KEY`` in the tables of messages."""
    texts = messages.load(lang)
    return {key: texts.say(f"page/{key}", english) for key, english in _english().items()}


@cache
def _english() -> dict[str, str]:
    table: dict[str, str] = json.loads((FOLDER / "english.json").read_text("utf-8"))
    return table
