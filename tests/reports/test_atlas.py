"""The atlas's pages: whole, linked, and with nothing in them taken for markup."""

import re

import pytest

from observatory import messages
from observatory.reports.atlas import Subject, pages, related, traits
from tests.reports import samples


def subject(name, analysis, **more):
    return Subject(
        name, "4.3", f"Title of {name}", "A summary.", "A story.", "def x(): ...", analysis, **more
    )


@pytest.fixture
def atlas():
    subjects = [subject(name.replace("_", "-"), make()) for name, make in samples.ALL.items()]
    return dict(pages(subjects, {"4.3": "connect"}, messages.load("en")))


def test_every_link_leads_to_a_page(atlas):
    for name, text in atlas.items():
        for target in re.findall(r"\]\(([^)]+)\)", text) if name.endswith(".md") else ():
            assert target in atlas or target.startswith("runs/"), (name, target)


def test_an_errno_has_its_heading_and_its_ways(atlas):
    assert "## ECONNREFUSED" in atlas["by-errno.md"]
    assert "Connection refused" in atlas["by-errno.md"]


def test_every_behaviour_is_in_the_contents(atlas):
    assert all(f"({name})" in atlas["index.md"] for name in atlas if name.endswith(".md")
               and not name.startswith(("by-", "index")))  # fmt: skip


def test_relatives_share_what_is_rare():
    found = {name: traits(make()) for name, make in samples.ALL.items()}
    for name in found:
        assert name not in related(name, found)


def test_markup_in_what_was_observed_is_text():
    s = samples.Sample("<script>")
    s.process(7, "a|b<img>")
    s.call(0, 7, "connect", fd=3, address="unix:/`<b>|", why="*x* <i>")
    found = dict(pages([subject("s", s.analysis())], {}, messages.load("en")))
    outside_code = re.sub(r"(`+).*?\1", "", found["s.md"])
    assert not re.search(r"<(img|i|b)>", outside_code)


def test_a_missing_translation_is_said_in_english_and_counted():
    words = messages.Messages("xx", {"atlas/calls": "CALLS"})
    found = dict(pages([subject("s", samples.refused())], {}, words))
    assert "## CALLS" in found["s.md"]
    assert "Title of s" in found["s.md"]
    assert "title/s" in words.missing
    assert f"{len(words.missing)} texts" in found["index.md"]
