"""Nothing that a lab does can be seen of the machine's own network, during it or after it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from observatory.lab.faults import MILLISECOND, CutLink, Delay, Drop, SmallerMtu
from observatory.lab.match import SYN
from tests.lab.plays import behaviour, performed
from tests.lab.test_stage import opened

# What changes on every machine, whoever does nothing.
LIVELY = ("nf_conntrack_count", "nf_conntrack_buckets", "route/flush")

BREAKING = {
    "lab": "routed",
    "sysctls": {"net.ipv4.tcp_syn_retries": "1", "router": {"net.ipv4.ip_default_ttl": "7"}},
    "faults": (
        Drop(SYN, first=1),
        SmallerMtu(1300),
        Delay(("router", "server"), MILLISECOND),
    ),
}


def play(stage):
    def client(actor):
        cut = CutLink("client", "router")
        actor.fault(cut)
        actor.mend(cut)
        actor.fault(Drop(SYN, at="client"))
        actor.tell("broken")
        actor.pause(actor.ask("pause"))

    stage.play(client=client, router=lambda actor: actor.tell("pause", PAUSE_S))


PAUSE_S = 0.01


def the_machine():
    """Settings, links, addresses, routes, neighbours, named namespaces and firewall."""
    from pyroute2 import IPRoute

    seen = {}
    for path in Path("/proc/sys/net").rglob("*"):
        if path.is_file() and not str(path).endswith(LIVELY):
            try:
                seen[str(path)] = path.read_text()
            except (OSError, ValueError):
                continue
    with IPRoute() as machine:
        for kind, dump in (
            ("links", machine.get_links),
            ("addresses", machine.get_addr),
            ("routes", machine.get_routes),
            ("rules", machine.get_rules),
        ):
            seen[kind] = sorted(repr(without_counts(one)) for one in dump())
    named = Path("/run/netns")
    seen["named"] = sorted(map(str, named.iterdir())) if named.exists() else []
    if shutil.which("nft") and os.geteuid() == 0:
        listed = subprocess.run(
            ["nft", "list", "ruleset"], capture_output=True, text=True, check=False
        )
        seen["firewall"] = listed.stdout
    return seen


def without_counts(message):
    """What is set of a link, address or route, without what is counted or runs down."""
    counted = {"IFLA_STATS", "IFLA_STATS64", "IFLA_AF_SPEC", "IFA_CACHEINFO", "RTA_CACHEINFO"}
    return [attribute for attribute in message["attrs"] if attribute[0] not in counted]


def test_a_lab_leaves_the_machine_as_it_was():
    before = the_machine()
    outcome = performed(play, **BREAKING)
    assert outcome.failure is None
    begun = [one for one in outcome.events if not one.detail["what"].startswith("until")]
    assert len(begun) == 6
    assert the_machine() == before


OBSERVER = """
import time
from observatory.lab.stage import open_stage
from tests.lab import test_host_untouched as this
from tests.lab.plays import behaviour

this.PAUSE_S = 600
with open_stage(behaviour(this.play, **this.BREAKING)) as stage:
    stage.go()
    while len(stage.topology.faults) < 6:
        time.sleep(0.01)
    print("broken", flush=True)
    stage.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_lab_leaves_the_machine_as_it_was(number):
    opened(behaviour(lambda stage: None)).close()
    before = the_machine()
    with subprocess.Popen(
        [sys.executable, "-c", OBSERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    ) as observer:
        assert observer.stdout.readline() == "broken\n"
        during = the_machine()
        os.kill(observer.pid, number)
    deadline = time.monotonic() + 10
    while (after := the_machine()) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert during == before
    assert after == before
