"""The page about evidence is made from the tables, and says so when it is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from observatory.analysis.evidence import ASKED, ROW, ROWS
from observatory.analysis.resets import RESETS
from observatory.analysis.rules import RULES

SCRIPT = Path(__file__).parents[2] / "docs" / "make_evidence_page.py"


@pytest.fixture
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_evidence_page", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_tables_as_they_are(maker: ModuleType) -> None:
    assert maker.PAGE.read_text("utf-8") == maker.page(), (
        "run: python docs/make_evidence_page.py --write"
    )


def test_every_row_is_on_the_page_and_says_what_the_kernel_must_show(maker: ModuleType) -> None:
    page = maker.page()
    for row in ROWS:
        assert f"(`{row.id}`)" in page
        assert row.kernel or row.contradicts
    assert len(ROW) == len(ROWS), "two rows of one name"


def test_what_the_tables_name_is_there() -> None:
    assert {asked.row for asked in ASKED} <= set(ROW)
    rules = {rule.id for rule in RULES}
    assert {rule for asked in ASKED for rule in asked.rules} <= rules
    assert {row.mechanism for row in RESETS} - {""} <= set(ROW)
