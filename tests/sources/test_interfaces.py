"""The interfaces of this machine: at least a loopback."""

import os

import pytest

from observatory.errors import CaptureError, PermissionRefused
from observatory.sources.interfaces import interfaces_up, open_captures


def test_loopback_comes_first() -> None:
    names = interfaces_up()
    if "lo" not in names:
        pytest.skip("the loopback is down here")
    assert names[0] == "lo"
    assert len(names) == len(set(names))


@pytest.mark.skipif(os.geteuid() != 0, reason="for root")
def test_a_socket_for_each_and_an_error_for_one_that_is_not_there() -> None:
    opened = open_captures(["lo"], "tcp port 80")
    assert [sock.getsockname()[0] for sock in opened] == ["lo"]
    for sock in opened:
        sock.close()
    with pytest.raises(CaptureError, match="ip link"):
        open_captures(["lo", "nosuch0"])


@pytest.mark.skipif(os.geteuid() == 0, reason="for an ordinary user")
def test_without_the_capability_it_says_what_to_do() -> None:
    with pytest.raises(PermissionRefused, match="--private"):
        open_captures([])
