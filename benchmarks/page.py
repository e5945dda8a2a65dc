"""How fast the HTML page of a large run opens, scrolls, filters and jumps, in headless Chromium.

    python benchmarks/page.py [--segments 20000] [--keep page.html]

Makes a run of many connections with their calls, writes its page, and measures in the browser:

- opening: from asking for the file to a page that can be used,
- scrolling the ladder and the table of segments, 400 px a frame: ms from frame to frame,
- a search, a switch to time to scale, a jump to a segment in the middle: ms until it is drawn.

Exits with 1 where a budget is exceeded: 4 s to open, 20 ms for half of the frames and 50 ms for 95
of 100 (60 and 20 a second), 1 s for each of the others. What else the machine does is in the
figures: on one that is busy they are worth nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observatory.codec.headers import decode_all
from observatory.model import Call, Endpoint, Frame, Interface, Process, RunHeader, Trace
from observatory.pages import page
from observatory.pipeline import analyze

sys.path.insert(0, str(Path(__file__).parent))
from analyze import SERVER, STEP_NS, capture

CLIENT_PID, SERVER_PID = 4711, 4712
LOOPBACK = Interface("lo", 1)
SCROLL = """
const [id, px, frames, done] = arguments;
const box = document.getElementById(id), took = [];
let last = performance.now();
function step() {
  const now = performance.now();
  took.push(now - last);
  last = now;
  box.scrollTop += px;
  if (took.length <= frames) requestAnimationFrame(step); else done(took.slice(1));
}
requestAnimationFrame(step);
"""
UNTIL_DRAWN = """
const [body, done] = arguments;
const began = performance.now();
ACTIONS[body]();
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
"""
ACTIONS = """
const ACTIONS = {
  search: () => observatory.filter({ ...observatory.wanted, search: "send" }),
  everything: () => observatory.filter({ ...observatory.wanted, search: "" }),
  scale: () => document.getElementById("scale").click(),
  jump: () => { location.hash = "segment-" + (observatory.model.document.segments.length >> 1); },
};
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """A figure in ms, and how much it may be."""

    what: str
    ms: float
    most: float

    def __str__(self) -> str:
        verdict = "" if self.ms <= self.most else f"   MORE THAN {self.most:,.0f}"
        return f"{self.what:52} {self.ms:8,.1f} ms{verdict}"


def run_of(segments: int) -> Trace:
    """A run of ``segments`` segments: a client's connections, and the calls that made them."""
    frames = tuple(capture(segments))
    decoded, _ = decode_all(frames, [LOOPBACK])
    calls = sorted(_calls(frames), key=lambda call: call.entered_ns)
    return Trace(
        run=RunHeader(scenario=f"{segments} segments", segments_source="capture"),
        interfaces=(LOOPBACK,),
        processes=(
            Process(CLIENT_PID, 1, "client", "client"),
            Process(SERVER_PID, 1, "server", "server"),
        ),
        calls=tuple(
            Call(id=number, **{name: getattr(call, name) for name in FIELDS})
            for number, call in enumerate(calls, 1)
        ),
        segments=decoded,
        frames=frames,
    )


FIELDS = (
    "name", "pid", "tid", "fd", "args", "entered_ns", "returned_ns", "result", "local", "peer",
)  # fmt: skip


def _calls(frames: Sequence[Frame]) -> Iterator[Call]:
    """For each SYN a socket and a connect, for each request a send by the client."""
    decoded, _ = decode_all(frames, [LOOPBACK])
    there = Endpoint("127.0.0.1", SERVER)
    descriptors: dict[int, int] = {}
    for segment in decoded:
        if segment.src.port == SERVER:
            continue
        at, port = segment.time_ns, segment.src.port
        fd = descriptors.setdefault(port, len(descriptors) + 3)
        both = {"pid": CLIENT_PID, "tid": CLIENT_PID}
        if segment.flags == "S":
            kind = {"family": "AF_INET", "type": "SOCK_STREAM", "protocol": 0}
            yield Call(0, "socket", fd=None, args=kind, entered_ns=at - 3000, returned_ns=at - 2000,
                       result=fd, **both)  # fmt: skip
            yield Call(0, "connect", fd=fd, args={"address": str(there)}, entered_ns=at - 1000,
                       returned_ns=at + 100 * STEP_NS, result=0, local=segment.src, peer=there,
                       **both)  # fmt: skip
        elif segment.length:
            yield Call(0, "send", fd=fd, args={"length": segment.length, "flags": "0"},
                       entered_ns=at - 1000, returned_ns=at + 1000, result=segment.length,
                       local=segment.src, peer=there, **both)  # fmt: skip


def browser() -> Any:
    """Chromium without a window. Exits where it is not there."""
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        sys.exit("chromium and chromedriver are needed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def measure(window: Any, path: Path) -> Iterator[Budget]:
    window.set_window_size(1400, 900)
    window.set_script_timeout(120)
    window.get("about:blank")
    began = time.perf_counter()
    window.get(path.as_uri())
    yield Budget("opening", (time.perf_counter() - began) * 1000, 4000)
    for name in ("ladder", "segments"):
        took = sorted(window.execute_async_script(SCROLL, name, 400, 100))
        yield Budget(f"scrolling the {name}: 50 of 100 frames within", took[50], 20)
        yield Budget(f"scrolling the {name}: 95 of 100 frames within", took[95], 50)
    for action, words in (
        ("search", "searching"),
        ("everything", "showing everything again"),
        ("scale", "time to scale"),
        ("jump", "jumping to a segment in the middle"),
    ):
        ms = window.execute_async_script(ACTIONS + UNTIL_DRAWN, action)
        yield Budget(words, ms, 1000)
    elements = window.execute_script("return document.querySelectorAll('*').length")
    print(f"{elements:,} elements in the document")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--segments", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the page there")
    parsed = parser.parse_args()
    analysis = analyze(run_of(parsed.segments))
    with tempfile.TemporaryDirectory() as folder:
        path = parsed.keep or Path(folder, "page.html")
        began = time.perf_counter()
        path.write_text("".join(page(analysis)), "utf-8")
        spent = time.perf_counter() - began
        print(
            f"{len(analysis.segments):,} segments, {len(analysis.calls):,} calls: "
            f"{path.stat().st_size / 1e6:.1f} MB, written in {spent:.2f} s"
        )
        window = browser()
        try:
            budgets = list(measure(window, path.resolve()))
        finally:
            window.quit()
    print(*budgets, sep="\n")
    sys.exit(any(one.ms > one.most for one in budgets))


if __name__ == "__main__":
    main()
