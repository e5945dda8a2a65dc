"""Imports run one way: cli → pipeline → {sources, lab, scenarios, reports} → {analysis, codec}
→ model. What analysis concludes can then be tested without a packet."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import observatory

ROOT = Path(observatory.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

BASE = {"model", "errors", "version"}
ALLOWED = {
    "model": {"model"},
    "errors": set[str](),
    "version": set[str](),
    "messages": {"messages"} | BASE,
    "codec": {"codec"} | BASE,
    "analysis": {"analysis"} | BASE,
    "sources": {"sources", "codec"} | BASE,
    "reports": {"reports", "codec", "messages"} | BASE,
    "lab": {"lab", "sources", "codec"} | BASE,
    "scenarios": {"scenarios", "lab", "sources", "codec"} | BASE,
    "claims": {"claims", "codec"} | BASE,
    "witnessing": {"analysis", "codec", "sources"} | BASE,
    "growing": {"codec", "sources"} | BASE,
    "pipeline": {
        "pipeline",
        "growing",
        "witnessing",
        "analysis",
        "codec",
        "sources",
        "reports",
        "lab",
        "scenarios",
    }
    | BASE,
    "tracing": {"pipeline", "growing", "witnessing", "analysis", "codec", "sources", "lab"} | BASE,
    "pages": {"analysis", "reports", "messages"} | BASE,
    "atlas": {"pipeline", "reports", "messages", "claims", "lab", "sources"} | BASE,
    "serving": {"serving"} | BASE,
    "doctor": {"doctor", "lab", "sources", "codec"} | BASE,
    "cli": {
        "cli",
        "serving",
        "claims",
        "pipeline",
        "pages",
        "atlas",
        "messages",
        "tracing",
        "lab",
        "doctor",
        "scenarios",
        "reports",
        "codec",
    }
    | BASE,
    "__main__": {"cli"},
    # The public functions, which hand on to the pipeline when they are called.
    "__init__": {"pipeline"} | BASE,
}
# What observes: a clock, a socket, a file, another program.
OBSERVING = {
    "time",
    "socket",
    "os",
    "subprocess",
    "scapy",
    "pathlib",
    "select",
    "ctypes",
    "pyshark",
}
PURE = ("model", "analysis", "codec", "claims")
# codec turns bytes to values and back; symbolic names come from the standard library's tables.
EXEMPT = {("codec", "socket"), ("codec", "os")}


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layers_imported(path: Path) -> set[str]:
    parts = [name.split(".") for name in imports(path)]
    names = {part[1] for part in parts if part[0] == "observatory" and len(part) > 1}
    return {"version" if name == "__version__" else name for name in names}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_run_one_way(path: Path) -> None:
    layer = layer_of(path)
    assert layers_imported(path) <= ALLOWED[layer], f"{relative(path)} imports against the flow"


@pytest.mark.parametrize("path", [p for p in MODULES if layer_of(p) in PURE], ids=relative)
def test_pure_layers_observe_nothing(path: Path) -> None:
    layer = layer_of(path)
    used = {name.split(".")[0] for name in imports(path)} & OBSERVING
    assert {name for name in used if (layer, name) not in EXEMPT} == set()


def test_nobody_imports_the_whole_of_scapy() -> None:
    """scapy.all takes 0.9 s to load; the layers needed take 0.2 s."""
    assert [relative(path) for path in MODULES if "scapy.all" in set(imports(path))] == []
