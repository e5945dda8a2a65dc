"""A comparison as text, JSON and HTML."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from observatory.analysis.aligning import align
from observatory.pipeline import analyze, load
from observatory.reports import comparing, comparing_html
from tests.reports import samples

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"


@pytest.fixture(scope="module")
def comparison():
    names = ("close-unread-data", "close-active")
    return align(*(analyze(load(CATALOGUE / f"{name}.pcapng")) for name in names))


def test_differences_have_their_sign_and_their_reason(comparison):
    text = comparing.render(comparison, 200)
    assert "! c10 close(4) = 0" in text
    assert "sent: RA → FA" in text
    assert "explanation: close-unread-data → close" in text


def test_what_is_the_same_is_counted_or_shown(comparison):
    assert " the same\n" in comparing.render(comparison)
    assert "      c1 socket(" in comparing.render(comparison, full=True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit(comparison, width):
    assert max(map(len, comparing.render(comparison, width).splitlines())) <= width


def test_the_document_names_both(comparison):
    document = comparing.document(comparison)
    changed = [one for one in document["calls"] if one["change"] == "other"]
    assert {"what": "sent", "before": "RA", "after": "FA"} in [
        difference for one in changed for difference in one["differences"]
    ]
    assert document["same"] is False


def test_a_run_beside_itself():
    analysis = samples.refused()
    assert "the two runs do the same" in comparing.render(align(analysis, analysis))


def test_the_page_is_well_formed_and_nothing_in_it_is_markup():
    s = samples.Sample("<script>alert(1)</script>")
    s.process(7, "<img src=x onerror=y>")
    s.call(0, 7, "connect", fd=3, address="unix:/<b>&", why="<i>\u202e")
    page = comparing_html.render(align(s.analysis(), samples.refused()))
    body = page[page.index("<body>") : page.index("</body>")]
    root = ElementTree.fromstring(body.replace("<br>", "<br/>") + "</body>")
    tags = {one.tag.rpartition("}")[2] for one in root.iter()}
    assert not tags & {"script", "img", "i"}
    assert "\u202e" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
