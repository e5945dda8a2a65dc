"""Frozen values made fast, for the classes of which a large trace has hundreds of thousands.

The constructor of a frozen dataclass sets each field through ``object.__setattr__``: 1.5 µs for a
Segment, more than decoding it. A draft of the class, with the same slots and not frozen, is
filled in by plain assignments and then becomes the frozen class: 0.3 µs.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, field, fields, make_dataclass
from typing import Any, TypeVar, cast

Value = TypeVar("Value")


def quick(frozen: type[Value]) -> type[Value]:
    """A constructor of ``frozen`` (a dataclass with slots): the same arguments, the same values.

    For calling alone: what it makes are instances of ``frozen``, not of what is returned.
    """

    def become_frozen(draft: Any) -> None:
        draft.__class__ = frozen

    draft = make_dataclass(
        f"Quick{frozen.__name__}",
        [(each.name, each.type, _default(each)) for each in fields(cast(Any, frozen))],
        namespace={"__post_init__": become_frozen},
        slots=True,
    )
    return cast(type[Value], draft)


def _default(each: Field[Any]) -> Any:
    if each.default_factory is not MISSING:
        return field(default_factory=each.default_factory)
    return field() if each.default is MISSING else field(default=each.default)
