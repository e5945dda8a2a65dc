"""What a connection does about segments that the path loses, and about a peer that is gone.

``meet`` and ``serve`` make a connection over the lab's path, after which each behaviour breaks
the path in its own way.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from socket import (
    IPPROTO_TCP,
    SHUT_WR,
    SO_KEEPALIVE,
    SOL_SOCKET,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_NODELAY,
    TCP_USER_TIMEOUT,
)
from typing import TYPE_CHECKING

from observatory.lab.faults import MILLISECOND, Delay, Drop, Reject, Rejection
from observatory.lab.match import DATA, PURE_ACK
from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent, timed

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

PORT = 7007
LATE_PORT = 7101
TCP_REPAIR = 19  # tcp(7), of <linux/tcp.h>; Python has no name for it


def listen_on_path(actor: Actor, backlog: int = 8) -> InstrumentedSocket:
    """A listener at the server's own address."""
    listener = actor.socket()
    listener.bind((actor.address("server"), PORT))
    listener.listen(backlog)
    actor.tell("listening")
    return listener


def serve(actor: Actor) -> InstrumentedSocket:
    """One connection; the listener is closed behind it."""
    listener = listen_on_path(actor)
    connection, _ = listener.accept()
    listener.close()
    return connection


def meet(actor: Actor, port: int = 0) -> InstrumentedSocket:
    """A socket connected to the server, from ``port`` of its own if one is given."""
    actor.ask("listening")
    sock = actor.socket()
    if port:
        sock.bind((actor.address("client"), port))
    sock.connect((actor.address("server"), PORT))
    return sock


def read_to_eof(connection: InstrumentedSocket) -> None:
    """Read until the peer has no more to send, and close as it has."""
    while connection.recv(65536):
        pass
    connection.close()


# --- The handshake -------------------------------------------------------------------------------


