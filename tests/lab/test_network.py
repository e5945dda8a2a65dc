import errno
import os
import signal
import socket
import struct
import time
from pathlib import Path

import pytest

from observatory.errors import MissingTool, ScenarioFailed, UsageError
from observatory.lab import network as building
from observatory.lab.topology import LOOPBACK, PAIR, READY_MADE, ROUTED, Host, Plan, cable
from tests.lab.labs import IPV4, IPV6, NOBODY, in_lab, people

PACKET_AUXDATA, TP_STATUS_CSUMNOTREADY = 8, 8
ETHERNET_HEADER = 14


@pytest.mark.parametrize("uid", people())
@pytest.mark.parametrize("family", [IPV4, IPV6])
@pytest.mark.parametrize("plan", [PAIR, ROUTED], ids=lambda plan: plan.name)
def test_a_ready_made_lab_carries_both_protocols_at_once(plan, family, uid):
    def converse(bench):
        with bench.listener(family) as listener:
            client, server = bench.connection(listener, family)
            with client, server:
                client.sendall(b"ping")
                server.sendall(server.recv(100))
                return client.recv(100).decode()

    assert in_lab(converse, plan, uid) == "ping"


def test_a_longer_chain_forwards_both_ways():
    chain = Plan(
        "chain",
        hosts=(
            Host("client", gateway="near"),
            Host("near", router=True, gateway="far"),
            Host("far", router=True, routes=(("192.0.2.0/24", "near"),)),
            Host("server", gateway="far"),
        ),
        cables=(
            cable("client:eth0 192.0.2.1/24", "near:eth0 192.0.2.254/24"),
            cable("near:eth1 203.0.113.1/30", "far:eth0 203.0.113.2/30"),
            cable("far:eth1 198.51.100.254/24", "server:eth0 198.51.100.1/24"),
        ),
    )

    def check(bench):
        with bench.listener():
            return bench.outcome()

    assert in_lab(check, chain) == "ok"


def test_a_router_without_a_route_says_so():
    def check(bench):
        with bench.socket("client") as sock:
            return sock.connect_ex(("203.0.113.9", 80))

    assert errno.errorcode[in_lab(check)] in ("ENETUNREACH", "EHOSTUNREACH")


@pytest.mark.parametrize("plan", READY_MADE.values(), ids=lambda plan: plan.name)
def test_building_takes_no_time_to_speak_of(plan):
    def check(bench):
        with building.build(plan) as warm:
            warm.plan.host(plan.names[0])
        times = []
        for _ in range(3):
            began = time.monotonic()
            building.build(plan).close()
            times.append(time.monotonic() - began)
        return min(times)

    assert in_lab(check, LOOPBACK) < 0.3


def test_a_host_has_the_settings_that_it_is_given():
    plan = Plan(
        "set",
        (Host("one", sysctls={"net.ipv4.tcp_syn_retries": "3"}), Host("other", router=True)),
        (cable("one:eth0 192.0.2.1/24", "other:eth0 192.0.2.2/24"),),
    )

    def check(_):
        sysctls = {"other": {"net.ipv4.tcp_syn_retries": "2"}}
        with building.build(plan, sysctls) as network:
            found = []
            for host in plan.names:
                with network.enter(host):
                    folder = Path("/proc/sys/net/ipv4")
                    found.append((folder / "tcp_syn_retries").read_text().strip())
                    found.append((folder / "ip_forward").read_text().strip())
            return found

    assert in_lab(check, LOOPBACK) == ["3", "0", "2", "1"]


@pytest.mark.parametrize(
    "sysctls", [{"nobody": {"net.ipv4.tcp_fin_timeout": "9"}}, {"client": {"kernel.pid_max": "9"}}]
)
def test_a_setting_that_is_nobodys_is_refused(sysctls):
    def check(_):
        with pytest.raises(UsageError):
            building.build(PAIR, sysctls)
        return len(children())

    assert in_lab(check, LOOPBACK) == 0


def test_entering_a_host_ends_with_the_block():
    def check(bench):
        home = namespace_of()
        with pytest.raises(ZeroDivisionError), bench.network.enter("client"):
            there = namespace_of()
            1 / 0  # noqa: B018
        keeper = namespace_of(bench.network.pids["client"])
        return [namespace_of() == home, there == keeper, there != home]

    assert in_lab(check) == [True, True, True]


