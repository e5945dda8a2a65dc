"""Values of the model as the document prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from observatory.model import Address
from observatory.model.calls import Argument


def address(named: Address | None) -> str | None:
    """An address as text, None for none."""
    return None if named is None else clean(str(named))


def mapping(values: Mapping[str, Argument]) -> dict[str, Any]:
    """Arguments and details with values that JSON has."""
    return {clean(name): _value(value) for name, value in values.items()}


def clean(text: str) -> str:
    """UTF-8 has no lone surrogates; a path that is no UTF-8 shows its bytes as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _value(value: Argument) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return mapping(value)
    if isinstance(value, (tuple, list)):
        return [_value(item) for item in value]
    return value
