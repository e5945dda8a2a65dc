"""An analysis in each of the formats that ``report`` knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from observatory.cli.terminal import Display, say, write_bytes, write_text

if TYPE_CHECKING:
    from observatory.model import Analysis


def of_file(name: str | None) -> str:
    """The format that a file's name asks for by its ending; text where it asks for none."""
    return ENDINGS.get(Path(name or "").suffix, "text")


def named(form: str, rows: str | None = None) -> str:
    """A format as the tables below name it: CSV is of calls or of segments."""
    return f"{rows or 'calls'}-csv" if form == "csv" else form


def to_stdout(analysis: Analysis, name: str, display: Display) -> None:
    """Raises UsageError for a binary format on a terminal, or for an unknown language."""
    if name in TEXT:
        write_text(rendered(analysis, name, display))
        return
    for chunk in BINARY[name](_said(analysis, name, display.lang), display):
        write_bytes(chunk)


def to_file(analysis: Analysis, name: str, path: Path, display: Display) -> None:
    """Writes to ``path``, or a numbered name beside it if there is such a file already.

    Raises WriteFailed, UsageError for an unknown language.
    """
    from observatory.pipeline import write_new

    chunks: Iterable[bytes]
    if name in TEXT:
        chunks = [rendered(analysis, name, display).encode("utf-8", "backslashreplace")]
    else:
        chunks = BINARY[name](_said(analysis, name, display.lang), display)
    say(f"wrote {write_new(path, chunks)}")


def rendered(analysis: Analysis, name: str, display: Display) -> str:
    """A text format's text, in the display's language. Raises UsageError for an unknown one."""
    return TEXT[name](_said(analysis, name, display.lang), display)


def _said(analysis: Analysis, name: str, lang: str) -> Analysis:
    """The analysis in a language; on stderr, how much of it there is no text for. A capture file
    keeps the words that it was recorded with."""
    from observatory import messages
    from observatory.reports.translated import in_language

    words = messages.load(lang)
    said = analysis if name in CAPTURES else in_language(analysis, words)
    if count := len(words.missing):
        say(f"{count} text{' is' if count == 1 else 's are'} not translated")
    return said


def text(analysis: Analysis, display: Display) -> str:
    from observatory.reports.text import render

    return render(
        analysis, display.width, display.colour, display.ascii, display.full, display.kernel
    )


def _json(analysis: Analysis, display: Display) -> str:
    from observatory.codec.document import encode

    return encode(analysis).decode()


def _markdown(analysis: Analysis, display: Display) -> str:
    from observatory.reports.markdown import render

    return render(analysis, display.full)


def _pcapng(analysis: Analysis, display: Display) -> Iterator[bytes]:
    from observatory.codec.runfile import write_run
    from observatory.reports.annotations import comments

    return write_run(analysis.trace, comments(analysis))


def _pcap(analysis: Analysis, display: Display) -> Iterator[bytes]:
    from observatory.codec.packets import left_out, write_packets

    chunks = write_packets(analysis.trace)
    say(f"left out of the pcap: {', '.join(left_out(analysis.trace))}")
    return chunks


def _mermaid(analysis: Analysis, display: Display) -> str:
    from observatory.reports.mermaid import render

    return render(analysis)


def _svg(analysis: Analysis, display: Display) -> str:
    from observatory.reports.svg import render

    return render(analysis, title=_title(analysis), kernel=display.kernel)


def _html(analysis: Analysis, display: Display) -> Iterator[bytes]:
    from observatory.pages import page

    return (chunk.encode() for chunk in page(analysis, display.lang))


def _png(analysis: Analysis, display: Display) -> Iterator[bytes]:
    from observatory.reports.svg import png, render

    yield png(render(analysis, title=_title(analysis), plain=True, kernel=display.kernel))


def _title(analysis: Analysis) -> str | None:
    """The behaviour's title in the language of the analysis; in English its name will do."""
    from observatory import messages

    name, lang = analysis.trace.run.scenario, analysis.language
    return None if lang == messages.ENGLISH or not name else messages.load(lang).title(name)


def _calls_csv(analysis: Analysis, display: Display) -> str:
    from observatory.reports.tables import calls_csv

    return calls_csv(analysis)


def _segments_csv(analysis: Analysis, display: Display) -> str:
    from observatory.reports.tables import segments_csv

    return segments_csv(analysis)


TEXT: Mapping[str, Callable[[Analysis, Display], str]] = {
    "text": text,
    "json": _json,
    "markdown": _markdown,
    "mermaid": _mermaid,
    "svg": _svg,
    "calls-csv": _calls_csv,
    "segments-csv": _segments_csv,
}
CAPTURES = frozenset({"pcapng", "pcap"})
BINARY: Mapping[str, Callable[[Analysis, Display], Iterator[bytes]]] = {
    "html": _html,
    "png": _png,
    "pcapng": _pcapng,
    "pcap": _pcap,
}
ENDINGS = {
    ".json": "json",
    ".html": "html",
    ".md": "markdown",
    ".svg": "svg",
    ".png": "png",
    ".mmd": "mermaid",
    ".csv": "csv",
    ".pcapng": "pcapng",
    ".pcap": "pcap",
}
