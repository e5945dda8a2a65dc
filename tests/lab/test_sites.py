"""Python programs are watched from outside, and do not notice."""

import json
import os
import subprocess
import sys
from pathlib import Path

from observatory.lab.sites import Sited, add_sites, environment, read_sites
from observatory.model import Call, Site

PROGRAM = """\
import socket
import sys

pair = socket.socketpair()
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
listener.close()
for one in pair:
    one.close()
print(sys.argv[1:])
"""


def run(tmp_path: Path, *options: str, path: str = "") -> tuple[str, Path]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    file = tmp_path / "sites"
    outer = {**os.environ, "PYTHONPATH": path}
    said = subprocess.run(
        [sys.executable, *options, str(program), "an argument"],
        env={**outer, **environment(file, outer)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stderr == ""
    return said.stdout, file


def test_each_call_has_its_line_in_the_program(tmp_path: Path) -> None:
    out, file = run(tmp_path)
    assert out == "['an argument']\n"
    (sited,) = read_sites(file).values()
    lines = [one.site.line for one in sited if one.site.file.endswith("program.py")]
    assert {5, 6, 7, 8, 10} <= set(lines)
    assert all(one.ended_ns is not None and one.ended_ns >= one.began_ns for one in sited)


def test_a_program_that_ignores_the_environment_is_left_alone(tmp_path: Path) -> None:
    out, file = run(tmp_path, "-I")
    assert out == "['an argument']\n"
    assert read_sites(file) == {}


def test_another_sitecustomize_is_loaded_too(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "sitecustomize.py").write_text("print('theirs')\n")
    out, file = run(tmp_path, path=str(tmp_path / "theirs"))
    assert out == "theirs\n['an argument']\n"
    assert read_sites(file)


def test_a_method_that_has_not_ended_and_a_line_that_is_half_written(tmp_path: Path) -> None:
    file = tmp_path / "sites"
    began = json.dumps([7, 100, None, "app.py", 3])
    over = [json.dumps([7, 50, None, "app.py", 2]), json.dumps([7, 50, 60])]
    file.write_text("\n".join([*over, began, "not json", '[7, 120, null, "ap']))
    assert read_sites(file) == {
        7: [Sited(50, 60, Site("app.py", 2)), Sited(100, None, Site("app.py", 3))]
    }
    assert read_sites(tmp_path / "none") == {}


def test_a_call_belongs_to_the_innermost_method_it_was_entered_in() -> None:
    outer, inner = Site("app.py", 1), Site("app.py", 2)
    sites = {7: [Sited(100, 200, outer), Sited(120, 140, inner)]}
    calls = [Call(n, "send", 7, 7, 3, {}, at) for n, at in enumerate((90, 110, 130, 150, 250), 1)]
    found = [call.site for call in add_sites(calls, sites)]
    assert found == [None, outer, inner, outer, None]
    assert add_sites([Call(1, "send", 8, 8, 3, {}, 130)], sites)[0].site is None
