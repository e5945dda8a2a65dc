"""The grammar of strace's calls: a lexer and a recursive-descent parser.

    call      = NAME "(" [argument {"," argument}] ")" "=" result
    argument  = [NAME "="] value ["=>" value]
    value     = term {operator term}
    term      = STRING | DESCRIPTOR | NUMBER | NAME ["(" arguments ")"] | struct | array | "..."
    struct    = "{" [argument {"," argument}] "}"
    array     = "[" {value [","]} "]"
    result    = ("?" | NUMBER | DESCRIPTOR) [ERRNO "(" message ")"] ["(" detail ")"] ["<" T ">"]

Comments may stand anywhere. Source: strace(1), and strace 6.1's own print functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from observatory.codec.strace.values import (
    Array,
    Change,
    Descriptor,
    Named,
    Nested,
    Struct,
    Text,
    Value,
)

# Deeper nesting than any system call's arguments have; a damaged line must not exhaust the stack.
DEEPEST = 40

_BLANK = re.compile(r"(?:\s+|/\*.*?\*/)*", re.DOTALL)
# What -y puts behind a descriptor. Angle brackets in paths are escaped; -yy nests one pair, and
# has arrows between addresses.
_DECORATION = r"<(?P<names>(?:->(?=[\[\d])|[^<>\\]|\\.|<[^<>]*>)*)>(?:\(deleted\))?"
_TOKEN = re.compile(
    r"""(?P<string>(?P<abstract>@?)"(?P<raw>[^"\\]*(?:\\.[^"\\]*)*)"(?P<cut>(?:\.\.\.)?))"""
    rf"|(?P<descriptor>(?P<number>-?\d+|AT_FDCWD){_DECORATION})"
    r"|(?P<hexadecimal>-?0x[0-9a-fA-F]+)"
    r"|(?P<real>-?\d+\.\d+)"
    r"|(?P<decimal>-?\d+)"
    r"|(?P<name>&?[A-Za-z_][\w.]*)"
    r"|(?P<sign>\.\.\.|=>|==|&&|\|\||<<|>>|[][{}(),=|~?*+:/!@-])",
    re.DOTALL,
)
_OPERATORS = frozenset({"|", "||", "&&", "==", "<<", ">>", "*", "+", "-", "or"})
_AT_FDCWD = -100

_RESULT = re.compile(
    r"\s*=\s*(?:(?P<unknown>\?)"
    rf"|(?P<value>-?(?:0x[0-9a-fA-F]+|\d+))(?:{_DECORATION})?)"
    r"(?:\s+/\*\s*(?P<outer>\d+) in strace's PID ns\s*\*/)?"
    r"(?:\s+(?P<errno>E[A-Z0-9_]+)\b(?:\s+\((?P<message>[^()]*(?:\([^()]*\)[^()]*)*)\))?)?"
    r"(?:\s+\((?!INJECTED|DELAYED)(?P<detail>.*?)\))?"
    r"(?:\s+\((?:INJECTED|DELAYED)[^()]*\))*"
    r"(?:\s+<\d+\.\d+>)?\s*\Z",
    re.DOTALL,
)

# An error number that has no name.
_STRANGE = re.compile(r"errno (\d+)")


class Unreadable(Exception):
    """The text is not what the grammar says."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call returned.

    ``value`` is None for ``?``; ``errno`` also ``ERESTARTSYS`` and its kin; ``names`` what -y
    says of a new descriptor; ``detail`` what stood in parentheses (``Timeout``, poll's ready
    set).
    """

    value: int | None
    errno: str | None = None
    names: str | None = None
    detail: str = ""


def read_arguments(text: str, start: int = 0) -> tuple[tuple[Value, ...], int]:
    """The arguments from behind their opening parenthesis, and where their end stands.

    Raises Unreadable.
    """
    reader = _Reader(text, start)
    arguments, _ = reader.sequence(")", 0)
    return tuple(arguments), reader.position


def read_values(text: str) -> tuple[Value, ...]:
    """Values separated by commas, as in a result's detail: ``in [5], out [5]``."""
    return read_arguments(f"{text})")[0]


def read_outcome(text: str, start: int) -> Outcome:
    """What follows a call's closing parenthesis. Raises Unreadable."""
    found = _RESULT.match(text, start)
    if found is None:
        raise Unreadable("no result")
    value, outer = found["value"], found["outer"]
    number = None if value is None else int(outer) if outer else int(value, 0)
    strange = _STRANGE.fullmatch(found["detail"] or "")
    return Outcome(
        number,
        f"E{strange[1]}" if strange else found["errno"],
        _unescaped(found["names"]) if found["names"] else None,
        found["detail"] or "",
    )


def _unescaped(names: str) -> str:
    """With ``-x`` decorations are escaped as strings are."""
    return str(Text(names)) if "\\" in names else names


class _Reader:
    """A position in a text, and one method for each rule of the grammar."""

    __slots__ = ("_end", "_found", "_next", "position", "text")

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.position = start  # behind the last token taken
        self._look(start)

    def _look(self, start: int) -> None:
        blank = _BLANK.match(self.text, start)
        found = _TOKEN.match(self.text, blank.end() if blank else start)
        self._found = found
        self._next = "" if found is None else found.group()
        self._end = start if found is None else found.end()

    def _take(self) -> re.Match[str]:
        found = self._found
        if found is None:
            raise Unreadable(f"at character {self.position}")
        self.position = self._end
        self._look(self._end)
        return found

    def sequence(self, closing: str, depth: int) -> tuple[list[Value], bool]:
        """Arguments up to a closing sign, which is taken; and whether ``...`` was among them."""
        items: list[Value] = []
        cut = False
        while self._next != closing:
            if self._next == ",":
                self._take()
            elif self._next == "...":
                self._take()
                cut = True
            else:
                items.append(self.argument(depth))
        # The sign itself, without looking beyond: what follows the last one is no argument.
        self.position = self._end
        if depth:
            self._look(self._end)
        return items, cut

    def argument(self, depth: int) -> Value:
        value = self.value(depth)
        if self._next == "=" and isinstance(value, str):
            self._take()
            return Named(value, self.changing(self.value(depth), depth))
        return self.changing(value, depth)

    def changing(self, value: Value, depth: int) -> Value:
        if self._next != "=>":
            return value
        self._take()
        return Change(value, self.value(depth))

    def value(self, depth: int) -> Value:
        if depth > DEEPEST:
            raise Unreadable("nested too deep")
        start = self._end - len(self._next)
        value = self.term(depth)
        if self._next not in _OPERATORS:
            return value
        while self._next in _OPERATORS:
            self._take()
            self.term(depth)
        return self.text[start : self.position]

    def term(self, depth: int) -> Value:
        found = self._take()
        match found.lastgroup:
            case "string":
                return Text(found["raw"], bool(found["cut"]), bool(found["abstract"]))
            case "descriptor":
                number = found["number"]
                names = _unescaped(found["names"])
                return Descriptor(_AT_FDCWD if number[0] == "A" else int(number), names)
            case "decimal" | "hexadecimal":
                return _integer(found.group())
            case "real":
                return float(found.group())
            case "name":
                return self.after_name(found.group(), depth)
        return self.after_sign(found.group(), depth)

    def after_name(self, name: str, depth: int) -> Value:
        if self._next != "(":
            return name
        self._take()
        return Nested(name, tuple(self.sequence(")", depth + 1)[0]))

    def after_sign(self, sign: str, depth: int) -> Value:
        match sign:
            case "{":
                return self.struct(depth + 1)
            case "[":
                items, cut = self.sequence("]", depth + 1)
                return Array(tuple(items), cut)
            case "~" | "!":
                self.value(depth + 1)
                return sign
            case "?":
                return sign
        raise Unreadable(f"{sign} at character {self.position}")

    def struct(self, depth: int) -> Struct:
        items, cut = self.sequence("}", depth)
        members = {item.name: item.value for item in items if isinstance(item, Named)}
        others = tuple(item for item in items if not isinstance(item, Named))
        return Struct(members, others, cut)


def _integer(text: str) -> int:
    """Decimal, hexadecimal, or octal as file modes are printed."""
    digits = text.lstrip("-")
    if len(digits) > 40:
        raise Unreadable("a number of too many digits")
    if digits[:2] == "0x":
        return int(text, 16)
    if digits[0] == "0" and len(digits) > 1 and digits.isdigit() and not set(digits) & {"8", "9"}:
        return int(text, 8)
    return int(text)
