"""Runs in a lab, from the first packet to the run file: what several captures see is one trace."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from socket import SOCK_DGRAM

import pytest

from observatory import load, pipeline
from observatory.lab.actor import Actor
from observatory.lab.behaviour import Behaviour
from observatory.lab.faults import MILLISECOND, CutLink, Delay, Drop
from observatory.lab.match import SYN
from observatory.lab.stage import Stage
from observatory.model import Analysis, Direction, Trace
from observatory.scenarios import catalogue

PORT = 7007
Observe = Callable[..., Analysis]

pytestmark = pytest.mark.usefixtures("live")


@pytest.fixture
def observe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Observe:
    """Runs a play in a lab, and reads its run file back."""

    def run(play: Callable[[Stage], None], **changes: object) -> Analysis:
        one = Behaviour("made-up", "0", "A behaviour of a test", "It does what it must.", play)
        one = replace(one, lab="routed")
        one = replace(one, **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(catalogue, "find", {"made-up": one}.__getitem__)
        observed = pipeline.observe("made-up", path=tmp_path / "run.pcapng", kernel=False)
        assert observed.path is not None
        again = load(observed.path)
        assert again == observed.analysis.trace
        return observed.analysis

    return run


def server(actor: Actor) -> None:
    with actor.socket() as listener:
        listener.bind((actor.address(), PORT))
        listener.listen()
        actor.tell("listening")
        connection, _ = listener.accept()
        with connection:
            while connection.recv(1 << 16):
                pass


def client(actor: Actor) -> None:
    actor.ask("listening")
    with actor.socket() as sock:
        sock.connect((actor.address("server"), PORT))
        sock.sendall(b"hello")


def converse(stage: Stage) -> None:
    stage.play(server=server, client=client)


def ways(trace: Trace) -> list[list[str]]:
    """Of each segment the interfaces that saw it, in order."""
    names = [interface.name for interface in trace.interfaces]
    return [[names[one.interface] for one in segment.sightings] for segment in trace.segments]


THERE = ["client:eth0", "router:eth0", "router:eth1", "server:eth0"]


def test_each_packet_is_one_segment_that_every_interface_on_its_way_saw(observe: Observe) -> None:
    trace = observe(converse).trace

    assert [interface.name for interface in trace.interfaces] == THERE
    assert [interface.host for interface in trace.interfaces] == [
        *("client", "router", "router", "server")
    ]
    assert set(map(tuple, ways(trace))) == {tuple(THERE), tuple(THERE[::-1])}
    outbound, inbound = Direction.OUTBOUND, Direction.INBOUND
    for segment in trace.segments:
        times = [sighting.time_ns for sighting in segment.sightings]
        assert times == sorted(times)
        directions = [sighting.direction for sighting in segment.sightings]
        assert directions == [outbound, inbound, outbound, inbound]
    assert trace.dropped == 0
    assert trace.defects == ()


def test_the_trace_says_where_it_was_and_who_was_where(observe: Observe) -> None:
    trace = observe(converse).trace

    assert trace.run.topology is not None
    assert [node.name for node in trace.run.topology.nodes] == ["client", "router", "server"]
    assert {process.role: process.host for process in trace.processes} == {
        "client": "client",
        "server": "server",
    }
    counted = {counter.host for counter in trace.counters}
    assert counted == {"client", "router", "server"}
    forwarded = {c.host: c.change for c in trace.counters if c.name == "Ip.ForwDatagrams"}
    assert forwarded == {"router": len(trace.segments)}


def test_what_is_dropped_on_the_way_is_seen_to_end_there(observe: Observe) -> None:
    trace = observe(converse, faults=(Drop(SYN.towards("server"), first=1),)).trace

    first, second, *_ = ways(trace)
    assert first == THERE[:2]
    assert second == THERE
    assert trace.segments[0].seq == trace.segments[1].seq
    assert trace.run.topology is not None
    assert trace.run.topology.faults == (
        "router drops the first SYN to server",
        "until the programs ended: router drops the first SYN to server: 1 packet",
    )


def test_faults_stand_among_the_kernels_events_in_time(observe: Observe) -> None:
    def breaking(actor: Actor) -> None:
        client(actor)
        cut = CutLink("client", "router")
        actor.fault(cut)
        actor.mend(cut)

    trace = observe(lambda stage: stage.play(server=server, client=breaking)).trace

    assert [event.event for event in trace.kernel] == ["lab:fault"] * 2
    assert [event.id for event in trace.kernel] == [1, 2]
    assert trace.run.topology is not None
    assert [event.detail["what"] for event in trace.kernel] == list(trace.run.topology.faults)
    connect = next(call for call in trace.calls if call.name == "connect")
    assert connect.entered_ns < trace.kernel[0].time_ns


def test_what_a_slow_path_holds_is_waited_for(observe: Observe) -> None:
    """The datagram is under way for longer than the quiet after which a capture ends."""

    def datagram(actor: Actor) -> None:
        with actor.socket(type=SOCK_DGRAM) as sock:
            sock.sendto(b"late", (actor.address("server"), PORT))

    trace = observe(
        lambda stage: stage.play(client=datagram),
        faults=(Delay(("router", "server"), 200 * MILLISECOND),),
    ).trace

    assert trace.run.topology is not None
    assert trace.run.topology.links[1].relay
    first, *_ = trace.segments
    assert ways(trace)[0] == THERE
    assert first.sightings[3].time_ns - first.sightings[2].time_ns > 190 * MILLISECOND


def test_an_interface_may_be_down_from_the_beginning(observe: Observe) -> None:
    cut = CutLink("router", "server")

    def mending(actor: Actor) -> None:
        actor.mend(cut)
        client(actor)

    trace = observe(lambda stage: stage.play(server=server, client=mending), faults=(cut,)).trace
    assert ways(trace)[0] == THERE


def test_loopback_is_captured_where_it_is_asked_for(observe: Observe) -> None:
    def alone(actor: Actor) -> None:
        with actor.socket(type=SOCK_DGRAM) as sock:
            sock.sendto(b"to myself", (actor.address(), PORT))

    def play(stage: Stage) -> None:
        stage.play(client=alone)

    assert observe(play).trace.segments == ()
    trace = observe(play, captures_loopback=True).trace
    assert "client:lo" in [interface.name for interface in trace.interfaces]
    assert [str(segment.protocol) for segment in trace.segments] == ["UDP", "ICMP"]


def test_an_aftermath_ends_in_time(observe: Observe) -> None:
    """A FIN that is never answered is sent again for a long time: nobody waits for all that."""

    def parting(actor: Actor) -> None:
        actor.ask("listening")
        sock = actor.socket()
        sock.connect((actor.address("server"), PORT))
        actor.fault(CutLink("client", "router"))
        sock.close()
        actor.kill("server")

    began = time.monotonic()
    observe(lambda stage: stage.play(server=server, client=parting), aftermath=0.3)
    assert time.monotonic() - began < 20
