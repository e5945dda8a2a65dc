"""UNP 4.3: what connect() learns of a path that leads nowhere, from silence or from a router.

Each client here is one hop from a router and two from the server; what is wrong is wrong at the
router. ``knock`` connects once to a port that somebody listens at, so that the path alone decides.
"""

from __future__ import annotations

from contextlib import suppress
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    IPPROTO_TCP,
    SOCK_DGRAM,
    TCP_SYNCNT,
)
from typing import TYPE_CHECKING

from observatory.lab.faults import (
    DeadRoute,
    DeafNeighbour,
    Drop,
    Reject,
    Rejection,
    RouteType,
)
from observatory.lab.match import SYN, Match
from observatory.model import Protocol
from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations, answered, sent, timed

if TYPE_CHECKING:
    from socket import AddressFamily

    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

PORT = 7007
UDP = Match(Protocol.UDP)
IP_RECVERR = 11  # ip(7), of <linux/in.h>; Python has no name for it


def knock(actor: Actor, family: AddressFamily = AF_INET, tries: int | None = None) -> None:
    """Connect to the server's port, whatever comes of it. ``tries`` is TCP_SYNCNT."""
    actor.ask("listening")
    sock = actor.socket(family)
    if tries is not None:
        sock.setsockopt(IPPROTO_TCP, TCP_SYNCNT, tries)
    sock.connect_ex((actor.address("server", family), PORT))
    sock.close()
    actor.tell("done")


def listen_in_vain(actor: Actor, family: AddressFamily = AF_INET) -> None:
    """A server that nobody reaches."""
    listener = actor.socket(family)
    listener.bind((actor.address("server", family), PORT))
    listener.listen()
    actor.tell("listening")
    actor.ask("done")
    listener.close()


@behaviour(
    "connect-timeout-blackhole",
    section="4.3",
    title="connect() over a path that swallows every SYN",
    summary="The router drops SYNs in silence. connect() sends them again until TCP_SYNCNT is "
    "used up, and fails with ETIMEDOUT.",
    lab="routed",
    faults=(Drop(SYN.towards("server")),),
    slow=True,
    expects=Expectations(
        calls={"client": "setsockopt ok, connect ETIMEDOUT, close ok", "server": "listen ok"},
        causes=(sent("SYN", "connect", "client"), timed("SYN")),
        absent=("RST", "SYN-ACK", "ICMP"),
    ),
)
def connect_timeout_blackhole(stage: Stage) -> None:
    """A firewall that drops tells nobody. To the client a lost SYN and a dropped one look the
    same, so its kernel repeats the SYN (RFC 6298 5.7) and gives up after so many tries: 6 by
    default (tcp(7), tcp_syn_retries), here 2 by TCP_SYNCNT. UNP 4.3 saw 4.4BSD send SYNs after 0,
    6 and 24 seconds and give up at 75; Linux waits 1 second and doubles, after four tries a second
    apart that it does not count (tcp_syn_linear_timeouts, since 6.5).

    The captures tell more than the client can know: each SYN reached the router and went no
    further.
    """
    stage.play(server=listen_in_vain, client=lambda actor: knock(actor, tries=2))


@behaviour(
    "connect-timeout-default",
    section="4.3",
    title="connect() over a path that swallows every SYN, with the kernel's own patience",
    summary="The whole schedule of retransmitted SYNs until ETIMEDOUT, about two minutes: where "
    "UNP 4.3 tells of 6, 24 and 75 seconds.",
    lab="routed",
    faults=(Drop(SYN.towards("server")),),
    slow=True,
    takes_minutes=True,
    time_limit=300.0,
    expects=Expectations(
        calls={"client": "connect ETIMEDOUT, close ok"},
        causes=(sent("SYN", "connect", "client"), timed("SYN")),
        absent=("RST", "SYN-ACK", "ICMP"),
    ),
)
def connect_timeout_default(stage: Stage) -> None:
    """Nothing is set: tcp_syn_retries is 6, so that after the linear tries (a second apart) six
    more follow at doubling distances, and connect() gives up more than two minutes after the first
    SYN. The book's 75 seconds were 4.4BSD's connection-establishment timer.
    """

    def client(actor: Actor) -> None:
        actor.ask("listening")
        sock = actor.socket()
        sock.connect_ex((actor.address("server"), PORT))
        sock.close()
        actor.tell("done")

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind((actor.address(), PORT))
        listener.listen()
        actor.tell("listening")
        actor.ask("done", seconds=280.0)
        listener.close()

    stage.play(server=server, client=client)


