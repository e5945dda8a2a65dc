"""Texts in other languages: tables of messages, by language, beside the English in the code.

``observatory/messages/LANG/*.json`` are flat objects from key to text. A key names what is said:
``title/connect-refused``, ``rule/connect-refused``, ``atlas/calls``; a phrase is named by its
English (``phrase/ACK of data``, see phrasebook.py). What a table lacks is said in English, and
counted, so that a missing translation is seen and never a missing text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from observatory.errors import UsageError

ENGLISH = "en"


class Messages:
    """One language's texts. ``missing`` are the keys that were asked for and not there."""

    def __init__(self, lang: str, texts: Mapping[str, str]) -> None:
        self.lang = lang
        self.texts = texts
        self.missing: set[str] = set()

    def say(self, key: str, english: str) -> str:
        """The text under ``key``, or the English one."""
        found = self.texts.get(key)
        if found is not None:
            return found
        if self.lang != ENGLISH:
            self.missing.add(key)
        return english

    def title(self, behaviour: str) -> str:
        """A behaviour's title, its name where there is none."""
        return self.texts.get(f"title/{behaviour}", behaviour)

    def under(self, prefix: str) -> dict[str, str]:
        """The texts whose keys begin with ``prefix``, by what comes after it."""
        found = self.texts.items()
        return {key.removeprefix(prefix): text for key, text in found if key.startswith(prefix)}

    def __contains__(self, key: str) -> bool:
        return key in self.texts


def languages() -> tuple[str, ...]:
    """English, and every language that has a table."""
    folders = (one for one in files(__name__).iterdir() if one.is_dir())
    found = (
        one.name for one in folders if any(each.name.endswith(".json") for each in one.iterdir())
    )
    return (ENGLISH, *sorted(found))


def load(lang: str) -> Messages:
    """The texts of ``lang``. Raises UsageError if there is no such language."""
    if lang == ENGLISH:
        return Messages(ENGLISH, {})
    if lang not in languages():
        raise UsageError(f"there is no edition in {lang!r}: use one of {', '.join(languages())}")
    return Messages(lang, _texts(lang))


@cache
def _texts(lang: str) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    for table in sorted(files(__name__).joinpath(lang).iterdir(), key=lambda one: one.name):
        if table.name.endswith(".json"):
            texts |= json.loads(table.read_text("utf-8"))
    return texts
