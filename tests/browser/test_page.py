"""The page in Chromium: what it shows is what the document in it says."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from observatory.pages import framed
from observatory.pages import page as one_page
from observatory.pipeline import analyze, load
from tests.browser.conftest import Page
from tests.reports import samples

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"
RUNS = (
    "connect-refused",
    "fork-concurrent-server",
    "connect-timeout-full-backlog",
    "connect-over-router",
)


def run(name: str):
    return analyze(load(CATALOGUE / f"{name}.pcapng"))


# --- It opens, alone ---


@pytest.mark.parametrize("name", RUNS)
def test_a_run_opens_without_a_complaint_or_a_request(show, name):
    page = show(run(name))
    assert page.complaints == []
    assert {url.partition(":")[0] for url in page.requests} <= {"file", "data"}
    rows = page.js("return document.querySelector('#calls table').getAttribute('aria-rowcount')")
    assert int(rows) == len(page.document["calls"]) + 1
    assert page.path.stat().st_size - len(page.text("#document")) < 300_000


@pytest.mark.parametrize("name", samples.ALL)
def test_whatever_is_in_it_opens_without_a_complaint(show, name):
    page = show(samples.ALL[name]())
    assert page.complaints == []


def test_times_are_exact_to_the_nanosecond(show):
    page = show(run("connect-refused"))
    start = int(page.js("return observatory.model.drawing.start_ns"))
    for call in page.document["calls"]:
        assert page.js(f"return observatory.model.get('call-{call['id']}').entered_ns") == (
            call["entered_ns"] - start
        )


# --- Light ---


def expected_light(document, key):
    """What belongs to a call or segment, as the document says it."""
    kind, number = key.split("-")
    if kind == "call":
        call = next(one for one in document["calls"] if one["id"] == int(number))
        segments = {*call["sent"], *call["retransmitted"], *call["completed_by"]}
        testimony = (call["kernel"] or {}).get("events", [])
        kernel = {*call["explanation"]["evidence"]["kernel"], *testimony}
        return {key, *(f"segment-{n}" for n in segments), *(f"kernel-{n}" for n in kernel)}
    segment = next(one for one in document["segments"] if one["id"] == int(number))
    calls = {*segment["carries"], *segment["completes"], segment["cause"]["call"]} - {None}
    segments = {segment["cause"]["segment"]} - {None}
    segments |= {
        one["id"]
        for one in document["segments"]
        if one["cause"]["segment"] == int(number)
        or (one["icmp"] and one["icmp"]["quotes"] == int(number))
    }
    kernel = {one["id"] for one in document["kernel"] if one["segment"] == int(number)}
    kernel |= set((segment["kernel"] or {}).get("events", []))
    return {
        key,
        *(f"call-{n}" for n in calls),
        *(f"segment-{n}" for n in segments),
        *(f"kernel-{n}" for n in kernel),
    }


@pytest.mark.parametrize("name", RUNS)
def test_pointing_lights_up_what_belongs_to_it_and_nothing_else(show, name):
    page = show(run(name))
    document = page.document
    keys = [f"call-{one['id']}" for one in document["calls"][:12]]
    keys += [f"segment-{one['id']}" for one in document["segments"][:10]]
    for key in keys:
        page.point(key)
        assert page.lit == expected_light(document, key), key
        assert page.js("return document.querySelector('.drawing').matches('.focused')")


def test_pointing_elsewhere_puts_the_light_out(show):
    page = show(run("connect-refused"))
    page.point("call-2")
    assert page.lit
    page.js("document.querySelector('.canvas').dispatchEvent(new PointerEvent('pointerleave'))")
    page.frame()
    assert page.lit == set()


# --- Pinned, and in the address ---


def test_a_click_pins_and_the_address_says_what(show):
    page = show(run("connect-refused"))
    page.click("call-2")
    assert page.hash == "#call-2"
    assert page.keys("#ladder .row.pinned") == {"call-2"}
    assert "nobody listens" in page.text("#why .detail")
    page.click("segment-2")
    assert page.hash == "#segment-2"
    page.click("segment-2")
    assert page.hash == ""


def test_a_deep_link_opens_with_its_thing_pinned(show):
    page = show(run("fork-concurrent-server")).open("#segment-26")
    assert page.keys("#ladder .row.pinned") == {"segment-26"}
    box = page.js(
        "return document.querySelector('#ladder .row.pinned').getBoundingClientRect().toJSON()"
    )
    assert 0 < box["top"] < 900


def test_links_of_the_evidence_lead_to_it(show):
    page = show(run("connect-refused")).open("#call-2")
    page.js("document.querySelector('#why .evidence a').click()")
    page.frame()
    assert page.hash == "#segment-1"
    assert page.keys("#ladder .row.pinned") == {"segment-1"}


def after(page, key):
    """What stands below a call, segment or event in the ladder."""
    order = page.js("return observatory.order")
    return order[order.index(key) + 1]


def test_arrow_keys_walk_from_cause_to_effect_and_back(show):
    page = show(run("connect-refused")).open("#call-2")
    walked = []
    for _ in range(2):
        page.press("ARROW_RIGHT")
        walked.append(page.hash)
    assert walked == ["#segment-1", "#segment-2"]
    page.press("ARROW_LEFT", "ARROW_LEFT")
    assert page.hash == "#call-2"
    page.press("ARROW_DOWN")
    assert page.hash == f"#{after(page, 'call-2')}"
    page.press("ARROW_UP")
    assert page.hash == "#call-2"
    page.press("ESCAPE")
    assert page.hash == ""


def test_the_keyboard_reaches_the_ladder_and_pins(show):
    page = show(run("connect-refused"))
    page.js("document.querySelector('#ladder [role=button][tabindex=\"0\"]').focus()")
    page.press("ENTER")
    assert page.hash == "#call-1"
    page.press("ARROW_DOWN")
    assert page.js("return document.activeElement.dataset.key") == after(page, "call-1")
    assert page.js("return document.activeElement.getAttribute('aria-pressed')") == "true"


# --- Filters ---


def shown(page, kind):
    return {int(key.split("-")[1]) for key in page.keys(f"#{kind}s tbody [data-key]")}


def test_filters_show_what_fits(show):
    page = show(run("fork-concurrent-server"))
    document = page.document
    pid = document["calls"][0]["pid"]
    page.filter(pid=str(pid))
    assert shown(page, "call") == {c["id"] for c in document["calls"] if c["pid"] == pid}
    assert shown(page, "segment") == {
        s["id"] for s in document["segments"] if pid in (s["src_pid"], s["dst_pid"])
    }
    page.filter(pid="", connection="2")
    assert shown(page, "call") == {c["id"] for c in document["calls"] if c["connection"] == 2}
    page.filter(connection="", name="recv")
    assert shown(page, "call") == {c["id"] for c in document["calls"] if c["name"] == "recv"}
    page.filter(name="", flag="F")
    assert shown(page, "segment") == {s["id"] for s in document["segments"] if "F" in s["flags"]}
    assert "of 50 calls" in page.text("#shown")
    page.filter(flag="", unexplained=True)
    assert shown(page, "call") == shown(page, "segment") == set()
    assert page.js("return document.getElementById('nothing-shown').hidden") is False


def test_an_errno_shows_the_call_and_what_belongs_to_it(show):
    page = show(run("connect-refused"))
    page.filter(errno="ECONNREFUSED")
    assert shown(page, "call") == {2}
    assert shown(page, "segment") == {1, 2}


def test_search_and_a_range_of_time(show):
    page = show(run("connect-refused"))
    page.filter(search="getsockname")
    assert shown(page, "call") == {3}
    page.filter(search="", **{"from": "300 us", "until": "400 µs"})
    start = int(page.js("return observatory.model.drawing.start_ns"))
    assert shown(page, "call") == {
        c["id"]
        for c in page.document["calls"]
        if c["entered_ns"] - start <= 400_000 and (c["returned_ns"] or 1e30) - start >= 300_000
    }
    page.filter(**{"from": "soon", "until": ""})
    assert page.js("return document.querySelector('[name=from]').validity.valid") is False


def test_only_the_unexplained(show):
    page = show(samples.troubled())
    page.filter(unexplained=True)
    assert shown(page, "call") == {1}
    assert shown(page, "segment") == {1}


# --- The ladder ---


def test_lost_segments_end_in_a_cross_and_repeated_ones_are_dashed_and_tied(show):
    page = show(samples.timed_out())
    document = page.document
    again = {f"segment-{s['id']}" for s in document["segments"] if s["retransmission"]}
    assert page.keys("#ladder .row.again") == again
    assert page.keys("#ladder .row.segment:has(.cross)") == {"segment-1", "segment-2", "segment-3"}
    ties = {tuple(tie.split()) for tie in page.all("#ladder .repeats path", "dataset.ties")}
    assert ties == {("segment-2", "segment-1"), ("segment-3", "segment-2")}
    dash = page.js(
        "return getComputedStyle(document.querySelector('#ladder .again .line')).strokeDasharray"
    )
    assert dash != "none"
    assert any("1.02 s" in words for words in page.all("#ladder .gap-words"))


def test_time_can_be_to_scale(show):
    page = show(run("connect-refused"))
    even = page.js("return observatory.ladder.places.ys")
    page.js("document.getElementById('scale').click()")
    page.frame()
    scaled = page.js("return observatory.ladder.places.ys")
    times = page.js("return observatory.ladder.rows.map((row) => row[1])")
    assert even != scaled
    steps = [
        (b - a, d - c) for a, b, c, d in zip(scaled, scaled[1:], times, times[1:], strict=False)
    ]
    ratios = [px / ns for px, ns in steps if px < 60 and ns]
    assert max(ratios) == pytest.approx(min(ratios), rel=0.01)


def test_a_bar_reaches_from_entry_to_return(show):
    page = show(run("connect-refused"))
    bar = page.js("return observatory.ladder.bars.find((bar) => bar.key === 'call-2')")
    rows = page.js("return observatory.ladder.rows")
    ys = page.js("return observatory.ladder.places.ys")
    own = [y for row, y in zip(rows, ys, strict=True) if row[2] == 2 and row[0] != "segment"]
    assert bar["top"] < own[0] < own[-1] < bar["bottom"]


# --- Text that attacks ---


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> \"' \u202e\u2066 \x1b[31m\x00 \udcff"
)


OURS = HOSTILE.removesuffix("\udcff")  # in words of our own there are no bytes that are no UTF-8


def test_hostile_text_is_shown_as_text_with_its_escapes(show):
    s = samples.Sample(HOSTILE)
    s.process(4711, HOSTILE)
    s.interface = samples.Interface(HOSTILE, 1, captured=1, dropped=2)
    s.defects = (HOSTILE,)
    s.notes = (HOSTILE,)
    s.call(0, 4711, "connect", fd=3, why=HOSTILE, address=f"unix:{HOSTILE}", sent=(1,))
    s.segment(5, samples.CLIENT, samples.SERVER, "S", call=1, reason=OURS, pids=(4711, None))
    s.kernel.append(
        samples.KernelEvent(
            1, samples.START + 9000, f"x:{OURS}", 4711, None, None, {HOSTILE: HOSTILE}
        )
    )
    s.connection(samples.CLIENT, samples.SERVER, HOSTILE, HOSTILE, "CLOSED SYN-SENT", "CLOSED")
    page = show(s.analysis())
    for key in ("call-1", "segment-1", "kernel-1"):
        page.js("location.hash = arguments[0]", key)
        page.frame()
        assert "<script>" in page.text("#why")
    assert page.complaints == []
    assert page.js("return document.querySelectorAll('img, script:not([id])').length") == 1
    seen = page.js("return document.body.innerText")
    assert "\\u202e" in seen and "\\x1b[31m" in seen and "\\x00" in seen
    assert not {"\u202e", "\u2066", "\x1b", "\x00"} & set(seen)
    labels = " ".join(filter(None, page.all("[aria-label]", "getAttribute('aria-label')")))
    assert not {"\u202e", "\x1b"} & set(labels + page.js("return document.title"))


# --- For everybody ---


WIDTHS = (390, 1024, 1600)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(show, width):
    page = show(run("fork-concurrent-server"))
    page.size(width, 900)
    page.open("#call-7")
    assert page.js("return document.documentElement.scrollWidth") <= width


CONTRAST = """
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}
const light = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
function ground(element) {
  for (let one = element; one; one = one.parentElement) {
    const colour = rgba(getComputedStyle(one).backgroundColor);
    if (colour[3] > 250) return colour;
  }
  return rgba("Canvas");
}
const bad = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || element.closest("script")) continue;
  if (!element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const ink = rgba(element.closest("svg") ? style.fill : style.color);
  const [a, b] = [luminance(ink), luminance(ground(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) bad.push([walker.currentNode.data.slice(0, 30), element.className, ratio]);
}
return bad.slice(0, 8);
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_enough_contrast(show, theme):
    for analysis in (run("connect-refused"), samples.troubled(), samples.timed_out()):
        page = show(analysis)
        page.theme(theme)
        page.frame()
        assert page.js(CONTRAST) == []
    page.theme("light")


def test_everything_that_can_be_used_has_a_name(show):
    page = show(run("connect-refused"))
    page.open("#call-2")
    nodes = page.cdp("Accessibility.getFullAXTree")["nodes"]
    used = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "slider", "image"}
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node.get("role", {}).get("value") in used
    ]
    assert len(named) > 20
    assert [one for one in named if not one[1].strip()] == []
    assert any("Segment #1" in name and "from 127.0.0.1" in name for _, name in named)


