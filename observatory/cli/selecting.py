"""Which behaviours are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.errors import UsageError

if TYPE_CHECKING:
    from observatory.scenarios.catalogue import Behaviour


def all_behaviours() -> list[Behaviour]:
    """The catalogue in its own order."""
    from observatory.scenarios.catalogue import catalogue

    return list(catalogue().values())


def of_section(section: str) -> list[Behaviour]:
    """The behaviours of ``4.3``, or with ``4`` of the whole chapter. Raises UsageError."""
    behaviours = all_behaviours()
    found = [one for one in behaviours if f"{one.section}.".startswith(f"{section}.")]
    if not found:
        sections = ", ".join(dict.fromkeys(behaviour.section for behaviour in behaviours))
        raise UsageError(f"no behaviour is of section {section}; there are {sections}")
    return found
