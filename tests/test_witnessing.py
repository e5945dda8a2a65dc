"""The kernel as a witness of whole runs, live: its events among everybody's."""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from observatory import pipeline
from observatory.cli.several import side_by_side
from observatory.errors import ScenarioFailed
from observatory.lab.actor import Actor
from observatory.lab.behaviour import Behaviour
from observatory.lab.stage import Stage
from observatory.model import Endpoint, KernelEvent, Trace
from observatory.scenarios import catalogue
from observatory.sources.tracefs_instances import listed, survey
from observatory.sources.tracefs_mount import open_folder
from observatory.witnessing import with_symbols, witness_run

SLACK_NS = 2_000_000
CLIENT, SERVER = Endpoint("127.0.0.1", 47_101), Endpoint("127.0.0.1", 47_102)
CONVERSATIONS = 20


@pytest.fixture
def tracefs(live: None) -> Iterator[int]:
    """The folder of tracefs; without it the kernel is no witness."""
    if refusal := survey(()).refusal:
        pytest.skip(f"no tracefs: {refusal}")
    folder = open_folder()
    yield folder
    os.close(folder)


def of_this_process(folder: int) -> list[str]:
    mine = f"observatory-{os.getpid()}"
    return [name for name in listed("instances", folder) if name.split(".")[0] == mine]


def put(monkeypatch: pytest.MonkeyPatch, play: Callable[[Stage], None]) -> None:
    """A behaviour of this test into the catalogue."""
    one = Behaviour("made-up", "0", "A behaviour of a test", "It does what it must.", play)
    monkeypatch.setattr(catalogue, "find", {"made-up": one}.__getitem__)


def test_a_refused_connect_is_told_by_the_kernel(tracefs: int, tmp_path: Path) -> None:
    path = tmp_path / "refused.pcapng"
    trace = pipeline.observe("connect-refused", path=path).analysis.trace
    assert trace.run.kernel_source == "tracefs"
    assert trace.witness is not None
    assert trace.witness.missing == ()
    assert trace.witness.lost == 0
    (connect,) = [each for each in trace.calls if each.name == "connect"]
    assert connect.returned_ns is not None
    ours = [each for each in trace.kernel if each.dst == connect.peer or each.pid == connect.tid]
    changes = [
        (event.detail["old"], event.detail["new"])
        for event in ours
        if event.event == "sock:inet_sock_set_state"
    ]
    assert changes == [("CLOSED", "SYN-SENT"), ("SYN-SENT", "CLOSED")]
    (reset,) = [event for event in trace.kernel if event.event == "tcp:tcp_send_reset"]
    assert reset.detail["reason"] == "NO_SOCKET"
    syn, rst = trace.segments
    assert (reset.src, reset.dst) == (rst.src, rst.dst)
    assert reset.detail["segment_time"] == syn.time_ns
    (drop,) = [event for event in trace.kernel if event.event == "skb:kfree_skb"]
    assert drop.detail["segment_time"] == syn.time_ns
    for event in (reset, drop):
        assert connect.entered_ns - SLACK_NS <= event.time_ns <= connect.returned_ns + SLACK_NS
    assert [event.id for event in trace.kernel] == list(range(1, len(trace.kernel) + 1))
    loaded = pipeline.load(path)
    assert (loaded.kernel, loaded.witness) == (trace.kernel, trace.witness)


def test_where_a_packet_was_dropped_is_told_when_no_reason_says_more(tracefs: int) -> None:
    here = next(
        int(line.split()[0], 16)
        for line in Path("/proc/kallsyms").read_text().splitlines()
        if line.split()[2] == "tcp_v4_rcv"
    )

    def drop(reason: str, into: int) -> KernelEvent:
        told = {"reason": reason, "location": f"{here + into:x}"}
        return KernelEvent(1, 0, "skb:kfree_skb", 0, None, None, told)

    known, unknown = with_symbols((drop("NO_SOCKET", 1), drop("NOT_SPECIFIED", 2)))
    assert known.detail["location"] == ""
    assert unknown.detail["location"] == "tcp_v4_rcv"


def test_nothing_of_it_stays_in_the_kernel(tracefs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(stage: Stage) -> None:
        raise ScenarioFailed("it did not go as it should")

    before = of_this_process(tracefs)
    pipeline.observe("connect-refused")
    assert of_this_process(tracefs) == before
    put(monkeypatch, fails)
    with pytest.raises(ScenarioFailed):
        pipeline.observe("made-up")
    assert of_this_process(tracefs) == before


def test_unasked_it_says_nothing_and_why(live: None) -> None:
    trace = pipeline.observe("connect-refused", kernel=False).analysis.trace
    assert trace.kernel == ()
    assert trace.witness is None
    assert "--no-kernel" in trace.unwatched


def test_an_ordinary_user_is_told_what_it_costs(live: None) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may ask the kernel")
    trace = pipeline.observe("connect-refused").analysis.trace
    assert trace.witness is None
    assert "root" in trace.unwatched


def test_where_tracefs_cannot_be_had_the_run_goes_on(
    tracefs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise OSError(19, "No such device")

    monkeypatch.setattr("observatory.sources.tracefs.open_folder", refuse)
    with witness_run() as witnessing:
        witnessing.ready()
        trace = witnessing.testify(Trace())
    assert trace.witness is None
    assert "No such device" in trace.unwatched


LINGER_0 = struct.pack("ii", 1, 0)


def same_endpoints(stage: Stage) -> None:
    """Conversation after conversation, each between the same two endpoints."""

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind((SERVER.address, SERVER.port))
        listener.listen(1)
        actor.tell("ready", 1)
        for _ in range(CONVERSATIONS):
            conversation, _ = listener.accept()
            with suppress(ConnectionResetError):
                conversation.recv(100)
            conversation.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.ask("ready")
        for _ in range(CONVERSATIONS):
            sock = actor.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
            sock.bind((CLIENT.address, CLIENT.port))
            sock.connect((SERVER.address, SERVER.port))
            time.sleep(0.02)
            sock.close()

    stage.play(server=server, client=client)


def observe_made_up(number: int) -> Trace:
    trace = pipeline.observe("made-up").analysis.trace
    # Frames are not needed, and the trace is handed over.
    return replace(trace, frames=(), segments=())


def test_two_runs_at_once_with_the_same_endpoints_do_not_mix(
    tracefs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, same_endpoints)
    pipeline.preload()
    traces = [outcome.result for outcome in side_by_side(observe_made_up, [1, 2], 2)]
    for trace in traces:
        assert trace is not None
        assert trace.witness is not None
        threads = {each.tid for each in trace.calls}
        (connecting,) = {each.tid for each in trace.calls if each.name == "connect"}
        opened = [
            event.pid
            for event in trace.kernel
            if event.detail.get("new") == "SYN-SENT" and event.detail.get("old") == "CLOSED"
        ]
        assert opened == [connecting] * CONVERSATIONS
        listening = [event.pid for event in trace.kernel if event.detail.get("new") == "LISTEN"]
        assert len(listening) == 1
        assert set(listening) < threads
        children = [
            event
            for event in trace.kernel
            if event.detail.get("old") == "LISTEN" and event.detail.get("new") == "SYN-RECEIVED"
        ]
        assert len(children) == CONVERSATIONS
        resets = [event for event in trace.kernel if event.event == "tcp:tcp_send_reset"]
        assert len(resets) == CONVERSATIONS
    assert any(trace.witness.foreign for trace in traces if trace and trace.witness), "side by side"
