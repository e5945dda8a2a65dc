"""Message tables: what is there is said, what is not is said in English and counted."""

import json
from importlib.resources import files

import pytest

from observatory import messages
from observatory.errors import UsageError


def test_english_is_the_code_s_own():
    words = messages.load("en")
    assert words.say("x/y", "as written") == "as written"
    assert words.missing == set()


def test_a_table_is_asked_first():
    words = messages.Messages("zh", {"a": "甲"})
    assert words.say("a", "one") == "甲"
    assert words.say("b", "two") == "two"
    assert words.missing == {"b"}


def test_a_language_without_tables_is_refused():
    with pytest.raises(UsageError, match="en, zh"):
        messages.load("tlh")


def test_every_table_is_flat_and_no_key_stands_in_two():
    for lang in messages.languages()[1:]:
        seen = {}
        for table in files(messages).joinpath(lang).iterdir():
            texts = json.loads(table.read_text("utf-8"))
            assert all(isinstance(text, str) and text for text in texts.values())
            assert not seen.keys() & texts.keys()
            seen |= texts
