"""Each fault proven on a real network: what a program's calls say, and what stays afterwards."""

import socket
import subprocess
import time

import pytest

from observatory.errors import ScenarioFailed, UsageError
from observatory.lab import force, namespace, watching
from observatory.lab.faults import (
    MILLISECOND,
    CutLink,
    DeadRoute,
    DeafNeighbour,
    Delay,
    Drop,
    Hook,
    Lose,
    Reject,
    Rejection,
    Relayed,
    RouteType,
    SmallerMtu,
)
from observatory.lab.match import DATA, EVERYTHING, FIN, PURE_ACK, RST, SYN, SYN_ACK, Match
from observatory.lab.topology import PAIR
from observatory.model import Protocol
from tests.lab.labs import IPV4, IPV6, PORT, elapsed, in_lab, people

UDP = Match(Protocol.UDP)


# Silence.


@pytest.mark.parametrize("uid", people())
@pytest.mark.parametrize("family", [IPV4, IPV6])
def test_a_dropped_syn_is_silence_until_it_is_mended(family, uid):
    def check(bench):
        fault = Drop(SYN.towards("server"))
        with bench.listener(family):
            bench.put(fault)
            return [bench.outcome(family, 0.2), bench.mend(fault), bench.outcome(family)]

    assert in_lab(check, uid=uid) == ["waits", 1, "ok"]


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [
        (Drop(UDP, first=3), [3, 4, 5, 6]),
        (Drop(UDP, every=3), [0, 1, 3, 4, 6]),
        (Drop(UDP.towards("server"), first=1), [1, 2, 3, 4, 5, 6]),
        (Drop(UDP.towards("client")), [0, 1, 2, 3, 4, 5, 6]),
        (Drop(UDP.sent_by("client").on_port(PORT), first=6), [6]),
        (Drop(UDP.on_port(PORT + 1)), [0, 1, 2, 3, 4, 5, 6]),
        (Drop(Match(payload=False)), [0, 1, 2, 3, 4, 5, 6]),
        (Drop(Match(payload=True), every=2, at="server"), [0, 2, 4, 6]),
    ],
    ids=lambda value: value.sentence if isinstance(value, Drop) else "",
)
def test_exactly_these_datagrams_are_dropped(fault, arrived):
    def check(bench):
        with bench.bound() as sock:
            bench.put(fault)
            bench.datagrams(7)
            return [bench.received(sock, len(arrived)), bench.mend(fault)]

    assert in_lab(check) == [arrived, 7 - len(arrived)]


@pytest.mark.parametrize("family", [IPV4, IPV6])
def test_only_segments_with_data_are_dropped(family):
    """The handshake, the FIN and every ACK pass; the first copy of the data does not."""

    def check(bench):
        fault = Drop(DATA.towards("server"), first=1)
        with bench.listener(family) as listener:
            bench.put(fault)
            client, server = bench.connection(listener, family)
            with client, server:
                client.send(b"twice")
                arrived = server.recv(100)
            return [arrived.decode(), bench.mend(fault)]

    assert in_lab(check) == ["twice", 1]


@pytest.mark.parametrize(
    ("match", "dropped"),
    [
        (SYN, 1),
        (SYN_ACK, 1),
        (PURE_ACK.sent_by("client"), 1),
        (FIN.sent_by("client"), 1),
        (RST, 0),
    ],
    ids=str,
)
def test_each_kind_of_segment_can_be_told_from_the_others(match, dropped):
    """Whichever is lost the first time, the connection is made and ended all the same."""

    def check(bench):
        fault = Drop(match, first=1)
        with bench.listener() as listener:
            bench.put(fault)
            client, server = bench.connection(listener)
            with server:
                client.shutdown(socket.SHUT_WR)
                end = server.recv(100)
                client.close()
            return [end.decode(), bench.mend(fault)]

    assert in_lab(check) == ["", dropped]


def test_what_a_host_drops_on_its_way_out_its_program_hears_of():
    def check(bench):
        bench.put(Drop(UDP, at="client", hook=Hook.OUTPUT))
        with pytest.raises(PermissionError):
            bench.datagrams(1)

    in_lab(check)


def test_a_host_that_drops_everything_still_answers_its_neighbours():
    def check(bench):
        fault = Drop(at="server")
        with bench.listener(IPV6):
            bench.put(fault)
            waits = bench.outcome(IPV6, 0.2)
            hit = bench.mend(fault)
            return [waits, hit, bench.outcome(IPV6)]

    assert in_lab(check, PAIR) == ["waits", 1, "ok"]


# Rejections: type and code as RFC 792, RFC 1812 and RFC 4443 number them.

MESSAGES = {
    Rejection.NET_UNREACHABLE: ([3, 0], [1, 0]),
    Rejection.HOST_UNREACHABLE: ([3, 1], [1, 3]),
    Rejection.PROTOCOL_UNREACHABLE: ([3, 2], None),
    Rejection.PORT_UNREACHABLE: ([3, 3], [1, 4]),
    Rejection.NET_PROHIBITED: ([3, 9], None),
    Rejection.HOST_PROHIBITED: ([3, 10], None),
    Rejection.ADMIN_PROHIBITED: ([3, 13], [1, 1]),
    Rejection.POLICY_FAIL: (None, [1, 5]),
    Rejection.REJECT_ROUTE: (None, [1, 6]),
}


