"""Journal entries: plain fields, fields with line breaks, entries cut anywhere."""

from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.journal_export import encode_entry, parse_entry

names = st.from_regex(r"[A-Z_]{1,12}", fullmatch=True)
entries = st.dictionaries(names, st.text(st.characters(exclude_categories=("Cs",))))


def test_a_plain_field_is_a_line():
    assert encode_entry({"MESSAGE": "a=b", "PRIORITY": "6"}) == b"MESSAGE=a=b\nPRIORITY=6\n"


def test_a_line_break_goes_by_length():
    assert encode_entry({"M": "a\nb"}) == b"M\n\x03" + bytes(7) + b"a\nb\n"


@given(entries, st.integers(0, 3))
def test_what_is_written_reads_back(fields, padding):
    entry = encode_entry(fields) + bytes(padding)
    assert parse_entry(entry) == {name: value.encode() for name, value in fields.items()}


@given(entries, st.data())
def test_a_cut_entry_has_the_fields_that_are_whole(fields, data):
    entry = encode_entry(fields)
    found = parse_entry(entry[: data.draw(st.integers(0, len(entry)))])
    assert found.items() <= {name: value.encode() for name, value in fields.items()}.items()


@given(st.binary(max_size=60))
def test_no_bytes_raise(entry):
    parse_entry(entry)
