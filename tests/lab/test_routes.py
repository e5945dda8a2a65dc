"""What a router in a play works with: a route to nobody, and the packets that take it."""

import pytest

from observatory.errors import ScenarioFailed
from observatory.lab import routes
from tests.lab.plays import named, performed

NOBODYS = "192.0.2.7"


def test_a_packet_to_nobody_is_seen_and_dropped_in_silence():
    def router(actor):
        with routes.arrival(NOBODYS) as wait_for_packet:
            routes.lead_to_loopback(NOBODYS)
            actor.tell("route")
            packet = wait_for_packet()
        assert (packet.dst, packet.dport) == (NOBODYS, 4711)
        actor.when_blocked("client", "connect")
        actor.kill("client")

    def client(actor):
        actor.ask("route")
        sock = actor.socket()
        sock.connect((NOBODYS, 4711))

    outcome = performed(
        lambda stage: stage.play(client=client, router=router), privileged=("router",)
    )
    (connect,) = named(outcome, "connect")
    assert connect.returned_ns is None
    assert [process.signal for process in outcome.processes if process.role == "client"] == [
        "SIGKILL"
    ]


def test_the_packet_is_dissected():
    def router(actor):
        with routes.arrival(NOBODYS) as wait_for_packet:
            routes.lead_to_loopback(NOBODYS)
            actor.tell("route")
            packet = wait_for_packet()
        assert (packet.src, packet.dst) == ("127.0.0.1", NOBODYS)
        assert bytes(packet["UDP"].payload) == b"anybody?"

    def client(actor):
        from socket import SOCK_DGRAM

        actor.ask("route")
        sock = actor.socket(type=SOCK_DGRAM)
        sock.sendto(b"anybody?", (NOBODYS, 9))
        sock.close()

    performed(lambda stage: stage.play(client=client, router=router), privileged=("router",))


def test_waiting_in_vain_says_for_what(monkeypatch):
    monkeypatch.setattr(routes, "_PATIENCE_S", 0.05)

    def router(actor):
        with routes.arrival(NOBODYS) as wait_for_packet:
            wait_for_packet()

    outcome = performed(
        lambda stage: stage.play(router=router), succeeds=False, privileged=("router",)
    )
    assert isinstance(outcome.failure, ScenarioFailed)
    assert f"no packet went to {NOBODYS}" in str(outcome.failure)


def test_without_privilege_there_is_no_looking():
    def router(actor):
        with pytest.raises(PermissionError), routes.arrival(NOBODYS):
            pass

    performed(lambda stage: stage.play(router=router))