@behaviour(
    "listen-syn-received",
    section="4.5",
    title="A connection that stays in SYN-RECEIVED",
    summary="The last ACK of the handshake is lost: the client is ESTABLISHED, the server repeats "
    "its SYN-ACK, and accept() waits for the second ACK.",
    lab="routed",
    faults=(Drop(PURE_ACK.towards("server"), first=1),),
    slow=True,
    expects=Expectations(
        calls={"client": "connect ok, close ok", "server": "listen ok, accept4 ok, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("SYN-ACK"), timed("SYN-ACK")),
        absent=("RST",),
    ),
)
def listen_syn_received(stage: Stage) -> None:
    """connect() returns when the SYN-ACK is there (UNP 4.3): the client cannot know that its ACK
    was lost. The server's half of the connection is an entry in the queue of incomplete connections
    (UNP 4.5), for which the SYN-ACK is sent again after a second (tcp(7), tcp_synack_retries).
    The client answers the repeated SYN-ACK with another ACK, and accept() has its connection.
    """

    def server(actor: Actor) -> None:
        listener = listen_on_path(actor)
        connection, _ = listener.accept()
        actor.tell("accepted")
        read_to_eof(connection)
        listener.close()

    def client(actor: Actor) -> None:
        sock = meet(actor)
        actor.ask("accepted")
        sock.close()

    stage.play(server=server, client=client)


def _race(stage: Stage, connections: int) -> None:
    """Two clients and a queue with one place; ``connections`` is how many the server will see."""

    def server(actor: Actor) -> None:
        listener = listen_on_path(actor, backlog=0)
        actor.ask("late has tried")
        for _ in range(connections):
            connection, _ = listener.accept()
            actor.tell("room is made")
            read_to_eof(connection)
        listener.close()

    def late(actor: Actor) -> None:
        sock = meet(actor, LATE_PORT)
        actor.tell("late connected")
        actor.ask("both connected")
        sock.send(b"am I in?")
        actor.pause(1.5)  # the SYN-ACK is repeated after a second, and answered once more
        actor.tell("late has tried")
        actor.ask("room is made")
        with suppress(OSError):
            sock.shutdown(SHUT_WR)
        with suppress(OSError):
            sock.recv(100)
        sock.close()

    def first(actor: Actor) -> None:
        actor.ask("late connected")
        sock = meet(actor)
        actor.tell("both connected")
        actor.ask("room is made")
        sock.close()

    stage.play(server=server, late=late, first=first)


@behaviour(
    "listen-queue-overflow-race",
    section="4.5",
    title="The accept queue fills between a client's SYN and its ACK",
    summary="The handshake's last ACK finds the queue full and is ignored: the client believes to "
    "be connected, and what it sends is not taken until there is room.",
    lab="routed",
    hosts={"late": "client", "first": "client"},
    faults=(Drop(PURE_ACK.towards("server").on_port(LATE_PORT), first=1),),
    slow=True,
    expects=Expectations(
        calls={
            "late": "connect ok, send ok, close ok",
            "first": "connect ok, close ok",
            "server": "listen ok, accept4 ok",
        },
        causes=(timed("SYN-ACK"), sent("data", "send", "late")),
        absent=("RST",),
    ),
)
def listen_queue_overflow_race(stage: Stage) -> None:
    """With backlog 0 the queue holds one connection. The late client's SYN comes while it is empty,
    but its ACK is lost; meanwhile the first client takes the place. From then on the late client
    is ESTABLISHED on its side and SYN-RECEIVED on the server's: its data and its ACKs are dropped
    (ListenOverflows counts them) and the SYN-ACK is sent again, until accept() makes room.
    """
    _race(stage, connections=2)


@behaviour(
    "listen-queue-overflow-abort",
    section="4.5",
    title="The same race, where the server refuses instead of waiting",
    summary="With tcp_abort_on_overflow the ACK that finds the accept queue full draws RST, though "
    "connect() had succeeded.",
    lab="routed",
    hosts={"late": "client", "first": "client"},
    sysctls={"server": {"net.ipv4.tcp_abort_on_overflow": "1"}},
    faults=(Drop(PURE_ACK.towards("server").on_port(LATE_PORT), first=1),),
    slow=True,
    expects=Expectations(
        calls={"late": "connect ok, close ok", "first": "connect ok, close ok"},
        causes=(answered("RST", likely=True),),
    ),
)
def listen_queue_overflow_abort(stage: Stage) -> None:
    """tcp_abort_on_overflow (tcp(7)) changes nothing for a SYN, which is dropped either way. It
    speaks of this case alone: the handshake's last segment comes, and there is no place for the
    finished connection. The client learns by a RST that the connection it had was none.
    """
    _race(stage, connections=1)


# --- Data ----------------------------------------------------------------------------------------


@behaviour(
    "send-retransmitted",
    section="5.4",
    title="Data whose first copy is lost",
    summary="The segment that send() caused vanishes; a timer of the client's kernel sends it "
    "again, and neither program notices more than the wait.",
    lab="routed",
    faults=(Drop(DATA.towards("server"), first=1),),
    expects=Expectations(
        calls={"client": "connect ok, send ok, close ok", "server": "accept4 ok, recv ok"},
        causes=(sent("data", "send", "client"), timed("data")),
        absent=("RST",),
    ),
)
def send_retransmitted(stage: Stage) -> None:
    """send() has returned long before: what it said is "buffered". With nothing else in flight no
    duplicate ACK can tell of the loss, so that a timer must: the tail loss probe (RFC 8985 7)
    after about two round trips, or the retransmission timeout (RFC 6298), here 200 ms at least.
    """

    def server(actor: Actor) -> None:
        connection = serve(actor)
        connection.recv(100)
        actor.tell("it came")
        read_to_eof(connection)

    def client(actor: Actor) -> None:
        sock = meet(actor)
        sock.send(b"hello, server")
        actor.ask("it came")
        sock.close()

    stage.play(server=server, client=client)


@behaviour(
    "send-fast-retransmit",
    section="5.4",
    title="A lost segment in the midst of others",
    summary="The segments behind the lost one draw ACKs that do not move and tell by SACK what is "
    "missing: it is sent again without waiting for a timer.",
    lab="routed",
    faults=(Delay(delay_ns=5 * MILLISECOND),),
    expects=Expectations(
        calls={"client": "connect ok, setsockopt ok, send ok, close ok"},
        causes=(sent("data", "send", "client"),),
        absent=("RST",),
    ),
)
def send_fast_retransmit(stage: Stage) -> None:
    """Fast retransmit (RFC 5681 3.2, with SACK RFC 6675, on Linux RACK, RFC 8985). Every segment
    that arrives out of order is acknowledged at once, with the number that is still awaited.
    Enough of them show that one is lost, and not only late.
    """

    def server(actor: Actor) -> None:
        connection = serve(actor)
        actor.tell("accepted")
        read_to_eof(connection)

    def client(actor: Actor) -> None:
        sock = meet(actor)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        actor.ask("accepted")
        actor.fault(Drop(DATA.towards("server"), first=1))
        for _ in range(8):
            sock.send(bytes(1000))
        sock.close()

    stage.play(server=server, client=client)


@behaviour(
    "send-nagle-delayed",
    section="7.9",
    title="Nagle waits for the ACK, and the ACK waits too",
    summary="A request in two small writes: the second waits for the ACK of the first (Nagle), "
    "which the server delays by 40 ms, for it has nothing to say yet.",
    lab="routed",
    faults=(Delay(delay_ns=2 * MILLISECOND),),
    expects=Expectations(
        calls={"client": "connect ok, send ok, recv ok, close ok"},
        causes=(sent("data", "send", "client"), timed("ACK", likely=True)),
        absent=("RST",),
    ),
)
def send_nagle_delayed(stage: Stage) -> None:
    """UNP 7.9 (TCP_NODELAY) and RFC 896: small data waits while other data is unacknowledged. RFC
    1122 4.2.3.2: an ACK may wait for something to ride on. Each is sensible; together they cost
    this exchange 40 ms (tcp_delack_min), where the path takes 4. The first exchanges teach the
    server's kernel that this is a dialogue, in which ACKs are delayed.
    """

    def server(actor: Actor) -> None:
        connection = serve(actor)
        for _ in range(4):
            need = 8
            while need > 0:
                got = len(connection.recv(need))
                if not got:
                    break
                need -= got
            connection.send(b"answer")
        read_to_eof(connection)

    def client(actor: Actor) -> None:
        sock = meet(actor)
        for _ in range(3):
            sock.send(b"question")
            sock.recv(100)
        sock.send(b"ques")
        sock.send(b"tion")
        sock.recv(100)
        sock.close()

    stage.play(server=server, client=client)


# --- A peer that is gone -------------------------------------------------------------------------


def _expect_error(sock: InstrumentedSocket, *numbers: int) -> None:
    """Read, and take what the kernel says of the connection."""
    try:
        sock.recv(100)
    except OSError as told:
        if told.errno not in numbers:
            raise


@behaviour(
    "send-user-timeout",
    section="7.9",
    title="TCP_USER_TIMEOUT: how long data may stay unacknowledged",
    summary="The path is dead. Data is sent again and again until the time that the program set is "
    "up; then recv() fails with ETIMEDOUT.",
    lab="routed",
    slow=True,
    expects=Expectations(
        calls={"client": "connect ok, setsockopt ok, send ok, recv ETIMEDOUT, close ok"},
        causes=(sent("data", "send", "client"), timed("data")),
    ),
)
def send_user_timeout(stage: Stage) -> None:
    """RFC 9293 3.8.3 and RFC 5482; tcp(7). Without the option Linux would go on for a quarter of an
    hour (tcp_retries2, 15). send() had succeeded; the error waits for the next call.
    """

    def server(actor: Actor) -> None:
        connection = serve(actor)
        actor.tell("accepted")
        actor.ask("client has given up")
        connection.close()

    def client(actor: Actor) -> None:
        sock = meet(actor)
        sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, 1200)
        actor.ask("accepted")
        dark = Drop()
        actor.fault(dark)
        sock.send(b"is anybody there?")
        _expect_error(sock, errno.ETIMEDOUT)
        sock.close()
        actor.mend(dark)
        actor.tell("client has given up")

    stage.play(server=server, client=client)


