"""Filters are compiled by tcpdump and run by the kernel."""

import shutil
import socket

import pytest

from observatory.errors import MissingTool, UsageError
from observatory.sources.bpf import attach, compile_filter
from observatory.sources.ring import SOCK_FILTER


@pytest.fixture(autouse=True)
def tcpdump() -> None:
    if not shutil.which("tcpdump", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        pytest.skip("tcpdump is not installed")


def test_a_filter_is_whole_instructions() -> None:
    program = compile_filter("tcp port 80", 1)
    assert len(program) % SOCK_FILTER.size == 0
    assert len(program) > SOCK_FILTER.size


def test_the_link_type_counts() -> None:
    assert compile_filter("tcp port 80", 1) != compile_filter("tcp port 80", 101)


def test_what_is_no_filter_is_told_with_the_reason() -> None:
    with pytest.raises(UsageError, match="pcap-filter"):
        compile_filter("tcp prot 80", 1)


def test_an_option_of_tcpdumps_is_not_smuggled_in() -> None:
    with pytest.raises(UsageError):
        compile_filter("-w/tmp/never", 1)


def test_without_tcpdump_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(MissingTool, match="apt-get install tcpdump"):
        compile_filter("tcp", 1)


def test_a_filter_can_be_attached_to_any_socket() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        attach(theirs, SOCK_FILTER.pack(6, 0, 0, 0))  # lets nothing through
        ours.send(b"refused")
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(10)