@behaviour(
    "connect-host-unreachable",
    section="4.3",
    title="connect() to a host that is switched off",
    summary="Nobody answers the router's ARP requests, so it sends ICMP host unreachable; "
    "connect() fails with EHOSTUNREACH.",
    lab="routed",
    faults=(DeafNeighbour("server"),),
    slow=True,
    expects=Expectations(
        calls={"client": "connect EHOSTUNREACH, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("ICMP")),
        absent=("RST", "SYN-ACK"),
    ),
)
def connect_host_unreachable(stage: Stage) -> None:
    """The router holds the SYN and asks three times, a second apart, who has the server's
    address. Then it gives up and tells the sender of each SYN that it held (RFC 1812 5.2.7.1).
    UNP 4.3 calls such an ICMP a soft error, which the kernel remembers while it goes on sending;
    Linux ends a connect() in SYN-SENT with it (RFC 5461 tells why systems differ).
    """
    stage.play(server=listen_in_vain, client=knock)


@behaviour(
    "connect-net-unreachable",
    section="4.3",
    title="connect() to a network that the router does not know",
    summary="The router has no route and says so by ICMP; connect() fails with ENETUNREACH.",
    lab="routed",
    expects=Expectations(
        calls={"client": "connect ENETUNREACH, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("ICMP")),
        absent=("RST", "SYN-ACK"),
    ),
)
def connect_net_unreachable(stage: Stage) -> None:
    """The client's own table has a default route, so that the SYN leaves. The router has none, and
    answers with ICMP network unreachable (RFC 792 type 3 code 0), which quotes the SYN: by that
    the client's kernel finds the socket whose connect() fails.
    """

    def client(actor: Actor) -> None:
        sock = actor.socket()
        sock.connect_ex(("203.0.113.1", PORT))  # RFC 5737: nobody's
        sock.close()

    stage.play(client=client)


@behaviour(
    "connect-icmp-port-unreachable",
    section="4.3",
    title="connect() refused by ICMP instead of RST",
    summary="A firewall rejects the SYN with ICMP port unreachable; connect() fails with "
    "ECONNREFUSED though no RST came.",
    lab="routed",
    faults=(Reject(SYN.towards("server"), Rejection.PORT_UNREACHABLE),),
    expects=Expectations(
        calls={"client": "connect ECONNREFUSED, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("ICMP")),
        absent=("RST", "SYN-ACK"),
    ),
)
def connect_icmp_port_unreachable(stage: Stage) -> None:
    """Port unreachable is what a host says of UDP (RFC 1122 3.2.2.1), and what many a firewall says
    of TCP. Linux turns code 3 into ECONNREFUSED (icmp_err_convert), the same errno that a RST
    brings: only the wire shows which it was, and who spoke.
    """
    stage.play(server=listen_in_vain, client=knock)


@behaviour(
    "connect-admin-prohibited",
    section="4.3",
    title="connect() that a firewall prohibits, and says so",
    summary="The router answers with ICMP communication administratively prohibited; connect() "
    "fails with EHOSTUNREACH.",
    lab="routed",
    faults=(Reject(SYN.towards("server"), Rejection.ADMIN_PROHIBITED),),
    expects=Expectations(
        calls={"client": "connect EHOSTUNREACH, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("ICMP")),
        absent=("RST", "SYN-ACK"),
    ),
)
def connect_admin_prohibited(stage: Stage) -> None:
    """Code 13 of RFC 1812 5.2.7.1. Linux has no errno of its own for it: EHOSTUNREACH, "No route to
    host" (icmp_err_convert), though there is one. The ICMP message tells what the errno cannot.
    """
    stage.play(server=listen_in_vain, client=knock)


@behaviour(
    "connect-route-types",
    section="4.3",
    title="connect() where the local table says no: unreachable, prohibit, blackhole",
    summary="Three routes of the client's own make connect() fail at once, with three errnos, and "
    "no segment is sent.",
    lab="routed",
    expects=Expectations(
        calls={"client": "connect EHOSTUNREACH, close ok, connect EACCES, connect EINVAL"},
        absent=("any",),
    ),
)
def connect_route_types(stage: Stage) -> None:
    """A route may lead nowhere (ip-route(8)): type unreachable gives EHOSTUNREACH, prohibit EACCES,
    blackhole EINVAL. The look-up happens before a SYN is made, so that the wire stays silent: the
    same errno as after an ICMP message, without one.
    """

    def client(actor: Actor) -> None:
        for kind in (RouteType.UNREACHABLE, RouteType.PROHIBIT, RouteType.BLACKHOLE):
            route = DeadRoute(kind, "203.0.113.0/24", at="client")
            actor.fault(route)
            sock = actor.socket()
            sock.connect_ex(("203.0.113.1", PORT))
            sock.close()
            actor.mend(route)

    stage.play(client=client)


@behaviour(
    "udp-unreachable-routed",
    section="4.3",
    title="Datagrams that a router turns away",
    summary="A connected UDP socket is told of port unreachable, and of host unreachable only if "
    "it asks with IP_RECVERR; an unconnected one is told nothing.",
    lab="routed",
    expects=Expectations(
        calls={
            "client": "connect ok, send ok, poll ok, setsockopt ok, send ok, "
            "recv EHOSTUNREACH, close ok, connect ok, send ok, recv ECONNREFUSED, close ok, "
            "sendto ok, poll ok, close ok"
        },
        causes=(sent("UDP", "send", "client"), sent("UDP", "sendto", "client"), answered("ICMP")),
    ),
)
def udp_unreachable_routed(stage: Stage) -> None:
    """send() of a datagram says only that it was handed on. The error comes later, by ICMP, and
    belongs to whoever is connected to the address that it quotes (UNP 8.9, 8.11). Linux counts
    host unreachable among the soft errors (icmp_err_convert) and keeps it from a UDP socket that
    has not set IP_RECVERR (ip(7)); port unreachable is a hard one.
    """

    def client(actor: Actor) -> None:
        server = (actor.address("server"), PORT)
        unreachable = Reject(UDP.towards("server"), Rejection.HOST_UNREACHABLE)
        actor.fault(unreachable)
        sock = actor.socket(type=SOCK_DGRAM)
        sock.connect(server)
        ask(sock)
        sock.setsockopt(IPPROTO_IP, IP_RECVERR, 1)
        ask(sock)
        sock.close()
        actor.mend(unreachable)
        actor.fault(Reject(UDP.towards("server"), Rejection.PORT_UNREACHABLE))
        sock = actor.socket(type=SOCK_DGRAM)
        sock.connect(server)
        ask(sock)
        sock.close()
        sock = actor.socket(type=SOCK_DGRAM)
        sock.settimeout(0.3)
        sock.sendto(b"anybody?", server)
        with suppress(OSError):
            sock.recvfrom(100)
        sock.close()

    def ask(sock: InstrumentedSocket) -> None:
        sock.settimeout(0.3)
        sock.send(b"anybody?")
        with suppress(OSError):
            sock.recv(100)

    stage.play(client=client)


@behaviour(
    "ipv6-unreachable",
    section="4.3",
    title="connect() over IPv6 that routers turn away",
    summary="ICMPv6 no route, administratively prohibited and port unreachable end connect() with "
    "ENETUNREACH, EACCES and ECONNREFUSED.",
    lab="routed",
    expects=Expectations(
        calls={"client": "connect ENETUNREACH, connect EACCES, connect ECONNREFUSED"},
        causes=(sent("SYN", "connect", "client"), answered("ICMP")),
        absent=("RST", "SYN-ACK"),
    ),
)
def ipv6_unreachable(stage: Stage) -> None:
    """RFC 4443 3.1 has codes of its own, and Linux other errnos for them than for IPv4's
    (icmpv6_err_convert): prohibited is EACCES here and was EHOSTUNREACH there.
    """

    def client(actor: Actor) -> None:
        server = actor.address("server", AF_INET6)
        sock = actor.socket(AF_INET6)
        sock.connect_ex(("2001:db8:99::1", PORT))
        sock.close()
        for how in (Rejection.ADMIN_PROHIBITED, Rejection.PORT_UNREACHABLE):
            refusal = Reject(SYN, how)
            actor.fault(refusal)
            sock = actor.socket(AF_INET6)
            sock.connect_ex((server, PORT))
            sock.close()
            actor.mend(refusal)

    stage.play(client=client)


@behaviour(
    "connect-happy-eyeballs",
    section="4.3",
    title="localhost is ::1 and 127.0.0.1, and only one of them is served",
    summary="A client that tries the addresses of a name in turn is refused by ::1 at once and "
    "connects to 127.0.0.1.",
    expects=Expectations(
        calls={"client": "connect ECONNREFUSED, close ok, connect ok, close ok"},
        causes=(sent("SYN", "connect", "client"), answered("RST"), answered("SYN-ACK")),
    ),
)
def connect_happy_eyeballs(stage: Stage) -> None:
    """A name may have several addresses, and getaddrinfo() puts IPv6 first (RFC 6724). A socket
    that failed cannot take the next address, so that each attempt is a new one (UNP 4.3, 11.12).
    Here the first fails within microseconds; where it would time out instead, RFC 8305 lets the
    second begin before the first has failed.
    """

    def server(actor: Actor) -> None:
        listener = actor.socket()
        listener.bind(("127.0.0.1", PORT))
        listener.listen()
        actor.tell("listening")
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        listener.close()

    def client(actor: Actor) -> None:
        actor.ask("listening")
        for family, address in ((AF_INET6, "::1"), (AF_INET, "127.0.0.1")):
            sock = actor.socket(family)
            refused = sock.connect_ex((address, PORT))
            sock.close()
            if not refused:
                break

    stage.play(server=server, client=client)
