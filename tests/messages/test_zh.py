"""The Chinese edition is whole: everything that the kept runs and the plays can say has a text."""

import re
from pathlib import Path
from string import Formatter

import pytest

from observatory import messages
from observatory.analysis import analyze
from observatory.analysis.rules import RULES
from observatory.claims.statements import STATEMENTS
from observatory.cli.selecting import SECTIONS, all_behaviours
from observatory.pipeline import load
from observatory.reports.html import words
from observatory.reports.translated import in_language
from tests.plays import read_play

ROOT = Path(__file__).parents[2]
RUNS = sorted((ROOT / "captures" / "catalogue").glob("*.pcapng"))
PLAYS = sorted((ROOT / "tests" / "analysis" / "plays").rglob("*.play"))
# Texts that may be in English still, over all rules, runs and plays: those whose English was
# changed and that nobody has said anew. The number is printed; it may shrink, and must not grow.
STILL_ENGLISH = 12


def places(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.fixture(scope="module")
def zh():
    return messages.load("zh")


def test_nothing_that_was_observed_or_played_is_without_a_text(zh, capsys):
    for run in RUNS:
        in_language(analyze(load(run)), zh)
    for play in PLAYS:
        in_language(analyze(read_play(play.read_text()).trace), zh)
    texts = zh.under("rule/")
    older = {r.id for r in RULES if places(texts.get(r.id, "")) != places(r.text)}
    older |= {rule.id for rule in RULES if rule.id not in texts}
    missing = sorted(zh.missing | {f"rule/{name}" for name in older})
    with capsys.disabled():
        print(f"\n{len(missing)} texts are not in Chinese{': ' if missing else ''}", *missing)
    assert len(missing) <= STILL_ENGLISH


def test_every_phrase_has_the_places_of_its_pattern(zh):
    for kind in ("phrase/", "report/"):
        for pattern, text in zh.under(kind).items():
            assert places(text) <= places(pattern), pattern
            # One that is nothing but places would fit everything.
            assert any(literal.strip() for literal, *_ in Formatter().parse(pattern)), pattern


def test_every_behaviour_section_and_statement_has_its_texts(zh):
    for one in all_behaviours():
        for kind in ("title", "summary", "story"):
            assert f"{kind}/{one.name}" in zh
    assert all(f"section/{section}" in zh for section in SECTIONS)
    assert all(f"claim/{one.number}" in zh for one in STATEMENTS)


def test_the_page_s_own_words_are_there_with_their_places():
    english, chinese = words("en"), words("zh")
    spoken = {key for key in english if re.search("[a-z]{3}", english[key])}
    assert {key for key in spoken if f"page/{key}" not in messages.load("zh")} == set()
    for key in english:
        assert places(english[key]) == places(chinese[key]), key


def test_no_text_speaks_to_nobody():
    """Keys of behaviours, statements and words that are no more."""
    zh = messages.load("zh")
    assert set(zh.under("title/")) <= {one.name for one in all_behaviours()}
    assert set(zh.under("claim/")) <= {str(one.number) for one in STATEMENTS}
    assert set(zh.under("page/")) <= set(words("en"))
