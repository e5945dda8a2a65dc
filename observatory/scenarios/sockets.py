"""UNP 4.2: socket() makes an endpoint of communication, and nothing else happens yet."""

from __future__ import annotations

from contextlib import suppress
from socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    IPPROTO_UDP,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from typing import TYPE_CHECKING

from observatory.scenarios.catalogue import behaviour
from observatory.scenarios.expectations import Expectations

if TYPE_CHECKING:
    from observatory.lab.actor import Actor
    from observatory.lab.stage import Stage

NO_FAMILY = 99
NO_TYPE = 11

POSSIBLE = tuple(
    (family, kind) for family in (AF_INET, AF_INET6, AF_UNIX) for kind in (SOCK_STREAM, SOCK_DGRAM)
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
