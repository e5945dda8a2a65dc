"""How text reports look: glyphs, colours, and text measured and wrapped in terminal cells.

Everything that comes from a program or from the wire passes through ``Look.text`` on its way to
the page, which escapes what a terminal would obey and, where the terminal is not UTF-8, writes
the rest in ASCII.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from observatory.codec.printable import printable

# SGR parameters. Meaning never rests on colour alone: each has a glyph or a word as well.
SGR = {
    "": "",
    "dim": "2",
    "strong": "1",
    "title": "1",
    "id": "36",
    "call": "",
    "error": "31",
    "again": "33",
    "reset": "31",
    "segment": "32",
    "doubt": "33",
    "alarm": "1;31",
}

# A blank that no line is broken at; it is printed as an ordinary one.
GLUE = "\N{NO-BREAK SPACE}"

ASCII_SPELLINGS = str.maketrans(
    {
        "→": "->",
        "←": "<-",
        "↔": "<->",
        "⇒": "=>",
        "·": "-",
        "…": "...",
        "–": "-",  # noqa: RUF001
        "—": "-",
        "µ": "u",
        "μ": "u",
        "×": "x",  # noqa: RUF001
        "≥": ">=",
        "≤": "<=",
        "≠": "!=",
        "“": '"',
        "”": '"',
        "‘": "'",  # noqa: RUF001
        "’": "'",  # noqa: RUF001
        "§": "section ",
        "✗": "X",
        "┃": "H",
    }
)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that the ladder is drawn with, one cell each."""

    lane: str
    blocked: str
    gone: str
    tee_right: str
    tee_left: str
    line: str
    dashed: str
    cross: str
    head_right: str
    head_left: str
    lost: str
    loop: str


UNICODE = Glyphs("│", "┃", "┊", "├", "┤", "─", "╌", "┼", "▶", "◀", "✗", "↺")
ASCII = Glyphs("|", "H", ":", "+", "+", "-", "~", "+", ">", "<", "X", "@")


@dataclass(frozen=True, slots=True)
class Look:
    """One terminal: its width in cells, and whether it has colour and UTF-8. ``say`` says a
    report's own words in the language of the report."""

    width: int = 100
    colour: bool = False
    ascii: bool = False
    say: Callable[[str], str] = str
    glyphs: Glyphs = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "glyphs", ASCII if self.ascii else UNICODE)

    def text(self, text: str) -> str:
        """``text`` as this terminal can be given it."""
        safe = printable(text)
        if self.ascii:
            safe = safe.translate(ASCII_SPELLINGS).encode("ascii", "backslashreplace").decode()
        return safe

    def paint(self, text: str, style: str) -> str:
        """``text`` in a style of ``SGR``, untouched without colour."""
        sgr = SGR[style]
        return f"\x1b[{sgr}m{text}\x1b[0m" if self.colour and sgr and text else text

    def title(self, text: str) -> str:
        """The heading of a section."""
        return self.paint(self.say(text), "title")

    def paragraph(self, text: str, indent: str = "", hanging: str | None = None) -> list[str]:
        """``text`` wrapped to the width, ``hanging`` before every line but the first."""
        return wrap(self.text(self.say(text)), self.width, indent, hanging)

    def flow(self, parts: Iterable[str], indent: str = "") -> list[str]:
        """``parts`` joined by dots, broken between parts where they fit on lines of their own."""
        lines: list[str] = []
        line = ""
        for part in (self.text(self.say(part)) for part in parts):
            joined = f"{line}{self.text(' · ')}{part}" if line else part
            if line and cells(indent) + cells(joined) > self.width:
                lines += wrap(line, self.width, indent)
                joined = part
            line = joined
        return lines + wrap(line, self.width, indent)


def char_cells(char: str) -> int:
    """Terminal cells of one printable character: 2 for wide ones, 0 for combining ones."""
    if char < "\u0300":
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def cells(text: str) -> int:
    """Terminal cells of a printable text."""
    return len(text) if text.isascii() else sum(map(char_cells, text))


def wrap(text: str, width: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Lines of at most ``width`` cells, broken at blanks (but not at GLUE), in the middle of a
    word only when the word is longer than a line."""
    hanging = indent if hanging is None else hanging
    lines: list[str] = []
    line, used, empty = indent, cells(indent), True
    for word in _pieces(filter(None, text.split(" ")), max(width - cells(hanging), 8)):
        needed = cells(word) + (not empty)
        if not empty and used + needed > width:
            lines.append(line)
            line, used, empty, needed = hanging, cells(hanging), True, cells(word)
        line += (word if empty else " " + word).replace(GLUE, " ")
        used += needed
        empty = False
    if not empty:
        lines.append(line)
    return lines


def _pieces(words: Iterable[str], room: int) -> Iterable[str]:
    for word in words:
        while cells(word) > room:
            head = clip(word, room)
            yield head
            word = word[len(head) :]
        yield word


def clip(text: str, room: int) -> str:
    """The longest beginning of ``text`` that fits ``room`` cells; at least one character."""
    used = 0
    for position, char in enumerate(text):
        used += char_cells(char)
        if used > room:
            return text[: max(position, 1)]
    return text


class Canvas:
    """One line of the page, written at any column; later writing covers earlier."""

    def __init__(self, width: int) -> None:
        self._cells: list[str] = [" "] * width
        self._styles: list[str] = [""] * width

    def write(self, column: int, text: str, style: str = "") -> None:
        """Write printable ``text`` from ``column`` on; what would stand off the page is lost."""
        for char in text:
            taken = char_cells(char)
            if taken == 0:
                if 0 < column <= len(self._cells):
                    self._cells[column - 1] += char
                continue
            if column < 0 or column + taken > len(self._cells):
                return
            self._cells[column] = char
            self._styles[column] = style
            if taken == 2:
                self._cells[column + 1] = ""
                self._styles[column + 1] = style
            column += taken

    def render(self, look: Look) -> str:
        """The line, without blanks at its end."""
        end = len(self._cells)
        while end and self._cells[end - 1] == " ":
            end -= 1
        if not look.colour:
            return "".join(self._cells[:end])
        out: list[str] = []
        start = 0
        for column in range(1, end + 1):
            if column == end or self._styles[column] != self._styles[start]:
                out.append(look.paint("".join(self._cells[start:column]), self._styles[start]))
                start = column
        return "".join(out)
