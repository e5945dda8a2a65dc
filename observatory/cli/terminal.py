"""What the other end of stdout and stderr can show."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TextIO

from observatory.errors import UsageError

WIDTH_OF_A_FILE = 100


@dataclass(frozen=True, slots=True)
class Display:
    """How a report is to be rendered: columns, colour or not, ASCII only or not, whether nothing
    is left out of a long one, whether the kernel's events are marked in the ladder, and the
    language of the words, where the format has words in several."""

    width: int
    colour: bool
    ascii: bool
    full: bool
    kernel: bool = False
    lang: str = "en"


def display(
    stream: TextIO | None, full: bool = False, kernel: bool = False, lang: str = "en"
) -> Display:
    """What ``stream`` can show; None is a file. NO_COLOR (https://no-color.org) and TERM=dumb are
    respected."""
    if stream is None:
        return Display(WIDTH_OF_A_FILE, False, False, full, kernel, lang)
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Display(
        width=shutil.get_terminal_size((WIDTH_OF_A_FILE, 24)).columns,
        colour=stream.isatty() and not plain,
        ascii=not _shows_unicode(stream),
        full=full,
        kernel=kernel,
        lang=lang,
    )


def _shows_unicode(stream: TextIO) -> bool:
    # Python takes UTF-8 for granted under LC_ALL=C (PEP 540); who sets that asks for ASCII.
    if os.environ.get("LC_ALL") in ("C", "POSIX"):
        return False
    return stream.encoding.lower().replace("-", "") == "utf8"


def write_text(text: str) -> None:
    """A result to stdout. What its encoding lacks is written as an escape."""
    encoding = sys.stdout.encoding
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def write_bytes(data: bytes) -> None:
    """Bytes to stdout as they are; refused on a terminal.

    Raises UsageError.
    """
    if sys.stdout.isatty():
        raise UsageError("this format is binary: name a file with -o, or redirect the output")
    sys.stdout.buffer.write(data)


def say(text: str) -> None:
    """A status line, on stderr."""
    print(text, file=sys.stderr)


def with_notes(text: str, error: BaseException) -> str:
    """``text``, and what was added to the error on its way (where the file is)."""
    return "\n".join([text, *getattr(error, "__notes__", ())])


class Progress:
    """One line on stderr that says how many of several runs are done; nothing if no terminal."""

    def __init__(self, total: int, enabled: bool = True) -> None:
        self._total = total
        self._done = 0
        self._shown = enabled and total > 1 and sys.stderr.isatty()

    def begin(self) -> None:
        self._show("")

    def done(self, name: str) -> None:
        self._done += 1
        self._show(name)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _show(self, name: str) -> None:
        if self._shown:
            line = f"\r\x1b[K[{self._done}/{self._total}] {name}"
            print(line, end="", file=sys.stderr, flush=True)
