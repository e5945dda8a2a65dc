"""The ladder as SVG: well-formed, complete, and with every text a text."""

import re
from xml.etree import ElementTree

import pytest

from observatory.reports import svg
from tests.reports import samples

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
