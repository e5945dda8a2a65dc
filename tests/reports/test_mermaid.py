"""Mermaid diagrams: what its own parser says of them, and that no text ends a statement."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from observatory.pipeline import analyze, load
from observatory.reports.mermaid import render
from tests.reports import samples

HERE = Path(__file__).parent / "mermaid"
CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"


def hostile():
    s = samples.Sample('a; b %% <script> #7 "x" {y}\nend')
    s.call(0, 1, "connect", fd=3, address="unix:/a;b#c\u202e`")
    return s.analysis()


@pytest.mark.skipif(
    not (HERE / "node_modules").exists() or not shutil.which("node"),
    reason="Mermaid is not installed: make test does it where there is npm",
)
def test_its_own_parser_takes_every_diagram():
    diagrams = {file.stem: render(analyze(load(file))) for file in CATALOGUE.glob("*.pcapng")}
    diagrams |= {name: render(make()) for name, make in samples.ALL.items()}
    diagrams |= {"hostile": render(hostile()), "broken": "sequenceDiagram\n  A->>: x"}
    told = subprocess.run(
        ["node", "parse.mjs"],
        cwd=HERE,
        input=json.dumps(diagrams),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    objections = json.loads(told.stdout)
    assert objections.pop("broken")
    assert objections == {}


def test_a_refused_connect():
    lines = render(samples.refused()).splitlines()
    assert lines[0] == "sequenceDiagram"
    assert any("L0->>L1: #35;1 S" in line for line in lines)
    assert lines.count("  activate L0") == lines.count("  deactivate L0")


def test_no_text_ends_its_statement():
    for line in render(hostile()).splitlines():
        assert line.isprintable()
        assert ";" not in re.sub(r"#\d+;", "", line)
