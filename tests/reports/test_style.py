"""Text measured and wrapped in cells."""

from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.printable import printable
from observatory.reports.style import Canvas, Look, cells, wrap


def test_cells_of_wide_and_combining_characters():
    assert cells("abc") == 3
    assert cells("服务") == 4
    assert cells("e\u0301") == 1


@given(st.text().map(printable), st.integers(12, 60))
def test_wrapped_lines_fit_and_lose_nothing(text, width):
    lines = wrap(text, width, "  ", "    ")
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_wide_characters_keep_their_columns_on_a_canvas():
    canvas = Canvas(10)
    canvas.write(0, "服务x")
    canvas.write(8, "y")
    assert canvas.render(Look()) == "服务x   y"


def test_writing_off_the_page_is_lost():
    canvas = Canvas(4)
    canvas.write(2, "abcdef")
    canvas.write(-3, "zz")
    assert canvas.render(Look()) == "  ab"


def test_ascii_spells_what_it_can_and_escapes_the_rest():
    look = Look(ascii=True)
    assert look.text("a → b … 服") == "a -> b ... \\u670d"


def test_flow_breaks_between_parts():
    look = Look(width=20)
    assert look.flow(["twelve chars", "and more", "x"], "  ") == [
        "  twelve chars",
        "  and more · x",
    ]
