import os
from contextlib import suppress
from pathlib import Path

import pytest

from observatory.errors import PermissionRefused
from observatory.lab import kernel, namespace


def test_a_process_can_name_itself():
    before = Path("/proc/self/comm").read_bytes().strip()
    kernel.prctl(kernel.PR_SET_NAME, b"client")
    try:
        assert Path("/proc/self/comm").read_text().strip() == "client"
    finally:
        kernel.prctl(kernel.PR_SET_NAME, before)


def test_a_refusal_is_an_os_error():
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.prctl(9999)
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.unshare(0x1)


def test_capabilities_can_be_given_up():
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            kernel.set_capabilities(frozenset())
            text = Path("/proc/self/status").read_text()
            status = int("CapEff:\t0000000000000000" not in text)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_kernel_knows_the_capabilities_we_use():
    assert kernel.last_capability() >= max(kernel.CAP_NET_ADMIN, kernel.CAP_NET_RAW)


def test_a_capability_can_be_kept_for_a_program():
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with suppress(PermissionRefused):
                namespace.enter_private_network()
            try:
                kernel.keep_over_exec(kernel.CAP_NET_ADMIN)
                text = Path("/proc/self/status").read_text()
                status = int(f"CapAmb:\t{1 << kernel.CAP_NET_ADMIN:016x}" not in text)
            except PermissionError:
                status = 77
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 77:
        pytest.skip("no private network, and so no capability to keep")
    assert status == 0
