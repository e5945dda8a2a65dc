"""``observatory serve`` from outside: a list, a page, a file, and a behaviour run at a click."""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from tests.serving.served import get, serving

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"
NAME = "connect-refused"


@pytest.fixture
def served(tmp_path):
    shutil.copy(CATALOGUE / "close-active.pcapng", tmp_path)
    with serving(tmp_path) as address:
        yield address


def refusal(address, **options):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(address, **options)
    with refused.value as answer:
        return answer.code


def events(address, stop):
    """What a stream of events says, until ``stop(event)``."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                event = json.loads(line.removeprefix(b"data: "))
                yield event
                if stop(event):
                    return


def test_pages_and_files(served):
    assert b"Run a behaviour" in get(served)
    (rows,) = events(f"{served}runs", lambda event: True)
    assert [row["file"] for row in rows] == ["close-active.pcapng"]
    page = get(f"{served}run/close-active.pcapng")
    assert page.lstrip().lower().startswith(b"<!doctype html>")
    original = (CATALOGUE / "close-active.pcapng").read_bytes()
    assert get(f"{served}file/close-active.pcapng") == original


def test_what_is_not_there(served):
    for what in ("file/..%2f..%2fetc%2fpasswd", "run/none.pcapng", "elsewhere"):
        assert refusal(f"{served}{what}") == 404
    assert refusal(served.rsplit("/", 2)[0] + "/") == 404


def test_a_behaviour_runs_and_its_ladder_grows(served):
    assert refusal(f"{served}observe/no-such-behaviour", method="POST") == 404
    number = json.loads(get(f"{served}observe/{NAME}", method="POST"))["number"]
    looks = list(events(f"{served}live/{number}", lambda look: not look or bool(look["file"])))
    assert looks[-1]["file"] == f"{NAME}.pcapng", looks[-1]
    assert "ECONNREFUSED" in looks[-1]["svg"]
    (rows,) = events(f"{served}runs", lambda event: True)
    assert {row["scenario"] for row in rows} == {NAME, "close-active"}


def test_another_site_cannot_run_one(served):
    elsewhere = {"Origin": "http://evil.example"}
    assert refusal(f"{served}observe/{NAME}", method="POST", headers=elsewhere) == 403
