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
from tests.reports.test_lab_ladder import LOST, REJECTED, analysis

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
    diagrams |= {"lost": render(analysis(LOST)), "rejected": render(analysis(REJECTED))}
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


def test_the_hosts_of_a_lab_are_boxes():
    lines = [line.strip() for line in render(analysis(REJECTED)).splitlines()]
    begin = lines.index("box transparent server")
    assert lines[begin + 1 : begin + 4] == [
        "participant L2 as server[200]",
        "participant L3 as server.1[201]",
        "end",
    ]
    assert sum(line.startswith("box") for line in lines) == lines.count("end") == 3


def test_where_a_segment_was_lost():
    lines = [line.strip() for line in render(analysis(LOST)).splitlines()]
    assert "L0-xL1: #35;1 S seq=0 ← c5" in lines
    assert "L0--xL1: #35;2 S seq=0 again #35;1 (lost on the link)" in lines
    assert "L1->>L2: from the link: #35;6 S seq=0 path #35;5" in lines
    assert any("~40 ms" in line for line in lines)
