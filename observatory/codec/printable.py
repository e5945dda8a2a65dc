"""Text from programs and from the wire, made safe to print on a terminal or in a table."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` with everything that a terminal would obey or hide written as an escape.

    Control characters, ANSI escapes, bidirectional and zero-width marks, line and paragraph
    separators and lone surrogates become ``\\x1b``, ``\\u202e`` and the like.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def quoted(text: str) -> str:
    """``text`` between double quotes, as strace prints strings."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(char: str) -> str:
    if char in SHORT_ESCAPES:
        return SHORT_ESCAPES[char]
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
