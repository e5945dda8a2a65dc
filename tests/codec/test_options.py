"""TCP options: those that are read, and lists that lie about their lengths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.options import parse_options
from observatory.model import TcpOptions


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("", TcpOptions()),
        ("01010101", TcpOptions()),
        ("0101080a0000000700000009", TcpOptions(timestamp=(7, 9))),
        ("080a00000007000000090101", TcpOptions(timestamp=(7, 9))),
        ("020405b4", TcpOptions(mss=1460)),
        ("01030307", TcpOptions(window_scale=7)),
        ("04020000", TcpOptions(sack_permitted=True)),
        ("0101050a0000000100000002", TcpOptions(sack=((1, 2),))),
        ("010105120000000100000002ffffffff00000004", TcpOptions(sack=((1, 2), (2**32 - 1, 4)))),
        ("22020101", TcpOptions(fast_open=True)),
        ("220a11223344556677880101", TcpOptions(fast_open=True)),
        ("fe04f989", TcpOptions(fast_open=True)),
        ("fe041234", TcpOptions()),
        ("00020405b4", TcpOptions()),  # behind the end of the list
        ("0204", TcpOptions()),  # cut off by the capture
        ("0203050100", TcpOptions()),  # an MSS of one byte
        ("0200ffff", TcpOptions()),  # a length that would never end
        ("020405b405ff", TcpOptions(mss=1460)),
    ],
)
def test_options(data, options):
    assert parse_options(bytes.fromhex(data)) == options


@given(st.binary(max_size=40))
def test_no_bytes_raise(data):
    assert isinstance(parse_options(data), TcpOptions)
