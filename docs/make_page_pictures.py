"""Takes the pictures of docs/page.md: five pages as wide as a phone, a laptop and a projector.

    python docs/make_page_pictures.py [--into docs/pictures]

Needs chromium and chromedriver (apt-get install chromium chromium-driver) and selenium.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observatory.pages import page
from observatory.pipeline import analyze, load

HERE = Path(__file__).parent
CATALOGUE = HERE.parent / "captures" / "catalogue"
SCREENS = ((390, 844), (1024, 768), (1600, 900))
QUALITY = 60


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen of a run: what is pinned, what is in view, in which light."""

    run: str
    pinned: str = ""
    section: str = ""
    theme: str = "light"
    to_scale: bool = False


VIEWS = (
    View("connect-refused", "#call-2"),
    View("fork-concurrent-server", "#segment-12", theme="dark"),
    View("connect-timeout-full-backlog", "#call-8"),
    View("send-zero-window", section="connections-section"),
    View("connect-over-router", "#segment-4", theme="dark", to_scale=True),
)


def open_browser() -> Any:
    """Chromium without a window. Exits where it is not there."""
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        sys.exit("chromium and chromedriver are needed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def picture(window: Any, path: Path, view: View, width: int, height: int) -> bytes:
    """What a screen of that size shows, as WebP."""
    window.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    feature = {"name": "prefers-color-scheme", "value": view.theme}
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    window.get("about:blank")
    window.get(path.as_uri() + view.pinned)
    window.execute_async_script(
        """const [scale, section, done] = arguments;
        if (scale) document.getElementById("scale").click();
        if (section) document.getElementById(section).scrollIntoView();
        setTimeout(done, 300);""",
        view.to_scale,
        view.section,
    )
    options = {"format": "webp", "quality": QUALITY}
    return base64.b64decode(window.execute_cdp_cmd("Page.captureScreenshot", options)["data"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, default=HERE / "pictures")
    parsed = parser.parse_args()
    parsed.into.mkdir(parents=True, exist_ok=True)
    window = open_browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for view in VIEWS:
                path = Path(folder, f"{view.run}.html")
                analysis = analyze(load(CATALOGUE / f"{view.run}.pcapng"))
                path.write_text("".join(page(analysis)), "utf-8")
                for width, height in SCREENS:
                    name = f"page-{view.run}-{width}.webp"
                    (parsed.into / name).write_bytes(picture(window, path, view, width, height))
    finally:
        window.quit()


if __name__ == "__main__":
    main()
