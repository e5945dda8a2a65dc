"""UNP 4.2: socket() makes an endpoint of communication, and nothing else happens yet."""

from __future__ import annotations

from contextlib import suppress
from socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SO_DOMAIN,
    SO_PROTOCOL,
    SO_TYPE,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
)
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage
    from observatory.sources.instrumented import InstrumentedSocket

NO_FAMILY = 99
NO_TYPE = 11

POSSIBLE = tuple(
    (family, kind) for family in (AF_INET, AF_INET6, AF_UNIX) for kind in (SOCK_STREAM, SOCK_DGRAM)
)
BY_NAME = tuple(
    (family, kind, protocol)
    for family in (AF_INET, AF_INET6)
    for kind, protocol in ((SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM, IPPROTO_UDP))
)
IMPOSSIBLE = (
    (NO_FAMILY, SOCK_STREAM, 0),  # no such family
    (AF_INET, NO_TYPE, 0),  # no such type
    (AF_INET, SOCK_SEQPACKET, 0),  # a type that this family does not have
    (AF_INET, SOCK_STREAM, IPPROTO_UDP),  # a protocol of another type
    (AF_UNIX, SOCK_STREAM, IPPROTO_UDP),  # a protocol of another family
    (AF_INET, SOCK_RAW, IPPROTO_UDP),  # possible, but not for everybody
)


@behaviour(
    "socket-families",
    section="4.2",
    title="socket(): which family, type and protocol go together",
    summary="IPv4, IPv6 and Unix each have a stream and a datagram socket; what does not go "
    "together fails, each mistake with an errno of its own.",
    expects=Expectations(
        calls={
            "program": ", ".join(
                [
                    "socket ok, close ok, " * len(POSSIBLE),
                    "socket EAFNOSUPPORT, socket EINVAL, socket ESOCKTNOSUPPORT",
                    "socket EPROTONOSUPPORT, socket EPROTONOSUPPORT, socket EPERM",
                ]
            )
        },
        absent=("any",),
    ),
)
def socket_families(stage: Stage) -> None:
    """Six combinations that everybody uses, then six that cannot be had (socket(2), UNP 4.2).

    socket() only makes the object in the kernel: it has no address and no peer, so nothing is
    sent, and neither does close() have anybody to tell. The descriptor is always the lowest free
    number: each socket here gets the one that the socket before it has given back.

    A raw socket is possible, but it takes CAP_NET_RAW (raw(7)), which nobody has on this stage,
    root included.
    """

    def program(actor: Actor) -> None:
        for family, kind in POSSIBLE:
            sock = actor.socket(family, kind)
            sock.close()
        for combination in IMPOSSIBLE:
            with suppress(OSError):
                actor.socket(*combination)

    stage.play(program=program)


@behaviour(
    "socket-default-protocol",
    section="4.2",
    title="socket() with protocol 0",
    summary="The kernel chooses the protocol: SO_PROTOCOL says TCP for a stream and UDP for "
    "datagrams, as if they had been asked for by name.",
    expects=Expectations(
        calls={
            "program": "socket ok, getsockopt ok, getsockopt ok, getsockopt ok, bind ok, "
            "getsockname ok, close ok, "
            * len(POSSIBLE)
            + "socket ok, getsockopt ok, getsockopt ok, getsockopt ok, close ok, " * len(BY_NAME),
        },
        absent=("any",),
    ),
)
def socket_default_protocol(stage: Stage) -> None:
    """socket(2): "Normally only a single protocol exists to support a particular socket type
    within a given protocol family, in which case protocol can be specified as 0". What the kernel
    made of it, SO_DOMAIN, SO_TYPE and SO_PROTOCOL tell (socket(7)): 6 is TCP, 17 is UDP, and a
    Unix socket has no protocol, 0.

    The headers have two sets of names, PF_ for socket()'s first argument, AF_ for what stands in
    addresses (UNP 4.2). SO_DOMAIN and the bound address show that to the kernel both are one
    number.
    """

    def ask(sock: InstrumentedSocket) -> None:
        for option in (SO_DOMAIN, SO_TYPE, SO_PROTOCOL):
            sock.getsockopt(SOL_SOCKET, option)

    def program(actor: Actor) -> None:
        names = {AF_INET: ("127.0.0.1", 0), AF_INET6: ("::1", 0)}
        for family, kind in POSSIBLE:
            sock = actor.socket(family, kind)
            ask(sock)
            sock.bind(names.get(family, str(actor.folder / f"socket.{kind}")))
            sock.getsockname()
            sock.close()
        for combination in BY_NAME:
            sock = actor.socket(*combination)
            ask(sock)
            sock.close()

    stage.play(program=program)
