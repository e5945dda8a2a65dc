import os
from pathlib import Path

import pytest

from observatory.lab import kernel, privileges
from observatory.lab.privileges import Person, become, invoker

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def in_child(check):
    """The exit code of a child that ran ``check()``, 0 if it returned true."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = int(not check())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def mask(name):
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index(f"{name}:") + 1], 16)


def test_without_sudo_the_invoker_is_the_caller():
    assert invoker({}) == Person(os.geteuid(), os.getegid())


@root_only
def test_through_sudo_the_invoker_is_who_typed_it():
    assert invoker({"SUDO_UID": "1000", "SUDO_GID": "1001"}) == Person(1000, 1001)
    assert invoker({"SUDO_UID": "x", "SUDO_GID": ""}) == Person(0, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may act for another")
def test_an_ordinary_user_is_itself_whatever_the_environment_says():
    assert invoker({"SUDO_UID": "0", "SUDO_GID": "0"}).uid == os.geteuid()


def test_no_power_is_left():
    def check():
        become(invoker({}), keep_network=False)
        return mask("CapEff") == mask("CapPrm") == 0

    assert in_child(check) == 0


@root_only
def test_root_alone_stays_root_but_may_not_bind_a_low_port():
    def check():
        become(Person(0, 0), keep_network=False)
        return os.geteuid() == 0 and mask("CapBnd") == 0 and mask("CapEff") == 0

    assert in_child(check) == 0


@root_only
@pytest.mark.parametrize("keep", [False, True])
def test_root_becomes_the_user_for_good(keep):
    def check():
        become(Person(NOBODY, NOBODY), keep_network=keep)
        network = (1 << kernel.CAP_NET_ADMIN) | (1 << kernel.CAP_NET_RAW)
        return (
            os.getresuid() == (NOBODY,) * 3
            and os.getresgid() == (NOBODY,) * 3
            and os.getgroups() == []
            and mask("CapEff") == (mask("CapPrm") & network if keep else 0)
            and (mask("CapEff") != 0) is keep
        )

    assert in_child(check) == 0


def test_the_network_capabilities():
    assert {kernel.CAP_NET_ADMIN, kernel.CAP_NET_RAW} == privileges.NETWORK_CAPABILITIES
