"""netem, asked for what it can do: by a network that only notes what it is asked, and live."""

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from observatory.errors import ScenarioFailed
from observatory.lab import faults_netem, force
from observatory.lab.faults import MILLISECOND, Delay, Duplicate, Lose, Relayed
from observatory.lab.match import FIN
from observatory.lab.topology import ROUTED
from tests.lab.labs import elapsed, in_lab

LINK = ("router", "server")
ROOT = 1 << 16


class Noting:
    """A network whose interfaces note what is asked of them; those of ``taken`` refuse."""

    def __init__(self, taken=(), known=True):
        self.plan = ROUTED
        self.asked = []
        self.relays = {}
        self.taken = taken
        self.known = known

    def routes(self, host):
        network = self

        class Routes:
            def tc(self, command, kind="", *, index, handle, **parameters):
                if command == "add" and (host in network.taken or not network.known):
                    raise NetlinkError(17, "File exists")
                network.asked.append((host, command, index, parameters))

        return Routes()

    def interface(self, host, towards):
        return self.plan.interface(host, towards)

    def index(self, host, device):
        return {"eth0": 2, "eth1": 3}[device]

    def carry(self, host, device, relay):
        self.relays[host, device] = relay


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Delay(delay_ns=3_000), {"delay": 3, "limit": 100_000}),
        (Duplicate(), {"duplicate": 100, "limit": 100_000}),
        (Duplicate(gap_ns=1_000), None),
        (Delay(delay_ns=3_500), None),
        (Delay(match=FIN), None),
        (Delay(first=1), None),
        (Delay(every=2), None),
        (Lose(), None),
    ],
)
def test_it_is_asked_for_what_it_can_do(fault, told):
    assert faults_netem.parameters(fault) == told


@pytest.mark.parametrize(
    ("towards", "where"),
    [
        ("", [("router", 3), ("server", 2)]),
        ("server", [("router", 3)]),
        ("router", [("server", 2)]),
    ],
)
def test_packets_are_held_where_they_leave(towards, where):
    network = Noting()
    mend = faults_netem.put_netem(Delay(LINK, MILLISECOND, towards), network)

    told = {"delay": 1000, "limit": 100_000}
    assert network.asked == [(host, "add", index, told) for host, index in where]
    assert set(network.relays.values()) <= {"netem"}

    network.asked.clear()
    assert mend() is None
    assert network.asked == [(host, "del", index, {}) for host, index in where]
    assert set(network.relays.values()) <= {""}


def test_what_was_begun_is_undone_where_the_other_end_refuses():
    network = Noting(taken=("server",))
    with pytest.raises(ScenarioFailed, match="An interface has one netem"):
        faults_netem.put_netem(Delay(LINK), network)

    assert [command for _, command, _, _ in network.asked] == ["add", "del"]


def test_whether_the_kernel_has_it_is_found_by_trying():
    assert not faults_netem.available(Noting(known=False))
    there = Noting()
    assert faults_netem.available(there)
    assert [command for _, command, _, _ in there.asked] == ["add", "del"]


@pytest.mark.parametrize(
    ("faults", "laid"),
    [
        ([Delay(LINK)], []),
        ([Delay(LINK), Delay(("client", "router"))], []),
        ([Delay(LINK), Duplicate(LINK[::-1])], [LINK]),
        ([Relayed(LINK), Delay(("client", "router"))], [LINK]),
        ([Delay(LINK, match=FIN)], [LINK]),
    ],
    ids=str,
)
def test_a_relay_is_laid_where_netem_cannot_do_it(monkeypatch, faults, laid):
    found = []
    monkeypatch.setattr(force.relay_link, "lay", lambda link, _: found.append(link))

    force.prepare(faults, Noting())

    assert found == laid


def test_without_netem_a_relay_is_laid_for_all(monkeypatch):
    found = []
    monkeypatch.setattr(force.relay_link, "lay", lambda link, _: found.append(link))

    force.prepare([Delay(LINK)], Noting(known=False))

    assert found == [LINK]


def test_it_delays_where_the_kernel_has_it():
    def check(bench):
        if not faults_netem.available(bench.network):
            return None
        fault = Delay(LINK, 30 * MILLISECOND)
        with bench.listener():
            force.put(fault, bench.network)
            bench.outcome()
            late = elapsed(bench.outcome)
            force.mend(fault, bench.network)
            return [late, elapsed(bench.outcome)]

    found = in_lab(check)
    if found is None:
        pytest.skip("this kernel has no netem")
    assert found[0] >= 0.06 > found[1]
