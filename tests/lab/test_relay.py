"""The relay carrying real packets: late, twice, in another order, or not at all."""

import os
import select
import signal
import socket
import time
from contextlib import suppress

import pytest

from observatory.errors import ScenarioFailed, UsageError
from observatory.lab import relay_link, watching
from observatory.lab.faults import MILLISECOND, Delay, Duplicate, Lose, Relayed, Reorder
from observatory.lab.match import DATA, SYN, Match
from observatory.lab.topology import PAIR, ROUTED
from observatory.model import Protocol
from tests.lab.labs import IPV4, IPV6, elapsed, in_lab, people

LINK = ("client", "server")
UDP = Match(Protocol.UDP)


@pytest.mark.parametrize("uid", people())
@pytest.mark.parametrize("family", [IPV4, IPV6])
@pytest.mark.parametrize("plan", [PAIR, ROUTED], ids=lambda plan: plan.name)
def test_it_carries_packets_as_they_are(plan, family, uid):
    def check(bench):
        last = ("client" if plan is PAIR else "router", "server")
        bench.put(Relayed(last))
        text = os.urandom(300_000)
        with bench.listener(family) as listener:
            client, server = bench.connection(listener, family)
            with client, server:
                return transferred(client, server, text) == text

    assert in_lab(check, plan, uid)


def transferred(client, server, data):
    """What arrives of ``data``, sent by one process that is its receiver too."""
    client.setblocking(False)
    server.setblocking(False)
    sent, arrived = 0, bytearray()
    while len(arrived) < len(data):
        writers = [client] if sent < len(data) else []
        readable, writable, _ = select.select([server], writers, [], 10)
        if not readable and not writable:
            break
        if writable:
            sent += client.send(data[sent : sent + 65536])
        if readable:
            arrived += server.recv(65536)
    return bytes(arrived)


def test_half_made_checksums_and_large_segments_arrive_whole():
    """With offload on, the kernel leaves both to a card; here there is none but the relay."""

    def check(bench):
        bench.put(Relayed(LINK))
        for host in LINK:
            with bench.network.enter(host):
                switch_on("eth0")
        with bench.listener() as listener:
            client, server = bench.connection(listener)
            with client, server:
                text = os.urandom(2_000_000)
                return transferred(client, server, text) == text

    assert in_lab(check, PAIR)


def switch_on(device):
    import array
    import fcntl
    import struct

    from observatory.lab import offload

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for request in reversed(offload.REQUESTS):
            value = array.array("I", [request, 1])
            name = struct.pack("16sP", device.encode(), value.buffer_info()[0])
            fcntl.ioctl(sock, offload.SIOCETHTOOL, name.ljust(40, b"\0"))


@pytest.mark.parametrize(
    ("towards", "least_ms"), [("", 40), ("server", 20), ("client", 20)], ids=["both", "to", "fro"]
)
def test_a_delay_has_a_direction(towards, least_ms):
    def check(bench):
        fault = Delay(LINK, 20 * MILLISECOND, towards)
        with bench.listener():
            bench.put(Relayed(LINK))
            bench.outcome()
            bench.put(fault)
            late = elapsed(bench.outcome)
            bench.mend(fault)
            return [late, min(elapsed(bench.outcome) for _ in range(5))]

    late, mended = in_lab(check, PAIR)
    assert late >= least_ms / 1000
    assert mended < 0.02


@pytest.mark.parametrize(
    ("fault", "arrived", "hit"),
    [
        (Lose(LINK, match=UDP, every=3), [0, 1, 3, 4, 6], 2),
        (Lose(LINK, "server", match=UDP, first=5), [5, 6], 5),
        (Lose(LINK, "client", match=UDP), [0, 1, 2, 3, 4, 5, 6], 0),
        (Lose(LINK, match=UDP.sent_by("server")), [0, 1, 2, 3, 4, 5, 6], 0),
        (Lose(LINK, match=UDP.towards("server"), first=6), [6], 6),
        (Duplicate(LINK, match=UDP, first=2), [0, 0, 1, 1, 2, 3, 4, 5, 6], 2),
        (Duplicate(LINK, 30 * MILLISECOND, match=UDP, first=1), [0, 1, 2, 3, 4, 5, 6, 0], 1),
        (Reorder(LINK, match=UDP, first=1), [1, 0, 2, 3, 4, 5, 6], 1),
        (Reorder(LINK, behind=3, match=UDP, every=4), [0, 1, 2, 4, 5, 6, 3], 1),
        (
            Reorder(LINK, behind=9, patience_ns=30 * MILLISECOND, match=UDP, first=2),
            [2, 3, 4, 5, 6, 0, 1],
            2,
        ),
        (Delay(LINK, 30 * MILLISECOND, match=UDP, first=1), [1, 2, 3, 4, 5, 6, 0], 1),
    ],
    ids=lambda value: value.sentence if hasattr(value, "sentence") else "",
)
def test_exactly_these_datagrams_arrive_in_this_order(fault, arrived, hit):
    def check(bench):
        with bench.bound() as sock, bench.listener():
            bench.put(Relayed(LINK))
            bench.outcome()  # neighbours have found each other
            bench.put(fault)
            bench.datagrams(7)
            return [bench.received(sock, len(arrived)), bench.mend(fault)]

    assert in_lab(check, PAIR) == [arrived, hit]


def test_neighbours_find_each_other_where_all_is_lost():
    def check(bench):
        fault = Lose(LINK)
        with bench.listener(IPV6):
            bench.put(fault)
            waits = bench.outcome(IPV6, 0.2)
            hit = bench.mend(fault)
            neighbours = bench.network.routes("client").get_neighbours(family=IPV6)
            return [waits, hit, any(each["state"] & 0x02 for each in neighbours)]

    assert in_lab(check, PAIR) == ["waits", 1, True]