def _keep_alive(sock: InstrumentedSocket) -> None:
    sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    sock.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, 1)
    sock.setsockopt(IPPROTO_TCP, TCP_KEEPINTVL, 1)
    sock.setsockopt(IPPROTO_TCP, TCP_KEEPCNT, 2)


@behaviour(
    "keepalive-dead-peer",
    section="7.5",
    title="Keepalive finds a peer that does not answer",
    summary="Nothing is sent for a second, then probes: two stay unanswered, the connection is "
    "given up, and the recv() that waited fails with ETIMEDOUT.",
    lab="routed",
    slow=True,
    expects=Expectations(
        calls={"client": "connect ok, setsockopt ok, recv ETIMEDOUT, close ok"},
        causes=(timed("ACK"),),
        absent=("data",),
    ),
)
def keepalive_dead_peer(stage: Stage) -> None:
    """UNP 7.5: without SO_KEEPALIVE a recv() would wait for ever, as no segment tells that the
    peer's host is gone. A probe is an empty segment with a sequence number that was acknowledged
    before (RFC 1122 4.2.3.6), which every living TCP answers.
    """

    def server(actor: Actor) -> None:
        connection = serve(actor)
        actor.tell("accepted")
        actor.ask("client has given up")
        connection.close()

    def client(actor: Actor) -> None:
        sock = meet(actor)
        _keep_alive(sock)
        actor.ask("accepted")
        dark = Drop()
        actor.fault(dark)
        _expect_error(sock, errno.ETIMEDOUT)
        sock.close()
        actor.mend(dark)
        actor.tell("client has given up")

    stage.play(server=server, client=client)


