"""Makes the atlas: every behaviour run or read, its pages, pictures and run files written."""

from __future__ import annotations

import inspect
import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from observatory import messages
from observatory.errors import UsageError

if TYPE_CHECKING:
    from observatory.lab.behaviour import Behaviour
    from observatory.messages import Messages
    from observatory.reports.atlas import Subject


def subject(behaviour: Behaviour, path: Path, words: Messages) -> Subject:
    """A behaviour with what its run file at ``path`` shows. Raises BadFile."""
    from observatory.pipeline import analyze, load
    from observatory.reports.atlas import Subject
    from observatory.reports.translated import in_language

    return Subject(
        name=behaviour.name,
        section=behaviour.section,
        title=behaviour.title,
        summary=behaviour.summary,
        story=inspect.getdoc(behaviour.play) or "",
        code=_code(behaviour),
        analysis=in_language(analyze(load(path)), words),
        claims=tuple(_claims().get(behaviour.name, ())),
    )


def _code(behaviour: Behaviour) -> str:
    """The function that plays it, without its decorator and its story."""
    source = textwrap.dedent(inspect.getsource(behaviour.play))
    body = source[source.index("\ndef ") + 1 :]
    story = behaviour.play.__doc__
    return body.replace(f'    """{story}"""\n', "", 1).replace(":\n\n", ":\n", 1) if story else body


def _claims() -> Mapping[str, list[tuple[int, str]]]:
    """The book's statements by the behaviours that test them."""
    try:
        from observatory.claims.statements import STATEMENTS
    except ImportError:
        return {}
    found: dict[str, list[tuple[int, str]]] = {}
    for one in STATEMENTS:
        for name in one.behaviours:
            found.setdefault(name, []).append((one.number, one.text))
    return found


def files(
    behaviours: Iterable[Behaviour], runs: Path, headings: Mapping[str, str], lang: str
) -> Iterator[tuple[str, bytes]]:
    """(name below the atlas's folder, bytes) of everything in one language's edition. ``runs``
    holds NAME.pcapng of each. Raises UsageError, BadFile."""
    from observatory.reports.atlas import RUNS, pages

    words = messages.load(lang)
    folder = "" if lang == messages.ENGLISH else f"{lang}/"
    chosen = list(behaviours)
    missing = [one.name for one in chosen if not _file(runs, one).exists()]
    if missing:
        raise UsageError(
            f"{runs} has no run of {', '.join(missing)}: run them, or leave out --from"
        )
    subjects = [subject(one, _file(runs, one), words) for one in chosen]
    for name, text in pages(subjects, headings, words):
        yield f"{folder}{name}", text.encode("utf-8", "backslashreplace")
    if not folder:
        for one in chosen:
            yield f"{RUNS}/{one.name}.pcapng", _file(runs, one).read_bytes()


def _file(runs: Path, behaviour: Behaviour) -> Path:
    return runs / f"{behaviour.name}.pcapng"


def save(path: Path, content: bytes) -> None:
    """One file of the atlas, in the place of an older one. Raises WriteFailed."""
    from observatory.sources import files as saving

    owner = saving.sudo_owner(os.environ)
    saving.make_folder(path.parent, owner)
    saving.save(path, [content], owner)