def test_on_paper_everything_is_there(show):
    page = show(run("fork-concurrent-server"))
    answer = page.cdp("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
    assert base64.b64decode(answer["data"]).startswith(b"%PDF")
    page.js("window.dispatchEvent(new Event('beforeprint'))")
    page.frame()
    document = page.document
    assert page.keys("#ladder .row.segment") == {f"segment-{s['id']}" for s in document["segments"]}
    assert page.js("return observatory.ladder.lanes.width") <= 1000
    page.js("window.dispatchEvent(new Event('afterprint'))")


# --- Large runs ---


def test_of_a_large_run_only_what_is_in_view_is_in_the_document(show):
    page = show(samples.long_run(5000))
    assert len(page.all("#ladder .row")) < 200
    assert len(page.all("#calls tbody tr")) < 200
    page.open("#call-4321")
    assert page.keys("#ladder .row.pinned") == {"call-4321"}
    assert page.keys("#calls tr.pinned") == {"call-4321"}
    page.js("observatory.ladder.frame.scrollTop = 0")
    page.frame()
    assert "call-1" in page.keys("#ladder .row")
    page.filter(search="c4321")
    assert len(page.all("#ladder .row")) == 1


def test_the_document_can_be_taken_out_of_the_page(show):
    analysis = run("connect-refused")
    from observatory.codec.document import document

    assert show(analysis).document == json.loads(json.dumps(document(analysis)))


def test_it_works_in_a_frame_of_a_notebook(chromium, tmp_path):
    """A frame with an origin of its own, and no address that could be changed."""
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html>{framed(run('connect-refused'))}", "utf-8")
    page = Page(chromium, path)
    chromium.get(path.as_uri())
    chromium.switch_to.frame(0)
    try:
        assert page.js("return document.documentElement.dataset.ready") == "true"
        page.find(".card-head").click()
        page.frame()
        assert page.keys("#ladder .row.pinned") == {"call-2"}
        assert "nobody listens" in page.text("#why .detail")
        page.press("ARROW_RIGHT")
        assert page.keys("#ladder .row.pinned") == {"segment-1"}
    finally:
        chromium.switch_to.default_content()
    assert page.complaints == []


def test_another_language(chromium, tmp_path):
    path = tmp_path / "zh.html"
    path.write_text("".join(one_page(run("connect-refused"), "zh")), "utf-8")
    page = Page(chromium, path).open("#call-2")
    assert page.complaints == []
    assert page.js("return document.documentElement.lang") == "zh"
    assert page.text("#calls-title").startswith("调用")


def test_what_the_kernel_told_is_beside_the_call(show):
    page = show(run("connect-refused")).open("#call-2")
    connect = page.document["calls"][1]
    names = {*connect["asked"].get("before", {}), *connect["asked"].get("after", {})}
    assert set(page.all("#why .asked th[scope=row]")) == names
    assert not any(text.isdecimal() and len(text) > 7 for text in page.all("#why .asked td"))
    assert connect["kernel"]["said"] in page.text("#why .testimony")
