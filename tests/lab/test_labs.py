"""Behaviours that play in labs of several hosts, as their authors write them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from socket import AF_INET6, AF_PACKET, IPPROTO_TCP, SOCK_DGRAM, SOCK_RAW, htons
from socket import socket as plain_socket

import pytest

from observatory.errors import ScenarioFailed, UsageError
from observatory.lab.faults import MILLISECOND, Delay, Drop
from observatory.lab.match import SYN
from observatory.lab.stage import open_stage
from observatory.lab.topology import Host, Plan, cable
from tests.lab.plays import behaviour, named, performed, roles
from tests.lab.test_stage import gone

PORT = 7007
TCP_SYNCNT = 7
SYNS = Drop(SYN.towards("server"))


def serve(actor, family=None):
    with actor.socket(*([family] if family else [])) as listener:
        listener.bind((actor.address(*(["", family] if family else [])), PORT))
        listener.listen()
        actor.tell("listening")
        connection, peer = listener.accept()
        with connection:
            connection.sendall(connection.recv(100))
            actor.tell("peer", peer[0])


def ask(actor, family=None, server="server"):
    actor.ask("listening")
    with actor.socket(*([family] if family else [])) as sock:
        sock.connect((actor.address(server, *([family] if family else [])), PORT))
        sock.sendall(b"ping")
        assert sock.recv(100) == b"ping"


def converse(stage):
    stage.play(server=serve, client=ask)


@pytest.mark.parametrize("lab", ["loopback", "pair", "routed"])
@pytest.mark.parametrize("family", [None, AF_INET6])
def test_the_same_play_in_every_lab(lab, family):
    outcome = performed(
        lambda stage: stage.play(
            server=lambda actor: serve(actor, family), client=lambda actor: ask(actor, family)
        ),
        lab=lab,
    )

    hosts = {role: process.host for role, process in roles(outcome).items()}
    alone = lab == "loopback"
    assert hosts == ({"server": "", "client": ""} if alone else {r: r for r in hosts})
    assert (outcome.topology is None) is alone
    assert outcome.events == ()


def test_roles_may_share_a_host_and_children_are_where_their_parent_is():
    def server(actor):
        actor.wait(actor.fork(serve, role="helper"))

    def second(actor):
        assert actor.host == "client"
        ask(actor)

    outcome = performed(
        lambda stage: stage.play(server=server, second=second),
        lab="pair",
        hosts={"second": "client"},
    )
    assert {role: process.host for role, process in roles(outcome).items()} == {
        "server": "server",
        "helper": "server",
        "second": "client",
    }


def test_a_role_is_an_address_too():
    outcome = performed(
        lambda stage: stage.play(listener=serve, client=lambda actor: ask(actor, None, "listener")),
        lab="pair",
        hosts={"listener": "server"},
    )
    assert outcome.failure is None


def test_a_program_that_an_actor_becomes_knows_the_lab():
    def client(actor):
        actor.execute(actor.program("tests.lab.test_labs:ask"))

    outcome = performed(lambda stage: stage.play(server=serve, client=client), lab="routed")
    assert roles(outcome)["client"].host == "client"


def test_a_role_without_a_host_is_told():
    with pytest.raises(ScenarioFailed, match="no host 'stranger', only client, server"):
        performed(lambda stage: stage.play(stranger=serve), lab="pair")


def test_a_lab_that_is_not_there_is_told():
    with pytest.raises(UsageError, match="it may be loopback, pair, routed"):
        open_stage(behaviour(converse, lab="moon"))


def test_an_address_that_is_not_there_is_told():
    lonely = Plan("v4", (Host("client"), Host("server")), (cable("client:eth0", "server:eth0"),))
    with pytest.raises(ScenarioFailed, match="server has no such address"):
        performed(
            lambda stage: stage.play(client=lambda actor: actor.address("server")), lab=lonely
        )


def test_each_host_has_settings_of_its_own():
    def read(actor):
        actor.tell(actor.role, Path("/proc/sys/net/ipv4/tcp_syn_retries").read_text().strip())
        other = {"client": "server", "server": "client"}[actor.role]
        assert [actor.ask(actor.role), actor.ask(other)] == {
            "client": ["2", "5"],
            "server": ["5", "2"],
        }[actor.role]

    play = behaviour(
        lambda stage: stage.play(client=read, server=read),
        lab="pair",
        sysctls={
            "net.ipv4.tcp_syn_retries": "5",
            "net.ipv4.tcp_fin_timeout": "7",
            "client": {"net.ipv4.tcp_syn_retries": "2"},
        },
    )
    with opened(play) as stage:
        assert stage.settings["client:net.ipv4.tcp_syn_retries"] == "2"
        assert stage.settings["server:net.ipv4.tcp_syn_retries"] == "5"
        assert stage.settings["net.ipv4.tcp_fin_timeout"] == "7"
        stage.go()
        assert stage.wait().failure is None


def opened(play, **options):
    from tests.lab.test_stage import opened as opened_or_skipped

    return opened_or_skipped(play, **options)


def test_every_interface_is_opened_where_it_is():
    def packet_socket(device):
        sock = plain_socket(AF_PACKET, SOCK_RAW, htons(3))
        sock.bind((device, 3))
        return sock

    play = behaviour(converse, lab="routed", captures_loopback=True)
    with opened(play, opener=packet_socket) as stage:
        names = [one.name for one in stage.opened]
        for one in stage.opened:
            with plain_socket(fileno=one.fd) as sock:
                assert sock.getsockname()[0] == one.device
        assert set(stage.pids) == {"client", "router", "server"}
    assert names == [
        *("client:eth0", "client:lo"),
        *("router:eth0", "router:eth1", "router:lo"),
        *("server:eth0", "server:lo"),
    ]


def test_a_fault_before_the_play_is_in_force_and_noted():
    def client(actor):
        with actor.socket() as sock:
            sock.setsockopt(IPPROTO_TCP, TCP_SYNCNT, 1)
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.connect((actor.address("server"), PORT))

    outcome = performed(lambda stage: stage.play(client=client), lab="routed", faults=(SYNS,))

    begun, ended = outcome.topology.faults
    assert begun == "router drops every SYN to server"
    assert ended.startswith(f"until the programs ended: {begun}: ")
    event = outcome.events[0]
    assert (event.event, event.pid) == ("lab:fault", 0)
    assert event.detail == {"what": "router drops every SYN to server", "node": "router"}


def test_a_fault_during_the_play_holds_from_the_return_of_the_call_to_its_mending():
    def client(actor):
        actor.ask("listening")
        actor.fault(SYNS)
        with actor.socket() as sock:
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.connect((actor.address("server"), PORT))
        actor.mend(SYNS)
        ask(actor)

    outcome = performed(lambda stage: stage.play(server=serve, client=client), lab="routed")

    put, mended = outcome.events
    assert put.detail["what"] == "router drops every SYN to server"
    assert mended.detail["what"] == "mended: router drops every SYN to server: 1 packet"
    assert put.pid == mended.pid == roles(outcome)["client"].pid
    first, second = named(outcome, "connect")
    assert put.time_ns < first.entered_ns < first.returned_ns < mended.time_ns < second.entered_ns


def test_asking_for_a_fault_is_no_call_and_takes_no_descriptor():
    def client(actor):
        actor.fault(SYNS)
        actor.mend(SYNS)
        with actor.socket() as sock:
            assert sock.fileno() == 3

    outcome = performed(lambda stage: stage.play(client=client), lab="routed")
    assert [call.name for call in outcome.calls] == ["socket", "close", "exit"]


def test_faults_may_be_asked_for_by_several_at_once():
    def toggle(actor):
        fault = Drop(SYN.on_port(os.getpid() % 60000))
        for _ in range(5):
            actor.fault(fault)
            actor.mend(fault)

    outcome = performed(
        lambda stage: stage.play(client=toggle, router=toggle, server=toggle), lab="routed"
    )
    assert len(outcome.events) == 30


def test_a_fault_that_cannot_be_is_told_to_the_one_who_asked():
    def client(actor):
        actor.fault(SYNS)
        with pytest.raises(ScenarioFailed, match="this is so already"):
            actor.fault(SYNS)
        with pytest.raises(ScenarioFailed, match="no host 'moon'"):
            actor.fault(Drop(at="moon"))

    outcome = performed(lambda stage: stage.play(client=client), lab="routed")
    begun, ended = (one.detail["what"] for one in outcome.events)
    assert ended == f"until the programs ended: {begun}: 0 packets"


def test_a_fault_on_loopback():
    def client(actor):
        drop = Drop(SYN, at="host")
        actor.fault(drop)
        with actor.socket() as sock:
            sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                sock.connect((actor.address("server"), PORT))
        actor.mend(drop)

    outcome = performed(lambda stage: stage.play(client=client))
    assert outcome.topology.name == "loopback"
    assert "1 packet" in outcome.topology.faults[1]


@pytest.mark.parametrize("changes", [{"lab": "pair"}, {"faults": (SYNS,)}])
def test_a_behaviour_of_a_lab_refuses_the_hosts_network(changes):
    with pytest.raises(UsageError, match="cannot be observed on the host's own network"):
        open_stage(behaviour(converse, **changes), private=False)


def test_on_the_hosts_network_there_are_addresses_and_no_faults():
    def client(actor):
        assert actor.address("server") == "127.0.0.1"
        with pytest.raises(ScenarioFailed, match="no lab with --host"):
            actor.fault(SYNS)

    with open_stage(behaviour(lambda stage: stage.play(client=client)), private=False) as stage:
        stage.go()
        outcome = stage.wait()
    assert outcome.failure is None


def test_actors_have_no_power_over_the_lab():
    def client(actor):
        with pytest.raises(PermissionError):
            plain_socket(AF_PACKET, SOCK_RAW)

    assert performed(lambda stage: stage.play(client=client), lab="pair").failure is None


def test_what_is_under_way_when_the_play_ends_still_arrives():
    """The lab, with what carries its packets, stays until the stage is closed."""

    def server(actor):
        with actor.socket(type=SOCK_DGRAM) as sock:
            sock.bind((actor.address(), PORT))
            actor.tell("bound")
            actor.ask("sent")

    def client(actor):
        actor.ask("bound")
        with actor.socket(type=SOCK_DGRAM) as sock:
            sock.sendto(b"late", (actor.address("server"), PORT))
        actor.tell("sent")

    def packet_socket(device):
        sock = plain_socket(AF_PACKET, SOCK_DGRAM, htons(0x800))
        sock.bind((device, 0x800))
        return sock

    slow = Delay(("client", "server"), 100 * MILLISECOND)
    play = behaviour(
        lambda stage: stage.play(server=server, client=client), lab="pair", faults=(slow,)
    )
    with opened(play, opener=packet_socket) as stage:
        sockets = {one.host: plain_socket(fileno=one.fd) for one in stage.opened}
        stage.go()
        outcome = stage.wait()
        with sockets["client"], sockets["server"] as arriving:
            arriving.settimeout(5)
            assert arriving.recv(1000).endswith(b"late")
    assert outcome.failure is None
    assert outcome.holds_ns == 100 * MILLISECOND
    assert [link.relay for link in outcome.topology.links] != [""]


def wait_for_ever(stage):
    def server(actor):
        actor.fork(lambda child: child.pause(600))
        actor.fault(Drop(SYN))
        actor.tell("faulty")
        actor.pause(600)

    def client(actor):
        actor.ask("faulty")
        actor.socket()
        actor.pause(600)

    stage.play(server=server, client=client)


EVERYTHING = {
    "lab": "routed",
    "faults": (Delay(("router", "server"), MILLISECOND),),
}

OBSERVER = """
import sys, time
from observatory.lab.processes import descendants
from observatory.lab.stage import open_stage
from tests.lab.plays import behaviour
from tests.lab.test_labs import EVERYTHING, wait_for_ever

with open_stage(behaviour(wait_for_ever, **EVERYTHING)) as stage:
    stage.go()
    while not any(call.name == "socket" for call in stage.so_far().calls):
        time.sleep(0.01)
    print(stage._folder, stage.pid, *descendants([stage.pid]), flush=True)
    stage.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whom", ["observer", "stage"])
def test_everything_vanishes_however_it_is_ended(number, whom):
    opened(behaviour(converse, lab="pair")).close()
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", OBSERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
    ) as observer:
        folder, *told = observer.stdout.readline().split()
        pids = [int(each) for each in told]
        # stage, three keepers, relay, two actors and a child
        assert len(pids) == 8
        os.kill({"observer": observer.pid, "stage": pids[0]}[whom], number)

    assert within_time(lambda: all(gone(pid) for pid in pids)), f"left behind: {pids}"
    assert within_time(lambda: not Path(folder).exists()), f"left behind: {folder}"


def within_time(condition):
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