@behaviour(
    "keepalive-reset",
    section="7.5",
    title="Keepalive finds a peer that was restarted",
    summary="The server's host has forgotten the connection: the first probe draws RST, and the "
    "recv() that waited fails with ECONNRESET.",
    lab="routed",
    privileged=("server",),
    slow=True,
    expects=Expectations(
        calls={"client": "connect ok, setsockopt ok, recv ECONNRESET, close ok"},
        causes=(timed("ACK"), answered("RST")),
        absent=("data", "FIN"),
    ),
)
def keepalive_reset(stage: Stage) -> None:
    """UNP 7.5 names three fates of a probe: an ACK, a RST (the peer has crashed and come up again),
    or nothing. The restart is done with TCP_REPAIR, which closes a socket without a segment.
    """

    def server(actor: Actor) -> None:
        connection = serve(actor)
        connection.setsockopt(IPPROTO_TCP, TCP_REPAIR, 1)
        connection.close()
        actor.tell("restarted")

    def client(actor: Actor) -> None:
        sock = meet(actor)
        _keep_alive(sock)
        actor.ask("restarted")
        _expect_error(sock, errno.ECONNRESET)
        sock.close()

    stage.play(server=server, client=client)


@behaviour(
    "icmp-after-established",
    section="4.3",
    title="ICMP unreachable for a connection that is established",
    summary="A soft error: the kernel remembers it, goes on sending, and the data arrives when the "
    "path is mended. No call fails.",
    lab="routed",
    faults=(Reject(DATA.towards("server"), Rejection.HOST_UNREACHABLE, first=1),),
    expects=Expectations(
        calls={"client": "connect ok, send ok, close ok", "server": "accept4 ok, recv ok"},
        causes=(sent("data", "send", "client"), answered("ICMP"), timed("data")),
        absent=("RST",),
    ),
)
def icmp_after_established(stage: Stage) -> None:
    """RFC 1122 4.2.3.9: codes 0, 1 and 5 are hints of a trouble that may pass, and must not abort a
    connection. The very message that ends a connect() on Linux only leaves a note here
    (sk_err_soft), which would name the errno if the retransmissions came to nothing.
    """

    def server(actor: Actor) -> None:
        connection = serve(actor)
        connection.recv(100)
        actor.tell("it came")
        read_to_eof(connection)

    def client(actor: Actor) -> None:
        sock = meet(actor)
        sock.send(b"hello, server")
        actor.ask("it came")
        sock.close()

    stage.play(server=server, client=client)
