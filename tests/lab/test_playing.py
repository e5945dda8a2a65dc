import os
import signal
import socket
import time
from pathlib import Path

import pytest

from observatory.errors import ScenarioFailed
from tests.lab.plays import alone, named, performed, roles


def test_every_role_is_a_process_of_its_own_and_seen_to_end():
    outcome = performed(
        lambda stage: stage.play(server=lambda actor: None, client=lambda actor: actor.exit(3))
    )

    found = roles(outcome)
    assert set(found) == {"server", "client"}
    assert found["server"].pid != found["client"].pid
    assert (found["server"].status, found["client"].status) == (0, 3)
    assert found["client"].command == "client"
    assert found["client"].parent is None
    assert all(process.ended_ns for process in found.values())


def test_descriptors_count_from_three():
    def part(actor):
        actor.socket().close()

    (made,) = named(alone(part), "socket")
    assert made.result == 3


def test_actors_are_started_together():
    def part(actor):
        actor.tell(actor.role, time.monotonic_ns())

    def play(stage):
        stage.play(a=part, b=part, c=part)
        told = stage._board.known()
        begins = [told[role] for role in "abc"]
        assert max(begins) - min(begins) < 1_000_000_000

    performed(play)


def test_a_behaviour_may_play_more_than_once():
    def play(stage):
        stage.play(first=lambda actor: actor.tell("port", 7))
        stage.play(second=lambda actor: actor.exit(actor.ask("port")))

    assert roles(performed(play))["second"].status == 7


def test_an_actor_that_a_signal_killed_is_told_so():
    def part(actor):
        actor.default_signal(signal.SIGPIPE)
        os.kill(os.getpid(), signal.SIGPIPE)

    client = roles(alone(part))["client"]
    assert (client.signal, client.status) == ("SIGPIPE", None)


def test_a_killed_actor_leaves_the_call_it_was_in():
    def server(actor):
        listener = actor.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.accept()

    def killer(actor):
        actor.when_blocked("server", "accept")
        actor.kill("server")

    outcome = performed(lambda stage: stage.play(server=server, killer=killer))

    (accept,) = named(outcome, "accept4")
    assert (accept.returned_ns, accept.result) == (None, None)
    assert roles(outcome)["server"].signal == "SIGKILL"
    (kill,) = named(outcome, "kill")
    assert kill.args == {"pid": roles(outcome)["server"].pid, "signal": "SIGKILL"}


def test_what_a_part_raises_fails_the_play_and_keeps_what_was_seen():
    def server(actor):
        listener = actor.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        actor.tell("ready")
        listener.accept()

    def client(actor):
        actor.ask("ready")
        actor.when_blocked("server")
        raise RuntimeError("out of ideas")

    began = time.monotonic()
    outcome = performed(lambda stage: stage.play(server=server, client=client), succeeds=False)

    assert time.monotonic() - began < 10
    assert isinstance(outcome.failure, ScenarioFailed)
    assert "client failed at test_playing.py:" in str(outcome.failure)
    assert "out of ideas" in str(outcome.failure)
    assert named(outcome, "accept4")
    assert roles(outcome)["server"].signal == "SIGKILL"


def test_what_the_behaviour_itself_raises_fails_the_play():
    def play(stage):
        raise RuntimeError("before anything began")

    assert "before anything began" in str(performed(play, succeeds=False).failure)


def test_a_refusal_in_the_play_is_its_failure_not_the_captures():
    def play(stage):
        raise PermissionError(13, "Permission denied")

    failure = performed(play, succeeds=False).failure
    assert isinstance(failure, ScenarioFailed)
    assert "capture" not in str(failure)


def test_a_play_that_does_not_end_is_ended():
    def part(actor):
        listener = actor.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        actor.fork(lambda child: child.pause(60))
        listener.accept()

    outcome = alone(part, succeeds=False, time_limit=0.5)

    assert "was not done after 0.5 s" in str(outcome.failure)
    assert named(outcome, "accept4")
    assert [process.signal for process in outcome.processes] == ["SIGKILL", "SIGKILL"]


def test_a_play_is_not_over_before_its_orphans_are():
    def part(actor):
        actor.fork(lambda child: child.pause(0.1))

    outcome = alone(part)

    assert (roles(outcome)["client"].status, roles(outcome)["client.1"].status) == (0, 0)
    assert roles(outcome)["client.1"].parent == roles(outcome)["client"].pid


def test_actors_have_no_power_unless_the_behaviour_says_so():
    def part(actor):
        with pytest.raises(PermissionError):
            actor.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with pytest.raises(PermissionError):
            actor.socket().bind(("127.0.0.1", 80))

    outcome = alone(part)

    assert named(outcome, "bind")[0].errno == "EACCES"
    assert named(outcome, "socket")[0].errno == "EPERM"


def test_only_named_roles_keep_the_power():
    def crafty(actor):
        actor.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()

    def plain(actor):
        with pytest.raises(PermissionError):
            crafty(actor)

    performed(lambda stage: stage.play(crafty=crafty, plain=plain), privileged=("crafty",))
    performed(lambda stage: stage.play(crafty=crafty, other=crafty), privileged=True)


def test_settings_are_in_force_before_the_play():
    def part(actor):
        assert Path("/proc/sys/net/ipv4/tcp_abort_on_overflow").read_text() == "1\n"

    alone(part, sysctls={"net.ipv4.tcp_abort_on_overflow": "1"})
