"""The page as text: what is in it, and that nothing in it can become markup."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from observatory.model import KernelEvent, PlacedEvent
from observatory.pipeline import analyze, load
from observatory.reports.html import assets, render
from tests.reports import samples

ELEMENT = re.compile(r'<script type="application/json" id="(\w+)">(.*?)</script>', re.DOTALL)
CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"
MODULES = sorted((assets.FOLDER / "js").glob("*.js"))


def page(analysis) -> str:
    return "".join(render(analysis))


def embedded(text: str) -> dict[str, object]:
    return {name: json.loads(content) for name, content in ELEMENT.findall(text)}


@pytest.mark.parametrize("name", samples.ALL)
def test_the_document_is_in_the_page_as_it_is(name: str) -> None:
    from observatory.codec.document import document

    analysis = samples.ALL[name]()
    assert embedded(page(analysis))["document"] == document(analysis)


def test_rows_of_the_ladder_stand_in_time_order_with_the_kernels_events() -> None:
    drawing = embedded(page(samples.refused()))["drawing"]
    times = [row[1] for row in drawing["rows"]]
    assert times == sorted(times)
    assert [row[0] for row in drawing["rows"]].count("kernel") == 1
    assert drawing["lanes"][0]["label"] == "client[4711]"


HOSTILE = "</script><script>alert(1)</script><!-- \"'& \u2028\u2029 \u202e \x1b[31m \udcff"


def hostile():
    s = samples.Sample(HOSTILE)
    s.process(4711, HOSTILE)
    s.call(0, 4711, "connect", fd=3, why=HOSTILE, address=HOSTILE)
    s.interface = samples.Interface(HOSTILE, 1)
    s.defects = (HOSTILE,)
    return s.analysis()


def test_no_text_of_a_run_becomes_markup() -> None:
    text = page(hostile())
    assert len(ELEMENT.findall(text)) == 3
    assert text.count("<script") == 4 and text.count("</script") == 4
    assert "<!--" not in text.partition("<body>")[2]
    assert not {"\u2028", "\u2029", "\x1b"} & set(text)
    text.encode()  # a lone surrogate would not be UTF-8


def test_the_policy_allows_this_script_and_this_style_alone() -> None:
    text = page(samples.refused())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    assert all("unsafe" not in rule for rule in rules.values())


def test_a_served_page_may_talk_to_where_it_came_from() -> None:
    assert "connect-src &#39;self&#39;" in "".join(render(samples.refused(), connect="'self'"))


def test_the_page_without_its_data_is_small() -> None:
    text = ELEMENT.sub("", page(samples.refused()))
    assert len(text.encode()) < 300_000


def test_every_message_that_the_program_asks_for_is_there() -> None:
    texts = embedded(page(samples.empty()))["messages"]
    for path in MODULES:
        for key in re.findall(r'\bsay\("([\w-]+)"', path.read_text("utf-8")):
            assert key in texts, f"{path.name} says {key}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_import_only_from_those_before_them(path) -> None:
    assert path.stem in assets.MODULES
    before = assets.MODULES[: assets.MODULES.index(path.stem)]
    imported = [match[3] for match in assets.IMPORT.finditer(path.read_text("utf-8"))]
    assert set(imported) <= set(before)


def test_other_languages_fall_back_to_english() -> None:
    text = "".join(render(samples.refused(), lang="zh"))
    assert '<html lang="zh"' in text
    assert embedded(text)["messages"].keys() == embedded(page(samples.refused()))["messages"].keys()


def test_a_language_without_an_edition_is_refused() -> None:
    from observatory.errors import UsageError

    with pytest.raises(UsageError, match="no edition"):
        "".join(render(samples.refused(), lang="xx"))


def test_a_kernel_event_is_in_the_lane_of_who_had_its_end_of_the_connection_then() -> None:
    analysis = samples.forked(1)
    lanes = {lane["pid"]: number for number, lane in enumerate(drawn(analysis)["lanes"])}
    events = [
        KernelEvent(number, samples.START + at * 1000, "sock:x", 100, None, None, {})
        for number, at in ((1, 108), (2, 143))
    ]
    placed = [PlacedEvent(event.id, connection=1, end="server") for event in events]
    trace = replace(analysis.trace, kernel=tuple(events))
    rows = drawn(replace(analysis, trace=trace, kernel=tuple(placed)))["rows"]
    assert [row[3] for row in rows if row[0] == "kernel"] == [lanes[200], lanes[201]]


def drawn(analysis):
    return embedded(page(analysis))["drawing"]


def test_in_a_lab_routers_have_lanes_and_segments_their_way() -> None:
    analysis = analyze(load(CATALOGUE / "connect-over-router.pcapng"))
    drawing = drawn(analysis)
    assert [lane["router"] for lane in drawing["lanes"]] == [False, True, False]
    syn = next(row for row in drawing["rows"] if row[0] == "segment")
    assert syn[3:7] == [0, 2, False, False]
    assert [lane for lane, _ in syn[8]] == [1]
    assert 0 < syn[8][0][1] <= syn[7]
