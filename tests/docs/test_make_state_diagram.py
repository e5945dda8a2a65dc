"""The diagram in the documents is the table's, and says so when it is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from observatory.analysis.machine import STATES

SCRIPT = Path(__file__).parents[2] / "docs" / "make_state_diagram.py"


@pytest.fixture
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_state_diagram", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_table_as_it_is(maker: ModuleType) -> None:
    page = maker.PAGE.read_text("utf-8")
    assert page == maker.page_with(page, maker.diagram()), (
        "run: python docs/make_state_diagram.py --write"
    )


def test_every_state_is_drawn(maker: ModuleType) -> None:
    drawing = maker.diagram()
    for state in STATES:
        assert f" {state.replace('-', '_')}" in drawing


def test_a_page_without_marks_is_refused(maker: ModuleType) -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        maker.page_with("nothing here", "drawing")
