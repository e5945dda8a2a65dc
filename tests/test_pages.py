"""A run in a notebook: its page in a frame, whatever is in it."""

import html
import re

from tests.reports import samples


def test_the_page_stands_whole_in_its_frame():
    analysis = samples.refused()
    shown = analysis._repr_html_()
    (source,) = re.findall(r'srcdoc="([^"]*)"', shown)
    page = html.unescape(source)
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert "ECONNREFUSED" in page
    assert shown.startswith("<iframe") and shown.endswith("</iframe>")
