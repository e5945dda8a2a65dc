"""Connections and sockets in words, and what the wire alone says about the callers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from observatory.analysis.completions import Joined, completed_by
from observatory.analysis.datagrams import describe_icmp
from observatory.analysis.descriptors import Descriptors
from observatory.analysis.machine import CLOSE, CLOSED, SYN_SENT, USER_TIMEOUT, advance
from observatory.analysis.matching import FOREVER, local_endpoint
from observatory.analysis.scene import Findings
from observatory.analysis.states import state_paths
from observatory.analysis.steps import steps
from observatory.analysis.wire import Conversation, Half, Kind
from observatory.analysis.witness import Witnessed
from observatory.analysis.witness_states import listener_path
from observatory.model import (
    CauseKind,
    Connection,
    ExplainedCall,
    Socket,
    Trace,
)

# With these connect() is over; with EINTR, EINPROGRESS or EALREADY the attempt goes on.
FATAL_ERRORS = frozenset({"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPROTO"})

# Bits of completeness, as Wireshark's tcp.completeness counts them, in the order of a life.
_PHASES = ("SYN", "SYN-ACK", "ACK", "DATA", "FIN", "RST")


def connections(
    joined: Joined,
    explained: tuple[ExplainedCall, ...],
    findings: Findings,
    dropped: Collection[int] = (),
) -> tuple[Connection, ...]:
    """Every conversation as a connection: how it opened and closed, states, bytes each way."""
    calls: dict[int, list[int]] = defaultdict(list)
    for one in explained:
        if one.connection is not None:
            calls[one.connection].append(one.call.id)
    return tuple(
        _connection(joined, conversation, tuple(calls.get(conversation.id, ())), findings, dropped)
        for conversation in joined.wire.conversations
    )


def _connection(
    joined: Joined,
    conversation: Conversation,
    calls: tuple[int, ...],
    findings: Findings,
    dropped: Collection[int],
) -> Connection:
    client, server = conversation.client, conversation.server
    paths = state_paths(
        steps(conversation, dropped),
        same_endpoint=conversation.is_self_connected,
        listening=conversation.listener is not None or not joined.descriptors.sockets,
        accepted=conversation.id in joined.matching.accepted_by,
    )
    client_states = _ended_without_a_segment(joined, client, paths.client)
    server_states = _ended_without_a_segment(joined, server, paths.server)
    stray = _is_stray(joined, conversation)
    repeated = sum(
        s.original is not None and not s.fresh and s.kind is not Kind.COPY
        for s in conversation.sightings
    )
    return Connection(
        id=conversation.id,
        client=client.sender,
        server=server.sender,
        opened=_opened(joined, conversation),
        closed=_closed(joined, conversation, findings),
        client_states=(CLOSED,) if stray else client_states,
        server_states=(CLOSED,) if stray else server_states,
        segments=tuple(s.id for s in conversation.sightings),
        calls=calls,
        client_bytes=_came(client),
        server_bytes=0 if conversation.is_self_connected else _came(server),
        retransmissions=repeated,
        complete=" ".join(_phases(conversation)),
    )


def _came(half: Half) -> int:
    """Bytes that came to the other end; where their way was not seen, that were sent."""
    return sum(last - first for first, last, _ in half.deliveries)


def _ended_without_a_segment(joined: Joined, half: Half, path: tuple[str, ...]) -> tuple[str, ...]:
    """What only the calls show to be over: the kernel gave up, or connect() was given up."""
    life = joined.descriptors.sockets.get(half.socket or 0)
    if life is None or not path:
        return path
    calls = joined.matching.calls_of.get(half, ())
    if any(call.errno == "ETIMEDOUT" for call in calls):
        return advance(path, USER_TIMEOUT)
    if path[-1] != SYN_SENT:
        return path
    # An ICMP error, which is no segment of the connection, ends the attempt as well.
    failed = any(c.name == "connect" and c.errno in FATAL_ERRORS for c in calls)
    return advance(path, CLOSE) if failed or life.closed_ns is not None else path


def _opened(joined: Joined, conversation: Conversation) -> str:
    client, server = conversation.client, conversation.server
    if _is_stray(joined, conversation):
        return "never: a segment for no connection"
    if not conversation.began_with_syn:
        return "open before the capture began"
    call = joined.matching.opened_by.get(client.syns[0].id) if client.syns else None
    by = f" by {call.name}() c{call.id}" if call else ""
    if conversation.is_self_connected:
        return f"connected to itself{by}"
    if server.syns and "A" not in server.syns[0].segment.flags:
        return f"simultaneous open{by}"
    if server.syns and conversation.establishing is not None:
        accept = joined.matching.accepted_by.get(conversation.id)
        taken = f", accepted by {accept.name}() c{accept.id}" if accept else ""
        return f"active open{by}{taken}"
    if server.syns:
        return f"active open{by}, handshake not finished"
    if server.resets:
        return f"active open{by}, refused by RST #{server.resets[0].id}"
    messages = joined.mail.errors.get(client.socket or 0, ())
    about = [m for m in messages if joined.mail.quotes.get(m.id) in {s.id for s in client.syns}]
    if about and (call is None or call.errno in FATAL_ERRORS):
        ended = completed_by(joined, call) if call is not None else ()
        last = next((m for m in about if m.id in ended), about[-1])
        return f"active open{by}, refused by ICMP #{last.id} ({describe_icmp(last)})"
    return f"active open{by}, never answered"


def _is_stray(joined: Joined, conversation: Conversation) -> bool:
    """One segment, answered by RST at once, and no recorded socket at either end: there was no
    connection. Without calls its sender may have had one (half-open)."""
    if not joined.descriptors.sockets:
        return False
    halves = {s.half for s in conversation.sightings if not s.half.resets}
    strays = [s for s in conversation.sightings if "R" not in s.segment.flags]
    reset_by_reply = any(
        s.ack is None for half in (conversation.client, conversation.server) for s in half.resets
    )
    no_socket = conversation.client.socket is None and conversation.server.socket is None
    alone = not conversation.began_with_syn and len(halves) == 1 and len(strays) == 1
    return alone and reset_by_reply and no_socket


def _closed(joined: Joined, conversation: Conversation, findings: Findings) -> str:
    client, server = conversation.client, conversation.server
    resets = sorted([*client.resets, *server.resets], key=lambda s: s.id)
    if conversation.is_self_connected:
        resets = client.resets
    if resets and not server.syns and not server.carriers and server.resets:
        return "never opened"
    if _is_stray(joined, conversation):
        return "never opened"
    if resets:
        first = resets[0]
        who = "client" if first.half is client else "server"
        cause = findings.causes[first.id]
        how = "aborted" if cause.kind is not CauseKind.REPLY else "reset"
        return f"{how} by the {who}'s RST #{first.id}"
    ended = [half for half in (client, server) if half.fins]
    if not server.syns and conversation.began_with_syn and not conversation.is_self_connected:
        return "never opened"
    if len(ended) == 2:
        return _orderly(conversation)
    if ended:
        side = "client" if ended[0] is client else "server"
        return f"half-closed by the {side}'s FIN #{ended[0].fins[0].id}"
    return "still open when the capture ended"


def _orderly(conversation: Conversation) -> str:
    client, server = conversation.client, conversation.server
    if conversation.is_self_connected:
        return f"orderly, FIN #{client.fins[0].id}"
    if conversation.closes_crossed:
        return "orderly, both at once"
    first = "client" if client.fins[0].id < server.fins[0].id else "server"
    both_acked = all(_fin_acknowledged(conversation, half) for half in (client, server))
    return f"orderly, {first} first" + ("" if both_acked else ", last FIN not acknowledged")


def _fin_acknowledged(conversation: Conversation, half: Half) -> bool:
    return any(
        s.half is not half and half.fin_at is not None and (s.ack or 0) > half.fin_at
        for s in reversed(conversation.sightings)
    )


def _phases(conversation: Conversation) -> list[str]:
    client, server = conversation.client, conversation.server
    answers = [s for s in (*server.syns, *client.syns) if "A" in s.segment.flags]
    shown = (
        any("A" not in s.segment.flags for s in (*client.syns, *server.syns)),
        bool(answers),
        any(s.ack is not None and "S" not in s.segment.flags and "R" not in s.segment.flags
            for s in conversation.sightings),
        bool(client.carriers or server.carriers),
        bool(client.fins or server.fins),
        bool(client.resets or server.resets),
    )  # fmt: skip
    return [phase for phase, seen in zip(_PHASES, shown, strict=True) if seen]


def sockets(descriptors: Descriptors, witnessed: Witnessed) -> tuple[Socket, ...]:
    """The lives of all sockets as values."""
    return tuple(
        Socket(
            id=life.id,
            family=life.family,
            type=life.type,
            created_by=life.created_by,
            closed_by=life.closed_by,
            local=local_endpoint(life, FOREVER)
            or next((c.local for c in life.calls if c.local), None),
            peer=next((c.peer for c in reversed(life.calls) if c.peer), None),
            pids=tuple(life.pids),
            kernel=listener_path(witnessed, life.id),
        )
        for life in descriptors.sockets.values()
    )


def notes(trace: Trace, joined: Joined, findings: Findings) -> tuple[str, ...]:
    """What a reader must know of the whole: losses, and for a capture without calls what the
    wire says about them."""
    found = list(trace.defects)
    if trace.dropped:
        found.append(
            f"The capture lost {trace.dropped} packets: replies and timers are told as likely, not "
            "certain."
        )
    found += _beyond_sight(trace)
    if not trace.calls and joined.wire.conversations:
        found += [_told_by_wire(conversation) for conversation in joined.wire.conversations[:200]]
    return tuple(found)


def _beyond_sight(trace: Trace) -> list[str]:
    """Ways for a descriptor to come into a process that no number in a call tells."""
    done = [c for c in trace.calls if c.succeeded]
    fetched = [c.id for c in done if c.name == "pidfd_getfd" and not c.args.get("of")]
    followed = any(c.args.get("rights_of") for c in done)
    passed = [
        c.id
        for c in done
        if c.args.get("rights")
        and not c.args.get("rights_of")
        and not (followed and c.name == "sendmsg")
    ]
    told = []
    if fetched:
        told.append(
            f"{_listed(fetched)} fetched descriptors of another process (pidfd_getfd): whose "
            "sockets they name is not known."
        )
    if passed:
        told.append(
            f"{_listed(passed)} passed descriptors between processes (SCM_RIGHTS): which sockets "
            "the numbers in the other process name is not known."
        )
    return told


def _listed(calls: list[int]) -> str:
    some = ", ".join(f"c{number}" for number in calls[:4])
    return some + (f" and {len(calls) - 4} more calls" if len(calls) > 4 else "")


def _told_by_wire(conversation: Conversation) -> str:
    """What the callers of a connection must have seen, from its packets alone."""
    client, server = conversation.client, conversation.server
    name = f"{client.sender} to {server.sender}: "
    if not conversation.began_with_syn:
        return name + "was open when the capture began; how it opened is not known."
    syn = f"#{client.syns[0].id}" if client.syns else "not captured"
    if not server.syns and server.resets and not conversation.is_self_connected:
        return name + f"connect() failed with ECONNREFUSED (SYN {syn}, RST #{server.resets[0].id})."
    if not server.syns and not conversation.is_self_connected:
        again = len(client.syns) - 1
        return name + (
            f"SYN {syn} was never answered, sent again {again} times: connect() waited, and if "
            "nothing else came failed with ETIMEDOUT."
        )
    told = f"connect() succeeded when SYN-ACK #{server.syns[0].id} came" if server.syns else "open"
    return name + told + _end_by_wire(conversation)


def _end_by_wire(conversation: Conversation) -> str:
    client, server = conversation.client, conversation.server
    ends = []
    for who, half in (("client", client), ("server", server)):
        peer = "server" if half is client else "client"
        if half.resets:
            ends.append(
                f"the {who}'s RST #{half.resets[0].id} made the {peer}'s next call fail with "
                "ECONNRESET or EPIPE"
            )
        elif half.fins:
            ends.append(f"the {who}'s FIN #{half.fins[0].id} was EOF to the {peer}'s recv()")
    return "; " + "; ".join(ends) + "." if ends else "; it was open when the capture ended."
