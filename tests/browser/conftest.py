"""Chromium without a window, and pages opened in it from a file, with the network cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from observatory.model import Analysis
from observatory.pages import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless=new",
    # The pages are our own, and its sandbox needs what root and containers do not have.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--force-device-scale-factor=1",
)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser, one for each worker; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium is not installed (sudo apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(DRIVER)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.set_script_timeout(60)
        yield browser
    finally:
        browser.quit()


class Page:
    """A page in the browser."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.browser = browser
        self.path = path
        self.size(1400, 900)

    def open(self, fragment: str = "") -> Page:
        self.browser.get("about:blank")
        self.browser.get_log("browser")
        self.browser.get_log("performance")
        self.browser.get(self.path.as_uri() + fragment)
        assert self.js("return document.documentElement.dataset.ready") == "true", self.complaints
        return self

    def js(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def cdp(self, command: str, **parameters: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.browser.execute_cdp_cmd(command, parameters)
        return answer

    def size(self, width: int, height: int) -> None:
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def theme(self, name: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": name}
        self.cdp("Emulation.setEmulatedMedia", features=[feature])

    def frame(self) -> None:
        """Wait until what was asked for is drawn."""
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )

    @property
    def complaints(self) -> list[str]:
        """What the console says since it was asked last."""
        return [entry["message"] for entry in self.browser.get_log("browser")]

    @property
    def requests(self) -> list[str]:
        """What the page asked the network for since it was asked last."""
        events = [
            json.loads(one["message"])["message"] for one in self.browser.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    @property
    def document(self) -> dict[str, Any]:
        """The document inside, parsed by Python."""
        found: dict[str, Any] = json.loads(self.text("#document"))
        return found

    def text(self, selector: str) -> str:
        text: str = self.js("return document.querySelector(arguments[0]).textContent", selector)
        return text

    def all(self, selector: str, of: str = "textContent") -> list[Any]:
        found: list[Any] = self.js(
            f"return [...document.querySelectorAll(arguments[0])].map((one) => one.{of})", selector
        )
        return found

    def keys(self, selector: str) -> set[str]:
        return set(self.all(selector, "dataset.key"))

    @property
    def lit(self) -> set[str]:
        """The keys of what is lit in the ladder."""
        return self.keys("#ladder [data-key].lit")

    def point(self, key: str) -> None:
        self.mouse(key).perform()
        self.frame()

    def click(self, key: str) -> None:
        self.mouse(key).click().perform()
        self.frame()

    def mouse(self, key: str) -> Any:
        from selenium.webdriver import ActionChains

        hit = self.find(f'#ladder .hit[data-key="{key}"]')
        self.js("arguments[0].scrollIntoView({block: 'center'})", hit)
        self.frame()
        return ActionChains(self.browser, duration=0).move_to_element(hit)

    def find(self, selector: str) -> Any:
        from selenium.webdriver.common.by import By

        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            ActionChains(self.browser, duration=0).send_keys(getattr(Keys, key, key)).perform()
        self.frame()

    @property
    def hash(self) -> str:
        found: str = self.js("return location.hash")
        return found

    def filter(self, **wanted: object) -> None:
        self.js(
            """const form = document.getElementById("filters");
            for (const [name, value] of Object.entries(arguments[0])) {
              const field = form.elements[name];
              if (field.type === "checkbox") field.checked = value; else field.value = value;
            }
            form.dispatchEvent(new Event("input"));""",
            wanted,
        )
        self.browser.execute_async_script("setTimeout(arguments[0], 160)")
        self.frame()


Show = Callable[[Analysis], Page]


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Show:
    """An analysis as a page in the browser."""

    def shown(analysis: Analysis, name: str = "a page") -> Page:
        path = tmp_path / f"{name}.html"
        path.write_text("".join(page(analysis)), "utf-8")
        return Page(chromium, path).open()

    return shown
