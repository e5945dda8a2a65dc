"""A row of the explanation table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from observatory.analysis.view import YES, Because, View

ANY_CALL = "*"


def always(_: View) -> Because | None:
    """Evidence enough is the call itself: its name, its arguments, its result."""
    return YES


@dataclass(frozen=True, slots=True)
class Rule:
    """``text`` is a format string over the view's facts and those of ``because``.

    ``plain`` marks ordinary success; ``certain`` is False where the evidence admits another
    reading; ``by_absence`` says that the rule rests on something not having been seen, so that
    a lossy capture weakens it.
    """

    id: str
    calls: frozenset[str]
    outcomes: frozenset[str]
    text: str
    reference: str
    because: Callable[[View], Because | None] = always
    plain: bool = False
    certain: bool = True
    by_absence: bool = False


def names(*calls: str) -> frozenset[str]:
    return frozenset(calls)


def outcomes(*wanted: str) -> frozenset[str]:
    """The outcomes a rule speaks of: ``ok`` where none is named."""
    return frozenset(wanted or ("ok",))
