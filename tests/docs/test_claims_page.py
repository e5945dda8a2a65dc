"""docs/claims.md has a row and evidence for every statement that is put to the test."""

import re
from pathlib import Path

import pytest

from observatory.claims.statements import STATEMENTS, Statement
from observatory.model.claims import Verdict
from observatory.reports.claims_markdown import EVIDENCE

PAGE = (Path(__file__).parent.parent.parent / "docs" / "claims.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| \[(\d+)\]\(#\d+\) \| (\S+) \| .* \| \*\*(.+)\*\* \| (.+) \|$", re.MULTILINE)
ROWS = {int(row[1]): row for row in ROW.finditer(PAGE)}


def test_the_page_says_which_kernel_it_is_for() -> None:
    assert re.match(r"# The book's claims on Linux \d+\.\d+", PAGE)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: str(one.number))
def test_every_statement_is_there(statement: Statement) -> None:
    """`make claims` writes the page anew."""
    row = ROWS[statement.number]
    assert row[2] == statement.section
    assert row[3] in list(Verdict)
    assert all(f"`{name}`" in row[4] for name in statement.behaviours)
    assert f"\n### {statement.number}\n" in PAGE.partition(EVIDENCE)[2]
