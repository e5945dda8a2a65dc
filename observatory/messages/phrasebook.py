"""Sentences in another language, read back from the English ones.

Analysis speaks English and knows no other language: what it says are sentences made of parts
(``data, 5 bytes, held back until #7 came``). A phrasebook has the patterns of such parts, by their
English text, and says them in its language, part by part. So no phrase has to be marked where it
is made, and nothing of this is paid for until another language is asked for.

In a table of messages ``phrase/TEXT`` stands for what ``TEXT`` says in English. A place in it is
``{name}`` for any words, which are said in turn. Others have a kind: ``{name:n}`` is a number with
its signs (``1,448``, ``2.5``), ``{name:i}`` one or more ids (``#3``, ``c5 and c7``), ``{name:w}``
one word that is a name (``server:80``), ``{name:v}`` any words that are names, ``{name:o}`` one
word that is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from string import Formatter

from observatory.messages import ENGLISH, Messages

PREFIX = "phrase/"

_PLACES = {
    "": r".*?",
    "v": r".*?",
    "n": r"[\d.,]*\d",
    "i": r"[#ck]\d+(?:(?:, | and |, … and |, …, )[#ck]\d+)*",
    "w": r"\S+",
    "o": r"\S+",
}
_SAID = frozenset({"", "i", "o"})
# A word of English, and not a call, an errno, an address, a path or the name of a process.
_WORD = re.compile(r"(?:^|(?<=[\s(\"]))[A-Z]?[a-z]+(?:'s)?(?=[,.;:)\"]*(?:\s|$))")
# Where Chinese and Latin meet at the edge of a place, a space stands between them.
_SEAM = re.compile(r"[\u4e00-\u9fff][\w#/\[]|[\w)\]][\u4e00-\u9fff]")
_CHINESE = re.compile(r"[\u4e00-\u9fff]{2}")


class Phrasebook:
    """Says English sentences in the language of ``words``; what it does not know stays English,
    and is counted there (its numbers taken out). ``prefix`` is that of the table it reads."""

    def __init__(self, words: Messages, prefix: str = PREFIX) -> None:
        self._words = words
        self._prefix = prefix
        phrases = [_Phrase(english, text) for english, text in words.under(prefix).items()]
        self._phrases = sorted(phrases, key=lambda one: -one.weight)
        self._known: dict[str, str | None] = {}

    def say(self, text: str) -> str:
        """``text`` in this language."""
        found = self._read(text)
        if found is not None:
            return found
        if _WORD.search(text):
            self._missing(self._prefix + re.sub(r"\d+", "0", text), text)
        return text

    def explain(self, rule: str, facts: Mapping[str, object], english: str) -> str:
        """What a rule says, filled with its facts: ``rule/NAME`` in the tables. A text that has
        no place for one of them is older than the rule: better in English than without it."""
        key = f"rule/{rule}"
        template = self._words.texts.get(key, "")
        places = {name for _, name, _, _ in Formatter().parse(template) if name}
        if not template or places != facts.keys():
            return self._read(english) or self._missing(key, english)
        return _filled(template, {name: self._fact(fact) for name, fact in facts.items()})

    def _missing(self, key: str, english: str) -> str:
        self._words.missing.add(key)
        return english

    def _fact(self, fact: object) -> str:
        return self.say(fact) if isinstance(fact, str) else str(fact)

    def _read(self, text: str) -> str | None:
        """What the pattern says that fits ``text``; None where none does."""
        if text not in self._known:
            self._known[text] = self._find(text)
        return self._known[text]

    def _find(self, text: str) -> str | None:
        for phrase in self._phrases:
            parts = phrase.parts(text)
            if parts is not None:
                said = {name: self.say(parts[name]) for name in phrase.said}
                return _filled(phrase.text, parts | said)
        return None


def speech(words: Messages) -> Callable[[str], str]:
    """How the reports' own words are said (``report/TEXT`` in the tables): what is none of them,
    a command line or a sentence that is said already, stays as it is and is not counted."""
    if words.lang == ENGLISH:
        return str
    return Phrasebook(Messages(words.lang, words.texts), "report/").say


class _Phrase:
    """One pattern and what it says. ``said`` are the places whose words are said in turn;
    ``weight`` is by how much it is particular, for the most particular is tried first."""

    def __init__(self, english: str, text: str) -> None:
        self.text = text
        pieces = list(Formatter().parse(english))
        literals = [literal for literal, _, _, _ in pieces]
        self.said = [name for _, name, kind, _ in pieces if name and (kind or "") in _SAID]
        self.weight = sum(map(len, literals))
        # Looking for the longest piece of plain text is much faster than the pattern.
        self._sign = max(literals, key=len)
        self._pattern = re.compile("".join(_regex(pieces)), re.DOTALL)

    def parts(self, text: str) -> dict[str, str] | None:
        """What stands in the places, None if ``text`` does not say this."""
        found = self._pattern.fullmatch(text) if self._sign in text else None
        return found.groupdict() if found else None


def _filled(template: str, words: Mapping[str, str]) -> str:
    """``template`` with ``words`` in its places, which are themselves untouched."""
    text = ""
    for literal, name, _, _ in Formatter().parse(template):
        for part in (literal, words[name] if name else ""):
            edge = text[-1:] + part[:1]
            text += " " if _SEAM.fullmatch(edge) and not _CHINESE.fullmatch(edge) else ""
            text += part
    return text


def _regex(pieces: list[tuple[str, str | None, str | None, str | None]]) -> Iterator[str]:
    for literal, name, kind, _ in pieces:
        yield re.escape(literal)
        if name is not None:
            yield f"(?P<{name}>{_PLACES[kind or '']})"