def test_what_a_capture_sees_is_what_a_wire_would_carry():
    """No frame is longer than the MTU allows, and every checksum has been summed."""

    def check(bench):
        with bench.network.enter("client"):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind(("eth0", 3))
        wire.setsockopt(263, PACKET_AUXDATA, 1)
        wire.settimeout(0.3)
        with wire, bench.listener() as listener:
            client, server = bench.connection(listener)
            with client, server:
                client.sendall(bytes(20_000))
                left = 20_000
                while left:
                    left -= len(server.recv(left))
                longest, unsummed = 0, 0
                try:
                    while True:
                        data, control, _, _ = wire.recvmsg(1 << 16, 256)
                        longest = max(longest, len(data))
                        (status,) = struct.unpack_from("I", control[0][2])
                        unsummed += bool(status & TP_STATUS_CSUMNOTREADY)
                except TimeoutError:
                    return [longest, unsummed]

    assert in_lab(check, PAIR) == [1500 + ETHERNET_HEADER, 0]


def test_a_cable_has_the_mtu_of_its_declaration():
    narrow = Plan(
        "narrow",
        (Host("client"), Host("server")),
        (cable("client:eth0 192.0.2.1/24", "server:eth0 192.0.2.2/24", mtu=600),),
    )

    def check(bench):
        with bench.listener() as listener:
            client, server = bench.connection(listener)
            with client, server:
                return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)

    assert in_lab(check, narrow) == 600 - 40 - 12  # less the timestamps option


def namespace_of(pid="thread-self", kind="net"):
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def children():
    """The processes that this one has forked and that are there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.append(int(entry.name))
    return found


def test_its_processes_and_descriptors_end_with_it():
    def check(_):
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        network = building.build(ROUTED)
        helper = network.spawn(signal.pause, host="router")
        there = sorted(children()) == sorted([*network.pids.values(), helper])
        network.close()
        network.close()
        return [there, children(), len(list(Path("/proc/self/fd").iterdir())) - descriptors]

    assert in_lab(check, LOOPBACK) == [True, [], 0]


def test_a_helper_is_on_its_host():
    def check(bench):
        readable, writable = os.pipe()
        bench.network.spawn(lambda: os.write(writable, namespace_of().encode()), host="router")
        told = os.read(readable, 100).decode()
        return told == namespace_of(bench.network.pids["router"])

    assert in_lab(check)


def test_an_exception_while_building_leaves_nothing(monkeypatch):
    def check(_):
        monkeypatch.setattr(building, "_add_routes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            building.build(ROUTED)
        return children()

    assert in_lab(check, LOOPBACK) == []


def test_what_the_kernel_cannot_do_is_told(monkeypatch):
    def check(_):
        from pyroute2.netlink.exceptions import NetlinkError

        def refuse(*_):
            raise NetlinkError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(building, "_build_cables", refuse)
        with pytest.raises(MissingTool, match="modprobe veth"):
            building.build(PAIR)
        return children()

    assert in_lab(check, LOOPBACK) == []


def test_links_that_do_not_come_up_are_told(monkeypatch):
    def check(_):
        monkeypatch.setattr(building, "READY_LIMIT_S", 0.01)
        monkeypatch.setattr(building, "_is_up", lambda *_: False)
        with pytest.raises(ScenarioFailed, match="did not come up"):
            building.build(PAIR)

    in_lab(check, LOOPBACK)


def test_its_namespaces_vanish_when_its_process_is_killed():
    """Nothing but that process and what it forked holds them."""

    def check(bench):
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            network = building.build(ROUTED)
            network.spawn(signal.pause)
            os.write(writable, " ".join(map(str, children())).encode())
            signal.pause()
        pids = [int(each) for each in os.read(readable, 100).split()]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + 10
        while any(is_there(each) for each in pids):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return len(pids)

    assert in_lab(check, LOOPBACK) == 4


def is_there(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_as_an_ordinary_user_all_is_in_one_user_namespace():
    def check(bench):
        users = {namespace_of(pid, "user") for pid in bench.network.pids.values()}
        return [users == {namespace_of(kind="user")}, os.geteuid() != 0]

    same, ordinary = in_lab(check, ROUTED, NOBODY if os.geteuid() == 0 else None)
    assert same
    assert ordinary
