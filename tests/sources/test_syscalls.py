import ctypes
import errno
import socket

import pytest

from observatory.sources import syscalls
from observatory.sources.syscalls import address_text, pack_address, unpack_address


@pytest.mark.parametrize(
    ("family", "address", "text"),
    [
        (socket.AF_INET, ("127.0.0.1", 80), "127.0.0.1:80"),
        (socket.AF_INET, ("", 0), "0.0.0.0:0"),
        (socket.AF_INET, ("<broadcast>", 9), "255.255.255.255:9"),
        (socket.AF_INET, ("localhost", 7), "127.0.0.1:7"),
        (socket.AF_INET6, ("::1", 65535), "[::1]:65535"),
        (socket.AF_INET6, ("", 80), "[::]:80"),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 80, 1, 2), "[::ffff:127.0.0.1]:80"),
        (socket.AF_UNIX, "/run/a", "unix:/run/a"),
        (socket.AF_UNIX, b"/run/\xff", "unix:/run/\udcff"),
        (socket.AF_UNIX, "\0abstract", "unix:@abstract"),
        (socket.AF_UNIX, "", "unix:"),
    ],
)
def test_addresses_survive_their_c_structure(family, address, text):
    assert address_text(unpack_address(pack_address(family, address))) == text


def test_the_structures_are_the_kernels(tmp_path):
    for family, address in [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0, 0, 0)),
        (socket.AF_UNIX, str(tmp_path / "name")),
    ]:
        with socket.socket(family) as sock:
            raw = pack_address(family, address)
            if syscalls.bind(sock.fileno(), raw, len(raw)):
                assert ctypes.get_errno() == errno.EADDRNOTAVAIL  # a machine without IPv6
                continue
            bound = sock.getsockname()
            assert (bound if family == socket.AF_UNIX else bound[0]) == (
                address if family == socket.AF_UNIX else address[0]
            )


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        (socket.AF_INET, ("127.0.0.1", 65536), OverflowError),
        (socket.AF_INET, ("127.0.0.1", -1), OverflowError),
        (socket.AF_INET, ("127.0.0.1",), ValueError),
        (socket.AF_UNIX, "x" * 109, OSError),
    ],
)
def test_a_bad_address_is_refused_before_the_kernel_is_asked(family, address, expected):
    with pytest.raises(expected):
        pack_address(family, address)


def test_families_that_only_python_packs():
    assert pack_address(socket.AF_NETLINK, (0, 0)) is None
    assert unpack_address(b"\x10\x00" + bytes(10)) is None
    assert unpack_address(b"") is None
    assert address_text(None) is None


def test_errno_is_left_for_the_caller():
    ctypes.set_errno(0)
    assert syscalls.send(-1, b"x", 1, 0) == -1
    assert ctypes.get_errno() == errno.EBADF
