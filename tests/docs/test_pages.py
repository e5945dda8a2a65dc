"""What the pages tell people to type is what the command takes, and what they link to is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from observatory.cli import arguments
from observatory.cli.arguments import make_parser
from observatory.cli.running import chosen

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HELP = [text for name, text in vars(arguments).items() if name.endswith("EPILOG")]

TYPED = re.compile(r"^\s*(?:\$ |sudo )?observatory (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PLACEHOLDER = re.compile(r"[A-Z]{2,}|…")


def commands() -> Iterator[str]:
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    for text in [*blocks, *HELP]:
        for typed in TYPED.findall(text):
            words = re.split(r"\s{2,}|[|>#;]", typed)[0]
            if not PLACEHOLDER.search(words):
                yield words


@pytest.mark.parametrize("typed", sorted(set(commands())))
def test_what_people_are_told_to_type_is_taken(typed: str) -> None:
    parsed = make_parser().parse_args(shlex.split(typed))
    if hasattr(parsed, "names"):
        assert chosen(parsed), "behaviours that the catalogue has"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []
