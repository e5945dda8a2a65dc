"""Packets followed over broken paths, held against what each host's kernel counted.

Four captures see each packet up to four times. If they are put together rightly, a host has sent
as many segments as its kernel says (Tcp.OutSegs, which leaves out those sent again), as many have
come (Tcp.InSegs), and as many were sent again (Tcp.RetransSegs): one wrong pair, one repetition
taken for the first copy, one copy taken for a repetition, and the numbers differ.
"""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from observatory.analysis.arrivals import NEVER, Arrivals
from observatory.lab.behaviour import Behaviour
from observatory.lab.faults import (
    MILLISECOND,
    Delay,
    Drop,
    Duplicate,
    Fault,
    Lose,
    Reorder,
)
from observatory.model import Analysis, CauseKind
from observatory.model.paths import Paths
from observatory.pipeline import observe

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

PORT, ROUNDS, QUESTION, ANSWER = 7007, 5, 100, 50
ADDRESSES = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8:2::1"}

PATHS: dict[str, tuple[Fault, ...]] = {
    "whole": (),
    "slow": (Delay(delay_ns=10 * MILLISECOND),),
    "lossy": (Lose(every=5), Delay(delay_ns=5 * MILLISECOND)),
    "dropping": (Drop(every=7),),
    "doubling": (Duplicate(every=3),),
    "doubling late": (Duplicate(every=4, gap_ns=3 * MILLISECOND), Delay()),
    "out of order": (Reorder(every=3, patience_ns=10 * MILLISECOND),),
    "everything": (
        Lose(every=7),
        Duplicate(every=5, gap_ns=2 * MILLISECOND),
        Reorder(every=4, patience_ns=10 * MILLISECOND),
        Delay(delay_ns=3 * MILLISECOND),
    ),
}


def talk(family: socket.AddressFamily):
    """Two segments to the server and one back, several times."""

    def server(actor: Actor) -> None:
        listener = actor.socket(family, socket.SOCK_STREAM)
        listener.bind((ADDRESSES[family], PORT))
        listener.listen()
        actor.tell("listening")
        connection, _ = listener.accept()
        for _ in range(ROUNDS):
            wanted = 2 * QUESTION
            while wanted:
                wanted -= len(connection.recv(wanted))
            connection.send(b"a" * ANSWER)
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.ask("listening")
        sock = actor.socket(family, socket.SOCK_STREAM)
        sock.connect((ADDRESSES[family], PORT))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(ROUNDS):
            sock.send(b"q" * QUESTION)
            sock.send(b"q" * QUESTION)
            sock.recv(ANSWER)
        sock.close()

    def play(stage: Stage) -> None:
        stage.play(client=client, server=server)

    return play


def followed(analysis: Analysis) -> dict[str, dict[str, int]]:
    """How many segments each host sent, had come, and sent again, as the sightings tell."""
    topology = analysis.trace.run.topology
    assert topology is not None
    arrivals, paths = Arrivals(analysis.trace), Paths(topology)
    sent: Counter[str | None] = Counter()
    came: Counter[str | None] = Counter()
    again: Counter[str | None] = Counter()
    for one in analysis.segments:
        arrival = arrivals.of(one.segment)
        sender, receiver = (
            paths.host_of(end.address) for end in (one.segment.src, one.segment.dst)
        )
        sent[sender] += not arrival.made_at
        came[receiver] += arrival.at_ns < NEVER
        again[sender] += one.retransmission
    return {
        host: {"sent": sent[host], "came": came[host], "again": again[host]}
        for host in ("client", "server")
    }


def counted(analysis: Analysis) -> dict[str, dict[str, int]]:
    """The same, as each host's kernel counted it."""
    change = {(c.host, c.name): c.change for c in analysis.trace.counters}
    found = {}
    for host in ("client", "server"):
        names = ("Tcp.OutSegs", "Tcp.InSegs", "Tcp.RetransSegs", "TcpExt.TCPSynRetrans")
        out, into, again, syns = (change.get((host, name), 0) for name in names)
        # Linux counts a SYN-ACK that is sent again (tcp_rtx_synack) in OutSegs, too.
        twice = syns if host == "server" else 0
        found[host] = {"sent": out + again - twice, "came": into, "again": again}
    return found


@pytest.mark.parametrize("family", ADDRESSES, ids=("IPv4", "IPv6"))
@pytest.mark.parametrize("path", PATHS)
def test_every_packet_is_followed(
    path: str, family: socket.AddressFamily, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour = Behaviour(
        name="talk",
        section="4.3",
        title="Two hosts talk",
        summary="Over a path that does something to their packets.",
        play=talk(family),
        lab="routed",
        faults=PATHS[path],
    )
    monkeypatch.setattr("observatory.scenarios.catalogue.find", lambda name: behaviour)
    analysis = observe("talk").analysis
    assert followed(analysis) == counted(analysis)
    assert not [s for s in analysis.segments if s.cause.kind is CauseKind.UNKNOWN]
    for one in analysis.segments:
        times = [sighting.time_ns for sighting in one.segment.sightings]
        assert times == sorted(times) and times
