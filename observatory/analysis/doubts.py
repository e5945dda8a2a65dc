"""Where a match by names may be wrong because packets are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from observatory.analysis.callsets import ACCEPTING
from observatory.analysis.lives import SocketLife
from observatory.analysis.wire import Half, Wire
from observatory.model import Endpoint

Flow = tuple[Endpoint, Endpoint]


def merged_lives(lives: Iterable[SocketLife], wire: Wire, *, lossy: bool) -> set[Half]:
    """The halves whose socket may be another life's of the same four-tuple.

    More sockets name a four-tuple than the wire shows lives of it: the capture lost the handshake
    of one, whose segments now stand in the life before. A capture that is known to have lost
    packets may have lost one and split another, so there any port used again is in doubt.
    """
    told: Counter[Flow] = Counter()
    for life in lives:
        if life.is_tcp:
            told.update(_named(life))
    seen: Counter[Flow] = Counter()
    for conversation in wire.conversations:
        client, server = conversation.client.sender, conversation.server.sender
        seen.update({(client, server), (server, client)})
    return {
        half
        for conversation in wire.conversations
        for half in (conversation.client, conversation.server)
        for flow in [(half.sender, conversation.opposite(half).sender)]
        if told[flow] > (1 if lossy else seen[flow])
    }


def _named(life: SocketLife) -> set[Flow]:
    """The four-tuples, own end first, that the kernel named after the socket's calls."""
    flows: set[Flow] = set()
    for call in life.calls:
        # accept() tells the new socket's names, not the listener's.
        if call.name in ACCEPTING and call.id != life.created_by:
            continue
        if isinstance(call.local, Endpoint) and isinstance(call.peer, Endpoint):
            flows.add((call.local.on_the_wire(), call.peer.on_the_wire()))
    return flows
