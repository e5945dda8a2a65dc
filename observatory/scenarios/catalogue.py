"""The registry of behaviours. Importing this module is cheap; so must the behaviours' be.

A behaviour is a function that takes a Stage and lets actors play on it::

    @behaviour("connect-refused", section="4.3", title="connect() to a port nobody listens on",
               summary="The server's kernel answers the SYN with RST, and connect() fails at once.")
    def connect_refused(stage: Stage) -> None:
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from observatory.errors import UsageError
from observatory.lab.behaviour import Behaviour, Play

if TYPE_CHECKING:
    from observatory.lab.topology import Plan

_REGISTERED: dict[str, Behaviour] = {}


def behaviour(
    name: str,
    *,
    section: str,
    title: str,
    summary: str,
    lab: str | Plan = "loopback",
    hosts: Mapping[str, str] | None = None,
    sysctls: Mapping[str, str | Mapping[str, str]] | None = None,
    faults: Iterable[Any] = (),
    captures_loopback: bool = False,
    privileged: bool | Iterable[str] = False,
    needs_private: str = "",
    time_limit: float = 30.0,
    aftermath: float = 5.0,
    slow: bool = False,
    takes_minutes: bool = False,
    expects: Any = None,
) -> Callable[[Play], Play]:
    """Register the function below as behaviour ``name``. Raises ValueError if there is one."""

    def register(play: Play) -> Play:
        if name in _REGISTERED:
            raise ValueError(f"two behaviours are named {name}")
        _REGISTERED[name] = Behaviour(
            name=name,
            section=section,
            title=title,
            summary=summary,
            play=play,
            lab=lab,
            hosts=dict(hosts or {}),
            sysctls=dict(sysctls or {}),
            faults=tuple(faults),
            captures_loopback=captures_loopback,
            privileged=privileged if isinstance(privileged, bool) else tuple(privileged),
            needs_private=needs_private,
            time_limit=time_limit,
            aftermath=aftermath,
            slow=slow,
            takes_minutes=takes_minutes,
            expects=expects,
        )
        return play

    return register


@cache
def catalogue() -> Mapping[str, Behaviour]:
    """Every behaviour by name, in the order of sections, then of the modules."""
    import observatory.scenarios as package

    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_REGISTERED.items(), key=lambda item: _section_key(item[1].section)))


def _section_key(section: str) -> tuple[int, ...]:
    return tuple(int(part) for part in section.split(".") if part.isdecimal())


def find(name: str) -> Behaviour:
    """The behaviour ``name``. Raises UsageError, with the nearest names, if there is none."""
    found = catalogue().get(name)
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(name, catalogue(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see `observatory list`"
        raise UsageError(f"no behaviour is named {name}: {hint}")
    return found
