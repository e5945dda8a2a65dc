"""Nothing that a terminal obeys gets through."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.printable import printable, quoted


def test_ordinary_text_is_left_alone():
    assert printable("server, größe 服务器 → x") == "server, größe 服务器 → x"


def test_escapes_and_bidirectional_marks_are_written_out():
    assert printable("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"
    assert printable("\udc80\U000e0001") == "\\udc80\\U000e0001"


def test_quoted_as_strace_does():
    assert quoted('say "hi"\\\n') == '"say \\"hi\\"\\\\\\n"'


@given(st.text())
def test_nothing_unprintable_is_left(text):
    assert not {unicodedata.category(char) for char in printable(text)} & {"Cc", "Cf", "Cs", "Zl"}
