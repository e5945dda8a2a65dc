"""The HTML page of a run: what was concluded, over the state machine that the analysis has."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.messages import ENGLISH
from observatory.model import Analysis


def page(analysis: Analysis, lang: str = ENGLISH, connect: str = "") -> Iterator[str]:
    """One self-contained page, in pieces; ``connect`` is what it may load while it is open.

    Raises UsageError if there is no edition in ``lang``.
    """
    from observatory.analysis.machine import TRANSITIONS
    from observatory.reports.html import render

    return render(
        analysis, [(row.state, row.event, row.next) for row in TRANSITIONS], lang, connect
    )
