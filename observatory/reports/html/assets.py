"""The page's stylesheet and program, made of the files beside this one, and what guards them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from markupsafe import Markup

FOLDER = Path(__file__).parent
# Each module stands behind those that it imports from.
MODULES = (
    "text",
    "model",
    "selection",
    "filters",
    "layout",
    "shapes",
    "rows",
    "ladder",
    "tables",
    "links",
    "reasons",
    "why",
    "states",
    "sequence",
    "run",
    "router",
    "main",
)
IMPORT = re.compile(r'^import (?:\* as (\w+)|(\{[^}]*\})) from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:function|class|const|let) (\w+))", re.MULTILINE)
# What could end a script element, open a comment, or end a line in old JavaScript.
UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


@cache
def stylesheet() -> Markup:
    """page.css as it is."""
    return Markup((FOLDER / "page.css").read_text("utf-8"))


@cache
def program() -> Markup:
    """The modules of ``js/`` as one script, in which each keeps a scope of its own: an ES module
    becomes a function that is called at once and returns what the module exports."""
    return Markup('"use strict";\n' + "\n".join(_module(name) for name in MODULES))


def _module(name: str) -> str:
    source = (FOLDER / "js" / f"{name}.js").read_text("utf-8")
    exports = ", ".join(EXPORT.findall(source))
    body = EXPORT.sub("", IMPORT.sub(_import, source))
    return f"const module_{name} = (() => {{\n{body}return {{ {exports} }};\n}})();"


def _import(match: re.Match[str]) -> str:
    whole, names, module = match.groups()
    return f"const {whole or names.replace(' as ', ': ')} = module_{module};"


def policy(connect: str = "") -> str:
    """The Content-Security-Policy: nothing is loaded, only our own script and style are used."""
    rules = {
        "default-src": "'none'",
        "script-src": _fingerprint(f"\n{program()}"),
        "style-src": _fingerprint(f"\n{stylesheet()}"),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if connect:
        rules["connect-src"] = connect
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _fingerprint(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def script_safe(value: object) -> Markup:
    """JSON (given as text, or to be made of a value) that nothing inside a script element can
    mistake for markup. JSON has these characters in strings alone, where they may be escaped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Markup(text.translate(UNSAFE))
