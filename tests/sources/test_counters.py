"""The kernel's counters, read of this very process's network and of a private one."""

import os
import socket

import pytest

from observatory.sources.counters import CounterTable


def changed(table):
    return {counter.name: counter.change for counter in table.changes()}


def refused():
    with socket.socket() as sock, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            sock.connect(nobody.getsockname())


def test_a_refused_connect_is_counted():
    with CounterTable(exact=False) as table:
        refused()
        found = changed(table)
    assert found["Tcp.ActiveOpens"] >= 1  # others may have counted meanwhile
    assert found["Tcp.OutRsts"] >= 1


def test_on_a_network_that_others_use_nothing_is_exact():
    with CounterTable(exact=False) as table:
        refused()
        assert not any(counter.exact for counter in table.changes())


def test_the_counters_of_a_private_network_are_its_own(loopback):
    """No more and no less than what was done there, while another network is busy, too."""
    with CounterTable(loopback.pid, host="lab") as table:
        refused()
        loopback.do("udp", count=7, size=10)
        found = table.changes()

    counted = {counter.name: counter.change for counter in found}
    assert counted["Udp.OutDatagrams"] == 7
    assert "Tcp.ActiveOpens" not in counted
    assert all(counter.host == "lab" and counter.exact for counter in found)


def test_a_network_stays_to_be_read_when_its_process_is_gone():
    going, gone = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gone)
        os.read(going, 1)
        os._exit(0)
    os.close(going)
    with CounterTable(pid, exact=False) as table:
        os.close(gone)
        os.waitpid(pid, 0)
        refused()
        assert changed(table)["Tcp.OutRsts"] >= 1


def test_a_process_that_is_gone_has_no_counters():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with CounterTable(pid) as table:
        assert table.changes() == ()
