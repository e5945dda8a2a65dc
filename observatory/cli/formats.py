"""An analysis in each of the formats that ``report`` knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from observatory.cli.terminal import WIDTH_OF_A_FILE, Display, say, write_bytes, write_text
from observatory.errors import UsageError

if TYPE_CHECKING:
    from observatory.model import Analysis


def to_stdout(analysis: Analysis, name: str, display: Display) -> None:
    """Raises UsageError for a binary format on a terminal."""
    if name in TEXT:
        write_text(TEXT[name](analysis, display))
        return
    for chunk in BINARY[name](analysis):
        write_bytes(chunk)


def to_file(analysis: Analysis, name: str, path: Path, full: bool) -> None:
    """Writes to ``path``, or a numbered name beside it if there is such a file already.

    Raises WriteFailed.
    """
    from observatory.pipeline import write_new

    display = Display(WIDTH_OF_A_FILE, colour=False, ascii=False, full=full)
    chunks: Iterable[bytes]
    if name in TEXT:
        chunks = [TEXT[name](analysis, display).encode("utf-8", "backslashreplace")]
    else:
        chunks = BINARY[name](analysis)
    say(f"wrote {write_new(path, chunks)}")


def text(analysis: Analysis, display: Display) -> str:
    from observatory.reports.text import render

    return render(analysis, display.width, display.colour, display.ascii, display.full)


def _json(analysis: Analysis, display: Display) -> str:
    from observatory.codec.document import encode

    return encode(analysis).decode()


def _markdown(analysis: Analysis, display: Display) -> str:
    from observatory.reports.markdown import render

    return render(analysis, display.full)


def _pcapng(analysis: Analysis) -> Iterator[bytes]:
    from observatory.codec.runfile import write_run
    from observatory.reports.annotations import comments

    return write_run(analysis.trace, comments(analysis))


def _pcap(analysis: Analysis) -> Iterator[bytes]:
    """One link type is all that the format has: refused where the run has several."""
    from observatory.codec.pcap import write_pcap

    trace = analysis.trace
    linktypes = {interface.linktype for interface in trace.interfaces}
    if len(linktypes) > 1:
        raise UsageError(
            f"a pcap file has one link type and this capture has {len(linktypes)}: "
            "use --format pcapng"
        )
    say(f"left out of the pcap: {_left_out(analysis)}")
    try:
        yield from write_pcap(trace.frames, linktypes.pop() if linktypes else 1)
    except ValueError as error:
        raise UsageError(f"{error}: use --format pcapng") from error


def _left_out(analysis: Analysis) -> str:
    trace = analysis.trace
    counted = Counter(
        {
            "calls": len(trace.calls),
            "kernel events": len(trace.kernel),
            "annotations": len(trace.segments),
            "drop counts": sum(one.dropped is not None for one in trace.interfaces),
        }
    )
    parts = [f"{count} {what}" for what, count in counted.items() if count]
    return ", ".join([*parts, "and all about the run (kernel, processes, interface names)"])


TEXT: Mapping[str, Callable[[Analysis, Display], str]] = {
    "text": text,
    "json": _json,
    "markdown": _markdown,
}
BINARY: Mapping[str, Callable[[Analysis], Iterator[bytes]]] = {"pcapng": _pcapng, "pcap": _pcap}
