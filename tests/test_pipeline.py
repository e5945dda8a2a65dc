"""What the pipeline keeps of a run, also of one that fails, and what it leaves out."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from observatory import pipeline
from observatory.errors import CaptureError, ScenarioFailed, UsageError, WriteFailed
from observatory.lab.actor import Actor
from observatory.lab.behaviour import Behaviour
from observatory.lab.stage import Stage
from observatory.model import Call, Endpoint, Trace, UnixAddress
from observatory.scenarios import catalogue

Play = Callable[[Stage], None]
Perform = Callable[..., None]


@pytest.fixture
def perform(monkeypatch: pytest.MonkeyPatch, live: None) -> Perform:
    """Puts one behaviour into the catalogue, for this test alone."""

    def put(play: Play, **changes: object) -> None:
        one = Behaviour("made-up", "0", "A behaviour of a test", "It does what it must.", play)
        one = replace(one, **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(catalogue, "find", {"made-up": one}.__getitem__)

    return put


def converse(
    stage: Stage,
    in_between: Callable[[Actor], object] = lambda actor: None,
    port: str = "port",
) -> None:
    """A client sends, does ``in_between``, and closes; the server reads to the end."""

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        actor.tell(port, listener.getsockname()[1])
        conversation, _ = listener.accept()
        while conversation.recv(100):
            pass
        conversation.close()
        listener.close()

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.connect(("127.0.0.1", actor.ask(port)))
        sock.send(b"hello")
        in_between(actor)
        sock.close()

    stage.play(server=server, client=client)


def flags(trace: Trace) -> list[str]:
    return [segment.flags for segment in trace.segments]


def test_everything_from_the_first_syn_to_the_last_ack(perform: Perform, tmp_path: Path) -> None:
    perform(converse)
    observed = pipeline.observe("made-up", path=tmp_path / "run.pcapng")
    trace = observed.analysis.trace
    assert flags(trace)[:3] == ["S", "SA", "A"]
    assert sum("F" in one for one in flags(trace)) == 2
    assert flags(trace)[-1] == "A", "the ACK of the last FIN comes when every process has ended"
    assert {process.role for process in trace.processes} == {"server", "client"}
    assert trace.defects == ()
    assert trace.dropped == 0
    assert trace.run.kernel and trace.run.capture_method and trace.run.settings
    assert observed.path is not None
    assert pipeline.load(observed.path) == trace
    assert pipeline.analyze(pipeline.load(observed.path)) == observed.analysis


def test_the_file_grows_while_the_run_goes_on(perform: Perform, tmp_path: Path) -> None:
    """The client looks at the file, in the middle of the run that the file is of."""
    path = tmp_path / "run.pcapng"
    seen = tmp_path / "seen"

    def look(actor: Actor) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            trace = pipeline.load(path)
            if any(call.name == "send" for call in trace.calls) and trace.frames:
                seen.write_text(" ".join(trace.defects))
                return
            time.sleep(0.02)

    perform(lambda stage: converse(stage, look))
    observed = pipeline.observe("made-up", path=path)
    assert "broken off" in seen.read_text()
    assert observed.analysis.trace.defects == ()


def test_a_failing_behaviour_leaves_what_was_observed(perform: Perform, tmp_path: Path) -> None:
    def fail(actor: Actor) -> None:
        raise ZeroDivisionError("the scenario's own mistake")

    perform(lambda stage: converse(stage, fail))
    path = tmp_path / "run.pcapng"
    with pytest.raises(ScenarioFailed, match="the scenario's own mistake") as raised:
        pipeline.observe("made-up", path=path)
    assert any(str(path) in note for note in raised.value.__notes__)
    trace = pipeline.load(path)
    assert "S" in flags(trace)
    assert any("client failed" in defect for defect in trace.defects)


def test_a_mistake_in_the_analysis_loses_nothing(
    perform: Perform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(trace: Trace) -> None:
        raise ZeroDivisionError("ours")

    perform(converse)
    monkeypatch.setattr(pipeline, "analyze", mistaken)
    path = tmp_path / "run.pcapng"
    with pytest.raises(ZeroDivisionError) as raised:
        pipeline.observe("made-up", path=path)
    assert any(str(path) in note for note in raised.value.__notes__)
    trace = pipeline.load(path)
    assert trace.defects == ()
    assert {process.role for process in trace.processes} == {"server", "client"}


def test_a_behaviour_that_never_ends_is_ended(perform: Perform, tmp_path: Path) -> None:
    perform(lambda stage: converse(stage, lambda actor: actor.pause(60)), time_limit=0.5)
    path = tmp_path / "run.pcapng"
    with pytest.raises(ScenarioFailed, match=r"0\.5 s"):
        pipeline.observe("made-up", path=path)
    assert pipeline.load(path).defects


def test_without_a_path_nothing_is_written(
    perform: Perform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    perform(converse)
    assert pipeline.observe("made-up").path is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_nothing_was_observed(perform: Perform, tmp_path: Path) -> None:
    perform(converse, sysctls={"net.ipv4.no_such_setting": "1"})
    with pytest.raises(Exception, match="no_such_setting"):
        pipeline.observe("made-up", path=tmp_path / "run.pcapng")
    perform(converse)
    with pytest.raises(CaptureError, match="none7"):
        pipeline.observe("made-up", path=tmp_path / "run.pcapng", interface="none7")
    perform(converse, needs_private="it needs a firewall")
    with pytest.raises(UsageError, match="it needs a firewall"):
        pipeline.observe("made-up", path=tmp_path / "run.pcapng", host=True)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to(perform: Perform, tmp_path: Path) -> None:
    perform(converse)
    (tmp_path / "file").touch()
    with pytest.raises(WriteFailed):
        pipeline.observe("made-up", path=tmp_path / "file" / "run.pcapng")


def test_write_new_takes_an_unused_name(tmp_path: Path) -> None:
    first = pipeline.write_new(tmp_path / "new" / "report.md", [b"one"])
    second = pipeline.write_new(tmp_path / "new" / "report.md", [b"two"])
    assert (first.name, second.name) == ("report.md", "report-2.md")
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")


def call(local: Endpoint | UnixAddress | None) -> Call:
    return Call(1, "connect", 1, 1, 3, {}, 0, local=local)


def test_own_ports_are_those_of_the_run_s_sockets() -> None:
    calls = [
        call(Endpoint("127.0.0.1", 4000)),
        call(Endpoint("0.0.0.0", 4001)),
        call(Endpoint("0.0.0.0", 0)),
        call(UnixAddress("/tmp/x")),
        call(None),
    ]
    assert pipeline.own_ports(calls) == {4000, 4001}


def test_own_frames_are_those_to_and_from_them(perform: Perform) -> None:
    def twice(stage: Stage) -> None:
        converse(stage)
        converse(stage, port="another port")

    perform(twice)
    trace = pipeline.observe("made-up").analysis.trace
    syns = [segment for segment in trace.segments if segment.flags == "S"]
    assert len(syns) == 2
    port = syns[0].src.port
    own = pipeline.own_frames(trace.frames, trace.interfaces, frozenset({port}))
    expected = [s.frame for s in trace.segments if port in (s.src.port, s.dst.port)]
    assert own == expected
    assert 0 < len(own) < len(trace.frames)
    assert pipeline.own_frames(trace.frames, trace.interfaces, frozenset()) == []
