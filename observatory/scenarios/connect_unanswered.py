"""UNP 4.3, where connect() waits: nobody answers the SYN, or a router does.

On one host a SYN goes unanswered when the server's accept queue is full: Linux drops it without
a word and lets the client try again. ``crowded`` makes such a server.
"""

from __future__ import annotations

from contextlib import suppress
from select import POLLOUT
from signal import SIGUSR1
from socket import IPPROTO_TCP, SO_ERROR, SOL_SOCKET, TCP_SYNCNT
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent, timed
from observatory.scenarios.parts import LOOPBACK, accept_until_eof, connected, listening

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

NO_ROUTE = "198.51.100.1"  # RFC 5737: no address of anybody
BEHIND_THE_ROUTER = "192.0.2.1"
ROUTER = "192.0.2.254"


def crowded(actor: Actor) -> InstrumentedSocket:
    """A listener whose queue, of one place, the client ``first`` has filled."""
    listener = listening(actor, backlog=0)
    actor.ask("queue is full")
    return listener


def first(actor: Actor) -> None:
    """The client who takes the only place in the queue, until the play is done."""
    sock = connected(actor)
    actor.tell("queue is full")
    actor.ask("done")
    sock.close()


@behaviour(
    "connect-timeout-full-backlog",
    section="4.3",
    title="connect() to a server whose accept queue is full",
    summary="Every SYN is dropped in silence; when the tries that TCP_SYNCNT allows are used up, "
    "connect() fails with ETIMEDOUT.",
    slow=True,
    expects=Expectations(
        calls={
            "client": "socket ok, setsockopt ok, connect ETIMEDOUT, close ok",
            "first": "connect ok, close ok",
            "server": "listen ok, accept4 ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), sent("SYN", "connect", "first"), timed("SYN")),
        absent=("RST",),
    ),
)
def connect_timeout_full_backlog(stage: Stage) -> None:
    """The first client fills the queue (backlog 0 holds one connection). To the second the server
    seems dead: no SYN-ACK, but no RST either, for the queue may have room a moment later (UNP
    4.5). So the client's kernel sends its SYN again and again, until it gives up and connect()
    fails with ETIMEDOUT.

    TCP_SYNCNT (tcp(7); 6 by default, two minutes) says how often, here 2. The time between the
    tries doubles: 1 s, 2 s, 4 s. Since version 6.5 Linux first makes tcp_syn_linear_timeouts (4)
    tries a second apart, and does not count them.
    """

    def server(actor: Actor) -> None:
        listener = crowded(actor)
        actor.ask("done")
        accept_until_eof(listener)
        listener.close()

    def client(actor: Actor) -> None:
        actor.ask("queue is full")
        sock = actor.socket()
        sock.setsockopt(IPPROTO_TCP, TCP_SYNCNT, 2)
        sock.connect_ex((LOOPBACK, actor.ask("port")))
        sock.close()
        actor.tell("done")

    stage.play(client=client, first=first, server=server)


@behaviour(
    "connect-in-progress",
    section="4.3",
    title="connect() again while the first is unanswered",
    summary="The first, non-blocking connect() says EINPROGRESS, the next ones EALREADY; only the "
    "first sends a SYN.",
    expects=Expectations(
        calls={
            "client": "socket ok, ioctl ok, connect EINPROGRESS, connect EALREADY, "
            "getsockopt ok, close ok",
            "server": "listen ok, accept4 ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"),),
        absent=("RST",),
    ),
)
def connect_in_progress(stage: Stage) -> None:
    """A non-blocking connect() sends the SYN and returns (UNP 16.3). While the SYN is unanswered
    the socket is in SYN-SENT; calling connect() once more asks for what is already under way:
    EALREADY (connect(2)). SO_ERROR is 0, for nothing has failed yet.

    close() in SYN-SENT forgets the attempt: no RST, no FIN (RFC 9293 3.10.4), and the SYN is not
    sent again.
    """

    def server(actor: Actor) -> None:
        listener = crowded(actor)
        actor.ask("done")
        accept_until_eof(listener)
        listener.close()

    def client(actor: Actor) -> None:
        actor.ask("queue is full")
        address = (LOOPBACK, actor.ask("port"))
        sock = actor.socket()
        sock.setblocking(False)
        sock.connect_ex(address)
        sock.connect_ex(address)
        sock.getsockopt(SOL_SOCKET, SO_ERROR)
        sock.close()
        actor.tell("done")

    stage.play(client=client, first=first, server=server)


