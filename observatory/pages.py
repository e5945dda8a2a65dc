"""The HTML page of a run: what was concluded, over the state machine that the analysis has."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from observatory.messages import ENGLISH, load
from observatory.model import Analysis


def page(analysis: Analysis, lang: str = ENGLISH, connect: str = "") -> Iterator[str]:
    """One self-contained page, in pieces; ``connect`` is what it may load while it is open.

    In another language the document in it speaks that language too, where it has words for what
    is said. Raises UsageError if there is no edition in ``lang``.
    """
    from observatory.analysis.machine import TRANSITIONS
    from observatory.reports.html import render
    from observatory.reports.translated import in_language

    arcs = [(row.state, row.event, row.next) for row in TRANSITIONS]
    return render(in_language(analysis, load(lang)), arcs, lang, connect)


def framed(analysis: Analysis) -> str:
    """The page in a frame, for a notebook: neither's styles and scripts reach the other's."""
    source = escape("".join(page(analysis)), quote=True)
    return (
        f'<iframe srcdoc="{source}" sandbox="allow-scripts" title="observatory" '
        'style="width: 100%; height: 44rem; border: 1px solid #8884"></iframe>'
    )
