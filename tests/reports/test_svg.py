"""The ladder as SVG: well-formed, complete, and with every text a text."""

import re
from xml.etree import ElementTree

import pytest

from observatory.reports import svg
from tests.reports import samples
from tests.reports.test_kernel import played
from tests.reports.test_lab_ladder import LOST, REJECTED, UNREACHABLE, analysis

MARK = re.compile(r"k\d+ ")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(analysis, **options):
    return ElementTree.fromstring(svg.render(analysis, **options))


def words(root):
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", samples.ALL)
def test_every_call_and_segment_is_there(name, plain):
    analysis = samples.ALL[name]()
    root = drawn(analysis, plain=plain)
    segments = {
        int(group.get("data-segment")) for group in root.iter() if group.get("data-segment")
    }
    calls = {int(text.get("data-call")) for text in root.iter() if text.get("data-call")}
    assert segments == {one.segment.id for one in analysis.segments}
    assert calls == {one.call.id for one in analysis.calls}


@pytest.mark.parametrize("name", samples.ALL)
def test_nothing_stands_outside(name):
    root = drawn(samples.ALL[name]())
    width, height = float(root.get("width")), float(root.get("height"))
    for text in root.iter(f"{SVG}text"):
        x, y = float(text.get("x")), float(text.get("y"))
        size = len("".join(text.itertext())) * 7
        left = {"middle": x - size / 2, "end": x - size}.get(text.get("text-anchor"), x)
        assert left >= 0
        assert left + size <= width + 12
        assert 0 < y < height


def test_what_programs_say_is_no_markup():
    s = samples.Sample('<script>"&\x1b[31m\u202e\udcff')
    s.call(0, 1, "connect", fd=3, address="unix:/<img src=x>&amp;\x00")
    root = drawn(s.analysis())
    assert not [one for one in root.iter() if one.tag.endswith(("script", "img"))]
    assert any("<img src=x>&amp;\\x00" in text for text in words(root))


def test_nothing_is_loaded_from_elsewhere():
    text = svg.render(samples.refused()).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert re.findall(r"url\(([^)]*)\)", text) == ["#ladder-head"] * text.count("url(")


def test_a_picture():
    pytest.importorskip("resvg_py")
    picture = svg.png(svg.render(samples.refused(), plain=True))
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert "var(" not in svg.render(samples.refused(), plain=True)


LAB = {"lost": LOST, "unreachable": UNREACHABLE, "rejected": REJECTED}


@pytest.mark.parametrize("play", LAB.values(), ids=LAB)
def test_the_hosts_of_a_lab_stand_over_its_lanes(play):
    root = drawn(analysis(play))
    at = {
        "".join(text.itertext()): (text.get("class"), float(text.get("y")))
        for text in root.iter(f"{SVG}text")
    }
    hosts = [name for name, (style, _) in at.items() if style == "host"]
    assert hosts[:2] == ["client", "router"]
    assert at["client"][1] < at["client[100]"][1]
    assert "router" not in [name for name, (style, _) in at.items() if "name" in style]
    brackets = [one for one in root.iter(f"{SVG}path") if one.get("class") == "lane"]
    assert len(brackets) == (play is REJECTED), "over the two processes of a host"


def test_a_segment_ends_where_it_was_lost():
    root = drawn(analysis(LOST))
    lanes = [float(one.get("x1")) for one in root.iter(f"{SVG}line") if one.get("class") == "lane"]
    client, router, server = lanes
    ends = {
        int(group.get("data-segment")): (float(line.get("x1")), float(line.get("x2")))
        for group in root.iter(f"{SVG}g")
        for line in group.iter(f"{SVG}line")
    }
    crosses = {
        int(group.get("data-segment"))
        for group in root.iter(f"{SVG}g")
        if group.find(f"{SVG}path") is not None
    }
    assert crosses == {1, 2, 4}
    assert router - 20 < ends[1][1] < router
    assert client < ends[2][1] < (client + router) / 2
    assert (router + server) / 2 < ends[4][1] < server
    assert (router + server) / 2 < ends[6][0] < server, "a copy begins on the link"
    assert any("~40 ms" in text for text in words(root))


def test_the_kernels_events_are_marks_when_asked_for():
    told = [text for text in words(drawn(played("refused.play"), kernel=True)) if MARK.match(text)]
    assert "k2 RST sent, reason NO_SOCKET #2" in told
    marked = drawn(played("refused.play"), kernel=True)
    assert len(list(marked.iter(f"{SVG}circle"))) == len(told)
    plain = drawn(played("refused.play"))
    assert not list(plain.iter(f"{SVG}circle"))
    assert not [text for text in words(plain) if MARK.match(text)]