@behaviour(
    "connect-interrupted",
    section="4.3",
    title="A signal interrupts a blocking connect()",
    summary="connect() fails with EINTR, but the kernel goes on connecting: poll() tells when the "
    "connection is there.",
    slow=True,
    expects=Expectations(
        calls={
            "client": "socket ok, connect EINTR, poll ok, getsockopt ok, getpeername ok, close ok",
            "server": "listen ok, kill ok, accept4 ok, accept4 ok, close ok",
        },
        causes=(sent("SYN", "connect", "client"), timed("SYN"), answered("SYN-ACK")),
        absent=("RST",),
    ),
)
def connect_interrupted(stage: Stage) -> None:
    """UNP 5.9 and 16.4: of all slow calls, connect() alone must not simply be called again after
    EINTR, since its first segment is already sent. The connection goes on being made without
    anybody waiting for it; poll() for POLLOUT waits for its end, SO_ERROR says how it ended.

    Here the SYN is unanswered, as the queue is full. When the signal has come, the server makes
    room, and the SYN that the client's timer sends again succeeds.
    """

    def server(actor: Actor) -> None:
        listener = crowded(actor)
        actor.when_blocked("client", "connect")
        actor.kill("client", SIGUSR1)
        actor.when_blocked("client", "poll")
        actor.tell("done")
        accept_until_eof(listener)
        accept_until_eof(listener)
        listener.close()

    def client(actor: Actor) -> None:
        actor.on_signal(SIGUSR1)
        actor.ask("queue is full")
        sock = actor.socket()
        sock.interruptible = True
        with suppress(InterruptedError):
            sock.connect((LOOPBACK, actor.ask("port")))
        actor.poll([(sock, POLLOUT)])
        sock.getsockopt(SOL_SOCKET, SO_ERROR)
        sock.getpeername()
        sock.close()

    stage.play(client=client, first=first, server=server)


@behaviour(
    "connect-no-route",
    section="4.3",
    title="connect() to where no route leads",
    summary="Without a route connect() fails before anything is sent (ENETUNREACH); when a router "
    "on the way knows none, its ICMP message ends connect() (EHOSTUNREACH).",
    privileged=("router",),
    needs_private="it makes a route of its own, to a router that is not there",
    expects=Expectations(
        calls={
            "client": "socket ok, connect ENETUNREACH, close ok, "
            "socket ok, connect EHOSTUNREACH, close ok",
        },
        causes=(sent("SYN", "connect", "client"), sent("ICMP", "sendto", "router")),
        absent=("SYN-ACK", "RST", "FIN"),
    ),
)
def connect_no_route(stage: Stage) -> None:
    """UNP 4.3, the third kind of failure. The first address is in no routing table: the client's
    own kernel knows at once that there is no way, ENETUNREACH, and no segment leaves.

    The second has a route, so a SYN does leave; a router further on has no way to go on and
    answers with ICMP "host unreachable" (RFC 792), which quotes the head of the SYN, so that the
    client's kernel knows whose it was. RFC 1122 4.2.3.9 calls this a soft error, to be kept while
    the SYN is tried again; Linux lets it end a connection that is still in SYN-SENT.

    The router is a process that reads the SYN off the wire and writes the message with scapy.
    """

    def router(actor: Actor) -> None:
        from observatory.lab.routes import arrival, lead_to_loopback

        with arrival(BEHIND_THE_ROUTER) as wait_for_packet:
            lead_to_loopback(BEHIND_THE_ROUTER)
            actor.tell("route")
            packet = wait_for_packet()
        inet = actor.scapy()
        actor.when_blocked("client", "connect")
        unreachable = inet.ICMP(type="dest-unreach", code="host-unreachable")
        actor.craft(inet.IP(src=ROUTER, dst=packet.src) / unreachable / packet)

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.connect_ex((NO_ROUTE, 80))
        sock.close()
        actor.ask("route")
        sock = actor.socket()
        sock.connect_ex((BEHIND_THE_ROUTER, 80))
        sock.close()

    stage.play(client=client, router=router)