def test_a_segment_sent_again_is_counted_as_another():
    def check(bench):
        fault = Lose(LINK, match=DATA, first=2)
        with bench.listener() as listener:
            bench.put(fault)
            client, server = bench.connection(listener)
            with client, server:
                client.send(b"at the third try")
                arrived = server.recv(100)
            return [arrived.decode(), bench.mend(fault)]

    assert in_lab(check, PAIR) == ["at the third try", 2]


def test_syns_cross_on_a_slow_path():
    """Both ends connect at once: each SYN leaves before the other arrives (RFC 9293 3.5)."""

    def check(bench):
        bench.put(Delay(LINK, 50 * MILLISECOND))
        ends = []
        for host in LINK:
            sock = bench.socket(host)
            sock.bind((bench.network.address(host), 7000))
            sock.setblocking(False)
            ends.append(sock)
        for sock, other in zip(ends, reversed(LINK), strict=True):
            sock.connect_ex((bench.network.address(other), 7000))
        for sock in ends:
            select.select([], [sock], [], 5)
        errors = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for sock in ends]
        peers = [sock.getpeername()[1] for sock in ends]
        for sock in ends:
            sock.close()
        return [errors, peers]

    assert in_lab(check, PAIR) == [[0, 0], [7000, 7000]]


def test_the_same_interfaces_are_at_the_ends():
    def check(bench):
        def seen(host):
            routes = bench.network.routes(host)
            (link,) = (one for one in routes.get_links() if one.get_attr("IFLA_IFNAME") == "eth0")
            addresses = sorted(
                one.get_attr("IFA_ADDRESS") for one in routes.get_addr(index=link["index"])
            )
            ways = sorted(
                f"{one.get_attr('RTA_DST')}/{one['dst_len']} {one.get_attr('RTA_GATEWAY')}"
                for one in routes.get_routes(family=IPV4)
                if one["table"] == 254
            )
            return [link.get_attr("IFLA_MTU"), addresses, ways]

        before = seen("client")
        relay = relay_link.lay(("client", "router"), bench.network)
        again = relay_link.lay(("router", "client"), bench.network)
        return [before == seen("client"), relay is again, len(before[2])]

    assert in_lab(check, ROUTED) == [True, True, 2]


def test_a_host_that_is_no_end_of_the_link_is_told():
    def check(bench):
        with pytest.raises(UsageError, match="nobody is no end of the link client - server"):
            bench.put(Delay(LINK, towards="nobody"))

    in_lab(check, PAIR)


def test_a_relay_that_has_ended_is_told():
    def check(bench):
        bench.put(Relayed(LINK))
        relay = bench.network.wires[frozenset(LINK)]
        os.kill(relay.pid, signal.SIGKILL)
        with pytest.raises(ScenarioFailed, match="the relay of client - server has ended"):
            relay.put(1, Lose(LINK))

    in_lab(check, PAIR)


def test_what_fails_in_the_relay_is_told():
    def check(bench):
        bench.put(Relayed(LINK))
        relay = bench.network.wires[frozenset(LINK)]
        with pytest.raises(ScenarioFailed, match=r"the relay failed: (?s:.*)KeyError"):
            relay.hits(4711)

    in_lab(check, PAIR)


def test_packets_that_came_too_fast_are_counted():
    def check(bench):
        bench.put(Relayed(LINK))
        relay = bench.network.wires[frozenset(LINK)]
        with bench.bound():
            bench.datagrams(1)  # neighbours have found each other
            quiet, lost = relay.overflow(), 0
            while not lost:  # how much one burst may hold is the machine's affair
                os.kill(relay.pid, signal.SIGSTOP)
                for _ in range(200):
                    fill(bench)
                os.kill(relay.pid, signal.SIGCONT)
                lost = relay.overflow()
            return [quiet, lost]

    def fill(bench):
        """What one socket may have on its way."""
        with bench.socket("client", kind=socket.SOCK_DGRAM) as sock, suppress(BlockingIOError):
            sock.setblocking(False)  # with a time limit Python would wait for room
            for _ in range(200):
                sock.sendto(bytes(1000), socket.MSG_DONTWAIT, (bench.network.address("server"), 80))

    quiet, lost = in_lab(check, PAIR)
    assert quiet == 0
    assert lost > 0


def test_it_ends_with_who_started_it():
    """Even where that was killed and could tell nobody."""

    def check(bench):
        bench.put(Relayed(LINK))
        os.write(writable, b"%d\n" % bench.network.wires[frozenset(LINK)].pid)
        os.kill(os.getpid(), signal.SIGKILL)

    readable, writable = os.pipe()
    with pytest.raises(ValueError, match="Expecting value"):
        in_lab(check, PAIR)  # there is no answer to read
    os.close(writable)
    with os.fdopen(readable) as pipe:
        pid = int(pipe.readline())
    deadline = time.monotonic() + 5
    while watching.process_state(pid) not in "ZX" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watching.process_state(pid) in "ZX"


def test_the_first_syn_may_be_late_and_the_next_not():
    def check(bench):
        with bench.listener():
            bench.put(Relayed(LINK))
            bench.outcome()
            bench.put(Delay(LINK, 60 * MILLISECOND, "server", match=SYN, first=1))
            return [elapsed(bench.outcome), min(elapsed(bench.outcome) for _ in range(3))]

    first, next_one = in_lab(check, PAIR)
    assert first >= 0.06
    assert next_one < 0.06
