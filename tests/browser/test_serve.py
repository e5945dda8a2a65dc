"""``observatory serve`` in a browser: a behaviour run at a click, its ladder, its page."""

import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from tests.serving.served import serving

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"
NAME = "connect-refused"


def until(browser, script, seconds=30.0):
    """What ``script`` returns, as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (found := browser.execute_script(script)):
        assert time.monotonic() < deadline, f"{script}: {browser.get_log('browser')}"
        time.sleep(0.05)
    return found


@pytest.mark.usefixtures("live")
def test_a_behaviour_runs_at_a_click(chromium, tmp_path):
    shutil.copy(CATALOGUE / "close-active.pcapng", tmp_path)
    with serving(tmp_path) as address:
        chromium.get_log("browser")
        chromium.get(address)
        until(chromium, "return document.querySelectorAll('#runs tr').length === 1")
        chromium.execute_script(f"document.querySelector('[data-name={NAME}]').click()")
        until(chromium, "return document.querySelector('#live figure svg [data-segment]')")
        until(chromium, "return document.querySelector('#live a')?.href")
        assert "ECONNREFUSED" in chromium.execute_script(
            "return document.querySelector('#live figure').textContent"
        )
        until(chromium, "return document.querySelectorAll('#runs tr').length === 2")
        chromium.execute_script("document.querySelector('#live a').click()")
        until(chromium, "return document.documentElement.dataset.ready === 'true'")
        assert chromium.execute_script("return document.body.textContent").count("ECONNREFUSED")
        assert [one for one in chromium.get_log("browser") if one["level"] == "SEVERE"] == []
        chromium.get("about:blank")