@pytest.mark.parametrize("how", MESSAGES)
def test_a_rejected_packet_draws_its_message(how):
    def check(bench):
        fault = Reject(UDP, how)
        bench.put(fault)
        return [bench.icmp_error(IPV4), bench.icmp_error(IPV6), bench.mend(fault)]

    assert in_lab(check) == [*MESSAGES[how], 2]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (Rejection.RST, "ECONNREFUSED"),
        (Rejection.PORT_UNREACHABLE, "ECONNREFUSED"),
        (Rejection.HOST_UNREACHABLE, "EHOSTUNREACH"),
        (Rejection.NET_UNREACHABLE, "ENETUNREACH"),
        (Rejection.ADMIN_PROHIBITED, "EHOSTUNREACH"),
        (Rejection.PROTOCOL_UNREACHABLE, "ENOPROTOOPT"),
    ],
)
def test_a_rejected_connect_fails(how, error):
    def check(bench):
        fault = Reject(SYN.towards("server").on_port(PORT), how)
        with bench.listener():
            bench.put(fault)
            failed = bench.outcome()
            bench.mend(fault)
            return [failed, bench.outcome()]

    assert in_lab(check) == [error, "ok"]


@pytest.mark.parametrize("uid", people())
def test_an_ipv6_connect_is_reset(uid):
    def check(bench):
        bench.put(Reject(SYN, Rejection.RST))
        with bench.listener(IPV6):
            return bench.outcome(IPV6)

    assert in_lab(check, uid=uid) == "ECONNREFUSED"


def test_the_second_try_is_not_rejected():
    def check(bench):
        fault = Reject(SYN, Rejection.RST, first=1)
        with bench.listener():
            bench.put(fault)
            return [bench.outcome(), bench.outcome(), force.hits(fault, bench.network)]

    assert in_lab(check) == ["ECONNREFUSED", "ok", 1]


# What the router's own tables do.


@pytest.mark.parametrize("uid", people())
@pytest.mark.parametrize("family", [IPV4, IPV6])
def test_a_link_is_cut_and_mended(family, uid):
    def check(bench):
        fault = CutLink()
        with bench.listener(family) as listener:
            client, server = bench.connection(listener, family)
            with client, server:
                bench.put(fault)
                error = bench.icmp_error(family)
                client.send(b"after the cut")
                bench.mend(fault)
                return [error, server.recv(100).decode(), bench.outcome(family)]

    # The network behind the link is unknown to the router while it is down.
    unreachable = {IPV4: [3, 0], IPV6: [1, 0]}[family]
    assert in_lab(check, uid=uid) == [unreachable, "after the cut", "ok"]


@pytest.mark.parametrize("family", [IPV4, IPV6])
def test_a_deaf_neighbour_makes_the_router_say_host_unreachable(family):
    def check(bench):
        with bench.network.enter("router"):
            namespace.write_settings(
                {f"net.{version}.neigh.eth1.retrans_time_ms": "20" for version in ("ipv4", "ipv6")}
            )
        fault = DeafNeighbour()
        with bench.listener(family):
            before = bench.outcome(family)
            bench.put(fault)
            error = bench.icmp_error(family)
            bench.mend(fault)
            return [before, error, bench.outcome(family)]

    assert in_lab(check) == ["ok", {IPV4: [3, 1], IPV6: [1, 3]}[family], "ok"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (RouteType.UNREACHABLE, [3, 1]),
        (RouteType.PROHIBIT, [3, 13]),
        (RouteType.BLACKHOLE, None),
    ],
)
def test_a_dead_route_on_the_router(kind, error):
    def check(bench):
        fault = DeadRoute(kind)
        with bench.listener():
            bench.put(fault)
            told = bench.icmp_error()
            bench.mend(fault)
            return [told, bench.outcome()]

    assert in_lab(check) == [error, "ok"]


@pytest.mark.parametrize("family", [IPV4, IPV6])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (RouteType.UNREACHABLE, "EHOSTUNREACH"),
        (RouteType.PROHIBIT, "EACCES"),
        (RouteType.BLACKHOLE, "EINVAL"),
    ],
)
def test_a_dead_route_of_the_client_itself_is_its_connects_error(kind, error, family):
    def check(bench):
        fault = DeadRoute(kind, at="client")
        with bench.listener(family):
            bench.put(fault)
            failed = bench.outcome(family)
            bench.mend(fault)
            return [failed, bench.outcome(family)]

    assert in_lab(check) == [error, "ok"]


def test_a_dead_route_to_a_whole_network():
    def check(bench):
        fault = DeadRoute(destination="198.51.100.0/24")
        bench.put(fault)
        return bench.icmp_error()

    assert in_lab(check) == [3, 1]


