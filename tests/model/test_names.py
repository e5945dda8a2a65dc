"""The names of observatory.model, each loaded when it is asked for."""

import subprocess
import sys

import pytest

import observatory.model


def test_each_name_is_there() -> None:
    for name in observatory.model.__all__:
        assert getattr(observatory.model, name) is not None
    assert set(observatory.model.__all__) <= set(dir(observatory.model))


def test_another_is_told_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match=r"'observatory\.model' has no attribute 'Packet'"):
        _ = observatory.model.Packet  # type: ignore[attr-defined]


def test_what_the_list_of_behaviours_does_not_need_is_not_loaded() -> None:
    code = (
        "import sys; from observatory.scenarios.catalogue import catalogue; catalogue(); "
        "import observatory.cli.arguments; print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"observatory.model.conclusions", "observatory.model.trace", "scapy", "pyroute2"}
    heavy |= {"observatory.pipeline", "observatory.cli.several", "msgspec", "jinja2"}
    assert heavy.isdisjoint(said.stdout.split())
