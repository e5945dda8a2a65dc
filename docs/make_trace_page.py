"""Runs the worked examples of docs/trace.md and puts their reports into the page.

    python docs/make_trace_page.py

Each report stands in the page behind a line ``<!-- report NAME -->``, in a block of code.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "trace.md"
REPORT = re.compile(r"(<!-- report: (?P<words>.*?) -->\n```)\n.*?(```\n)", re.DOTALL)


def report(words: str) -> str:
    """What ``observatory trace --private WORDS`` reports. Python is the system's own, so that
    what is shown has its name."""
    with tempfile.TemporaryDirectory() as name:
        told = Path(name) / "report.txt"
        options = f"--private -o {name}/run.pcapng --report {told}"
        command = f"{sys.executable} -m observatory trace {options} {words}"
        subprocess.run(["/bin/sh", "-c", command], cwd=HERE / "examples", check=False)
        return told.read_text(encoding="utf-8").rstrip("\n")


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    page = REPORT.sub(lambda found: f"{found[1]}\n{report(found['words'])}\n{found[3]}", page)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
