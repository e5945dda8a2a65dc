"""The table agrees with the system it was written on."""

import errno
import platform

import pytest

from observatory.codec.errnos import ERRNOS, message, name_of


@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="other numbers there")
def test_numbers_are_this_system_s():
    assert {name: number for name, (number, _) in ERRNOS.items()} == {
        name: number for number, name in errno.errorcode.items() if name in ERRNOS
    }


def test_messages():
    assert message("ECONNREFUSED") == "Connection refused"
    assert message("ENOSUCHERROR") == ""
    assert name_of(111) == "ECONNREFUSED"
    assert name_of(99999) is None
