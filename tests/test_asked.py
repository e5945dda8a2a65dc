"""Runs whose conclusions rest on what the kernel was asked about a socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from observatory import load
from observatory.analysis.asked import answer
from observatory.lab.actor import Actor
from observatory.lab.behaviour import Behaviour
from observatory.lab.stage import Stage
from observatory.model import Analysis, Confidence, ExplainedCall
from observatory.pipeline import observe
from observatory.scenarios import catalogue
from observatory.scenarios.parts import connected, listening

pytestmark = pytest.mark.usefixtures("live")

Play = Callable[[Stage], None]


@pytest.fixture
def analysis_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Play], Analysis]:
    """What is concluded of a behaviour that is made up for one test."""

    def run(play: Play) -> Analysis:
        one = Behaviour("made-up", "0", "A behaviour of a test", "It does what it must.", play)
        monkeypatch.setattr(catalogue, "find", {"made-up": one}.__getitem__)
        return observe("made-up").analysis

    return run


def only(analysis: Analysis, rule: str) -> ExplainedCall:
    (found,) = [one for one in analysis.calls if one.explanation.rule == rule]
    return found


def test_the_kernel_says_what_close_throws_away(tmp_path: Path) -> None:
    observed = observe("close-unread-data", path=tmp_path / "run.pcapng")
    closing = only(observed.analysis, "close-unread-data")

    assert answer(closing.call)["unread"] == 8
    assert "the kernel said: 8 bytes" in closing.explanation.text
    assert closing.explanation.confidence is Confidence.CERTAIN
    assert observed.path is not None
    assert load(observed.path).calls == observed.analysis.trace.calls


def test_two_more_witnesses_say_that_the_queue_was_full() -> None:
    broken_off = only(observe("connect-in-progress").analysis, "close-unopened")

    text = broken_off.explanation.text
    assert "the kernel said: 1 in it, and more than 0 is full" in text
    assert "ListenOverflows rose by 1: 1 SYN is seen" in text
    assert broken_off.explanation.confidence is Confidence.CERTAIN


def test_the_kernel_says_how_full_a_send_buffer_was() -> None:
    refused = only(observe("send-would-block").analysis, "send-no-room")
    assert "bytes of memory used with" in refused.explanation.text


def test_a_process_that_ends_had_unread_data(analysis_of: Callable[[Play], Analysis]) -> None:
    def play(stage: Stage) -> None:
        def server(actor: Actor) -> None:
            listener = listening(actor)
            served, _ = listener.accept()
            actor.when_readable(served)
            actor.exit()

        def client(actor: Actor) -> None:
            sock = connected(actor)
            sock.send(b"unread")
            actor.when_state(sock, "CLOSED")
            sock.close()

        stage.play(server=server, client=client)

    analysis = analysis_of(play)
    (reset,) = [one for one in analysis.segments if "R" in one.segment.flags]
    (leaving,) = [one for one in analysis.calls if one.call.id == reset.cause.call]

    assert reset.cause.reason == "RST: exit() with 6 bytes unread aborts"
    assert reset.cause.confidence is Confidence.CERTAIN
    states = [answer(leaving.call, fd=fd).get("state") for fd in range(3, 6)]
    assert states == ["LISTEN", "ESTABLISHED", None]


def test_a_send_larger_than_its_buffer_waited(analysis_of: Callable[[Play], Analysis]) -> None:
    size = 32 << 20

    def play(stage: Stage) -> None:
        def server(actor: Actor) -> None:
            listener = listening(actor)
            served, _ = listener.accept()
            actor.when_blocked("client", "send")
            while served.recv(1 << 20):
                pass
            served.close()

        def client(actor: Actor) -> None:
            sock = connected(actor)
            sock.send(bytes(size))
            sock.close()

        stage.play(server=server, client=client)

    waited = only(analysis_of(play), "send-blocked")
    assert waited.explanation.confidence is Confidence.CERTAIN
    assert f"{size:,} bytes wanted into a buffer of" in waited.explanation.text


def test_a_send_on_a_connection_that_is_not_open_yet(
    analysis_of: Callable[[Play], Analysis],
) -> None:
    def play(stage: Stage) -> None:
        def server(actor: Actor) -> None:
            listener = listening(actor, backlog=0)
            actor.ask("done")
            listener.close()

        def client(actor: Actor) -> None:
            first, second = connected(actor), actor.socket()
            second.setblocking(False)
            second.connect_ex(first.getpeername())
            with pytest.raises(BlockingIOError):
                second.send(b"too early")
            second.close()
            first.close()
            actor.tell("done")

        stage.play(server=server, client=client)

    refused = only(analysis_of(play), "send-while-opening")
    assert answer(refused.call, "after")["state"] == "SYN-SENT"
