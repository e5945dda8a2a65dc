"""What each command does. Each takes the parsed arguments and returns the exit status.

Imports stand in the functions: what a command does not need it does not load.
"""

from __future__ import annotations

import argparse
import gc
import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from observatory.cli.completion import SHELLS, candidates
from observatory.cli.selecting import all_behaviours, heading, of_section
from observatory.cli.terminal import display, write_text

if TYPE_CHECKING:
    from observatory.doctor import Finding
    from observatory.lab.behaviour import Behaviour
    from observatory.pipeline import Checked

Command = Callable[[argparse.Namespace], int]

DISAGREES = 1
MISSING = 1


def list_behaviours(parsed: argparse.Namespace) -> int:
    behaviours = of_section(parsed.section) if parsed.section else all_behaviours()
    if parsed.json:
        print(json.dumps([_entry(behaviour) for behaviour in behaviours], indent=2))
        return 0
    width = max(len(behaviour.name) for behaviour in behaviours)
    section = None
    for behaviour in behaviours:
        if behaviour.section != section:
            print(
                heading(behaviour.section) if section is None else f"\n{heading(behaviour.section)}"
            )
            section = behaviour.section
        print(f"  {behaviour.name:{width}}  {behaviour.title}")
    return 0


def _entry(behaviour: Behaviour) -> dict[str, object]:
    return {
        "name": behaviour.name,
        "section": behaviour.section,
        "title": behaviour.title,
        "summary": behaviour.summary,
        "refuses_host": behaviour.host_refusal or None,
    }


def analyze_file(parsed: argparse.Namespace) -> int:
    parsed.format = "json" if parsed.json else "text"
    parsed.output = parsed.rows = None
    return report(parsed)


def report(parsed: argparse.Namespace) -> int:
    from observatory import messages, tracing
    from observatory.cli import formats
    from observatory.pipeline import analyze, load

    messages.load(parsed.lang)  # an unknown one is told before anything is read
    # Nothing of a trace is garbage before the command ends; looking for some in a large one takes
    # half as long again, and more than in proportion to its size.
    gc.disable()
    path = Path(parsed.file)
    trace = tracing.join(path, Path(parsed.calls)) if parsed.calls else load(path)
    analysis = analyze(trace)
    if parsed.only is not None:
        analysis = tracing.only(analysis, parsed.only)
    form = formats.named(parsed.format or formats.of_file(parsed.output), parsed.rows)
    wanted = parsed.full, parsed.show_kernel, parsed.lang
    if parsed.output is None:
        formats.to_stdout(analysis, form, display(sys.stdout, *wanted))
    else:
        formats.to_file(analysis, form, Path(parsed.output), display(None, *wanted))
    gc.freeze()  # nor is it searched as the interpreter ends
    return 0


def check(parsed: argparse.Namespace) -> int:
    from observatory import pipeline
    from observatory.reports import checks

    shown = display(sys.stdout)
    results = {}
    for name in parsed.files:
        result = results[name] = pipeline.check(Path(name))
        if not parsed.json:
            look = (shown.width, shown.colour, shown.ascii)
            write_text(checks.render(result.disagreements, name, *look, result.method))
            sys.stdout.flush()
    if parsed.json:
        print(json.dumps([_checked(name, result) for name, result in results.items()], indent=2))
    return DISAGREES if any(result.disagreements for result in results.values()) else 0


def _checked(name: str, result: Checked) -> dict[str, object]:
    return {
        "file": name,
        "opinion": result.method,
        "packets": result.packets,
        "disagreements": [
            {"segment": one.segment, "what": one.what, "ours": one.ours, "theirs": one.theirs}
            for one in result.disagreements
        ],
    }


def doctor(parsed: argparse.Namespace) -> int:
    from observatory import doctor

    for done in doctor.mend() if parsed.mend else ():
        print(done, file=sys.stderr)
    findings: Sequence[Finding] = doctor.examine()
    if parsed.json:
        print(json.dumps(doctor.document(findings), indent=2))
    else:
        write_text(doctor.render(findings))
    return 0 if doctor.can_run(findings) else MISSING


def completion(parsed: argparse.Namespace) -> int:
    write_text(SHELLS[parsed.shell])
    return 0


def complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    values = {
        "names": lambda: [behaviour.name for behaviour in all_behaviours()],
        "interfaces": lambda: [name for _, name in socket.if_nameindex()],
        "section": lambda: list(dict.fromkeys(one.section for one in all_behaviours())),
    }
    for candidate in candidates(parser, words, values):
        print(candidate)
    return 0