@pytest.mark.parametrize("family", [IPV4, IPV6])
def test_a_smaller_mtu_is_learnt_by_the_sender(family):
    """The router's ICMP makes the client send again, smaller; nothing is lost for good."""

    def check(bench):
        fault = SmallerMtu(1300)
        with bench.listener(family) as listener:
            bench.put(fault)
            client, server = bench.connection(listener, family)
            level, option = {
                IPV4: (socket.IPPROTO_IP, 14),  # IP_MTU
                IPV6: (socket.IPPROTO_IPV6, 24),  # IPV6_MTU
            }[family]
            with client, server:
                before = client.getsockopt(level, option)
                client.sendall(bytes(5000))
                arrived = 0
                while arrived < 5000:
                    arrived += len(server.recv(5000))
                after = client.getsockopt(level, option)
            bench.mend(fault)
            return [before, arrived, after]

    assert in_lab(check) == [1500, 5000, 1300]


# On the link.


def test_a_delay_is_felt_in_both_directions():
    def check(bench):
        with bench.listener():
            bench.put(Delay(("router", "server"), 30 * MILLISECOND))
            bench.outcome()  # neighbours have found each other
            return [elapsed(bench.outcome), sorted(set(bench.network.relays.values()))]

    seconds, carriers = in_lab(check)
    assert seconds >= 0.06
    assert carriers in (["user-space relay"], ["netem"])


def test_a_link_without_a_relay_is_not_laid_anew_during_a_play():
    def check(bench):
        with pytest.raises(ScenarioFailed, match=r"Have Relayed\(\('router', 'server'\)\) among"):
            force.put(Lose(match=FIN), bench.network)
        with pytest.raises(ScenarioFailed, match="cannot be laid anew during a play"):
            force.put(Relayed(), bench.network)

    in_lab(check)


def test_a_relay_that_is_there_takes_later_faults():
    def check(bench):
        fault = Lose(match=SYN, first=1)
        with bench.listener():
            bench.put(Relayed())
            before = bench.outcome()
            force.put(fault, bench.network)
            seconds = elapsed(bench.outcome)
            return [before, seconds > 0.9, bench.mend(fault)]

    assert in_lab(check) == ["ok", True, 1]


# Mistakes, and what is left behind.


def test_a_fault_is_in_force_once_and_mended_once():
    def check(bench):
        fault = Drop(SYN)
        bench.put(fault)
        with pytest.raises(ScenarioFailed, match="so already: router drops every SYN"):
            bench.put(fault)
        bench.mend(fault)
        with pytest.raises(ScenarioFailed, match="not so: router drops every SYN"):
            bench.mend(fault)
        with pytest.raises(ScenarioFailed, match="not so"):
            force.hits(fault, bench.network)

    in_lab(check)


@pytest.mark.parametrize(
    "fault",
    [
        Drop(at="nobody"),
        Delay(("client", "server")),
        Lose(("client", "nobody")),
        CutLink("router", "nobody"),
        SmallerMtu(at="nobody"),
    ],
    ids=lambda fault: fault.sentence,
)
def test_a_host_or_link_that_is_not_there_is_told(fault):
    def check(bench):
        with pytest.raises(UsageError, match=r"the lab routed has no"):
            bench.put(fault)

    in_lab(check)


def test_a_route_that_the_kernel_refuses_is_told():
    def check(bench):
        bench.put(DeadRoute())
        with pytest.raises(ScenarioFailed, match="the kernel did not take it"):
            bench.put(DeadRoute(RouteType.PROHIBIT))

    in_lab(check)


@pytest.mark.parametrize(
    ("hit", "told"),
    [
        (None, "router drops every packet"),
        (0, "router drops every packet: 0 packets"),
        (1, "router drops every packet: 1 packet"),
        (3, "router drops every packet: 3 packets"),
    ],
)
def test_afterwards_it_is_told_how_many_packets_were_hit(hit, told):
    assert force.told(Drop(EVERYTHING), hit) == told


def test_several_faults_are_in_force_together_and_mended_apart():
    def check(bench):
        lost, refused = Drop(UDP), Reject(SYN, Rejection.RST)
        with bench.listener(), bench.bound() as sock:
            bench.put(lost, refused)
            bench.datagrams(2)
            failed = bench.outcome()
            hit = bench.mend(lost)
            bench.datagrams(2, first=2)
            return [failed, hit, bench.received(sock, 2), bench.outcome(), bench.mend(refused)]

    assert in_lab(check) == ["ECONNREFUSED", 2, [2, 3], "ECONNREFUSED", 2]


def machine():
    """The machine's own firewall and routes, as far as its tools show them."""
    found = []
    for command in (["nft", "list", "ruleset"], ["ip", "route"], ["ip", "-o", "link"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found.append(done.stdout)
        except OSError:
            found.append("")
    return found


def test_nothing_is_left_behind():
    def check(bench):
        bench.put(Drop(SYN), Reject(UDP), DeadRoute(), Relayed())
        return bench.network.wires[frozenset(("router", "server"))].pid

    before = machine()
    relay = in_lab(check)

    assert machine() == before
    deadline = time.monotonic() + 5
    while relay_lives(relay) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not relay_lives(relay)


def relay_lives(pid):
    return watching.process_state(pid) not in "ZX"
