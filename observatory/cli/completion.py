"""Shell completion, drawn from the parser itself so that it cannot fall behind it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

COMPLETE = "_complete"

BASH = f"""\
_observatory() {{
    local IFS=$'\\n'
    COMPREPLY=($(observatory {COMPLETE} "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null))
}}
complete -o default -F _observatory observatory
"""

ZSH = f"""\
#compdef observatory
_observatory() {{
    local -a candidates
    candidates=("${{(@f)$(observatory {COMPLETE} "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
    if [[ -n "${{candidates[1]}}" ]]; then compadd -a candidates; else _files; fi
}}
compdef _observatory observatory
"""

FISH = f"""\
complete -c observatory -n 'not __fish_seen_subcommand_from analyze report check trace' -f
complete -c observatory \\
    -a '(observatory {COMPLETE} (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"""

SHELLS: Mapping[str, str] = {"bash": BASH, "zsh": ZSH, "fish": FISH}

Values = Mapping[str, Callable[[], Sequence[str]]]


def candidates(parser: argparse.ArgumentParser, words: Sequence[str], values: Values) -> list[str]:
    """What the last of ``words`` (those after ``observatory``) can become.

    ``values`` gives, by the argument's name in the parser, what it may be; for an argument that
    is not there (a file) the answer is empty, and the shell completes file names.
    """
    *before, current = words or [""]
    commands = _commands(parser)
    name = next((word for word in before if word in commands), None)
    if name is None:
        return _beginning(current, [*commands, *_options(parser)])
    command = commands[name]
    option = next((a for a in command._actions if before[-1] in a.option_strings), None)
    if option is not None and option.nargs != 0:
        return _beginning(current, _values(option, values))
    if current.startswith("-"):
        return _beginning(current, _options(command))
    positional = (action for action in command._actions if not action.option_strings)
    return _beginning(
        current, [value for action in positional for value in _values(action, values)]
    )


def _commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings]


def _values(action: argparse.Action, values: Values) -> Sequence[str]:
    if action.choices is not None:
        return list(action.choices)
    return values.get(action.dest, list)()


def _beginning(start: str, words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith(start)]
