"""Which socket is at each end of each conversation.

An active open is found by its ports and by its SYN, which the kernel sends inside connect();
a passive one by the names that accept() gave the new socket. Both are facts about endpoints
and descriptor lifetimes. Where a port is not known, time alone picks, and the match says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from observatory.analysis.callsets import SENDING
from observatory.analysis.descriptors import Descriptors
from observatory.analysis.doubts import merged_lives
from observatory.analysis.lives import SocketLife
from observatory.analysis.naming import FOREVER as FOREVER
from observatory.analysis.naming import learn, told_between
from observatory.analysis.naming import local_endpoint as local_endpoint
from observatory.analysis.opens import ENDS_THE_ATTEMPT, Opens, dissolves
from observatory.analysis.opens import SLACK_NS as SLACK_NS
from observatory.analysis.opens import opening_peer as opening_peer
from observatory.analysis.wire import Conversation, Half, Sighting, Wire
from observatory.model import Call, Endpoint, parse_address

# An accept() that returned at once took much less.
_ASLEEP_NS = 1_000_000


@dataclass(slots=True)
class Matching:
    """The join. ``half_at`` maps a (call, socket) to the half of the conversation that the
    socket had when the call was made; ``calls_of`` is the reverse for one half; ``opened_by``
    maps a SYN's segment id to the call that sent it. ``tie_broken`` holds the halves whose socket
    time alone picked."""

    half_at: dict[tuple[int, int], Half] = field(default_factory=dict)
    calls_of: dict[Half, list[Call]] = field(default_factory=dict)
    opened_by: dict[int, Call] = field(default_factory=dict)
    accepted_by: dict[int, Call] = field(default_factory=dict)
    tie_broken: set[Half] = field(default_factory=set)
    listeners: Listeners = field(default_factory=lambda: Listeners(()))


@dataclass(frozen=True, slots=True)
class Listening:
    """The time in which a socket listened at an endpoint."""

    socket: int
    endpoint: Endpoint
    dual_stack: bool
    from_ns: int
    until_ns: int


class Listeners:
    """Listening sockets by port."""

    def __init__(self, lives: Iterable[SocketLife]) -> None:
        self._by_port: dict[int, list[Listening]] = {}
        for life in lives:
            listening = _listening(life)
            if listening:
                self._by_port.setdefault(listening.endpoint.port, []).append(listening)

    def at(self, endpoint: Endpoint, time_ns: int) -> list[Listening]:
        """Those that a SYN to ``endpoint`` at that time may have reached, exact address first."""
        found = [
            one
            for one in self._by_port.get(endpoint.port, ())
            if one.from_ns - SLACK_NS <= time_ns <= one.until_ns + SLACK_NS
            and _covers(one, endpoint.address)
        ]
        return sorted(found, key=lambda one: one.endpoint.is_wildcard)


def match(descriptors: Descriptors, wire: Wire, *, lossy: bool = False) -> Matching:
    """Join sockets with conversations; fills ``Half.socket`` and ``Conversation.listener``."""
    lives = descriptors.sockets
    result = Matching(listeners=Listeners(lives.values()))
    opens = Opens(wire)
    opens.settle(lives.values(), lossy=lossy)
    answers = _Answers(wire)
    for life in lives.values():
        if life.is_tcp and life.listener is None:
            _follow_active(life, life.calls, opens, result)
    _match_accepted(descriptors, answers, opens, result)
    _match_unnamed(descriptors, answers, result)
    for life in lives.values():
        if life.created_by is None and life.is_tcp and life.calls:
            _match_preexisting(life, answers, result)
    result.tie_broken |= merged_lives(lives.values(), wire, lossy=lossy)
    result.listeners = Listeners(lives.values())
    for conversation in wire.conversations:
        _find_listener(conversation, result)
        _defer(conversation, lives)
        _ignore(conversation, result)
    return result


def _listening(life: SocketLife) -> Listening | None:
    listen = next((c for c in life.named("listen") if not c.failed), None)
    if listen is None or not life.is_tcp:
        return None
    endpoint = local_endpoint(life, FOREVER)
    if endpoint is None:
        return None
    options = life.named("setsockopt")
    only_v6 = any(c.args.get("option") == "IPV6_V6ONLY" and c.args.get("value") for c in options)
    until = life.gone_ns or FOREVER
    stops = life.shut_reading(until)
    if stops is not None and stops.entered_ns > listen.entered_ns:
        until = stops.returned_ns or stops.entered_ns
    dual = endpoint.address == "::" and not only_v6
    return Listening(life.id, endpoint, dual, listen.entered_ns, until)


def takes(one: Listening, endpoint: Endpoint) -> bool:
    """A connection to ``endpoint`` reaches the listener."""
    return one.endpoint.port == endpoint.port and _covers(one, endpoint.address)


def _covers(one: Listening, address: str) -> bool:
    if one.endpoint.address == address or one.dual_stack:
        return True
    return one.endpoint.is_wildcard and (":" in address) == (":" in one.endpoint.address)


class _Answers:
    """Conversations by (client, server), oldest first; each is accepted once."""

    def __init__(self, wire: Wire) -> None:
        self._by_flow: dict[tuple[Endpoint, Endpoint], list[Conversation]] = {}
        self._flows_of: dict[Endpoint, list[Endpoint]] = {}
        for conversation in wire.conversations:
            flow = (conversation.client.sender, conversation.server.sender)
            if flow not in self._by_flow:
                self._flows_of.setdefault(flow[0], []).append(flow[1])
            self._by_flow.setdefault(flow, []).append(conversation)
        self._lives = {flow: len(lives) for flow, lives in self._by_flow.items()}

    def accepted(
        self, client: Endpoint, servers: Iterable[Endpoint], accept: Call
    ) -> list[Conversation]:
        """Those that the accept may have returned, oldest first; the oldest is used up."""
        by_ns = accept.returned_ns or FOREVER  # a packet is stamped before it is delivered
        possible: list[Conversation] = []
        for server in servers:
            waiting = self._by_flow.get((client, server), [])
            begun = takewhile(lambda c: c.sightings[0].time_ns <= by_ns, waiting)
            possible += [one for one in begun if _may_return(accept, one)]
        possible.sort(key=lambda conversation: conversation.id)
        # One whose handshake was not seen to be done is returned only if no other can be.
        found = [one for one in possible if _is_done(one, by_ns)] or possible
        if found:
            self._by_flow[(client, found[0].server.sender)].remove(found[0])
        return found

    def untaken(self) -> dict[int, deque[Conversation]]:
        """Those that no accept has taken, by the server's port, in the order in which they were
        complete."""
        by_port: dict[int, deque[Conversation]] = {}
        left = [one for flow in self._by_flow.values() for one in flow]
        for one in sorted(left, key=_done_ns):
            by_port.setdefault(one.server.sender.port, deque()).append(one)
        return by_port

    def servers(self, client: Endpoint, listening: Listening | None) -> list[Endpoint]:
        """The endpoints towards which ``client`` had connections, of those that a listener
        takes; of all, where it is not known at which one it listens."""
        to = self._flows_of.get(client, [])
        return [one for one in to if listening is None or takes(listening, one)]

    def reused(self, conversation: Conversation) -> bool:
        """Whether the four-tuple had other lives."""
        return self._lives[(conversation.client.sender, conversation.server.sender)] > 1

    def any_between(self, one: Endpoint, other: Endpoint, at_ns: int) -> Conversation | None:
        found = None
        for flow in ((one, other), (other, one)):
            for conversation in self._by_flow.get(flow, ()):
                older = found is None and not conversation.began_with_syn
                if conversation.sightings[0].time_ns <= at_ns or older:
                    found = conversation
        return found


def _is_done(conversation: Conversation, by_ns: int) -> bool:
    """The handshake was complete by then; with Fast Open its SYN's data is enough (RFC 7413)."""
    done, syns = conversation.establishing, conversation.client.syns
    came = done is not None and done.arrived_ns <= by_ns
    return came or any(s.segment.length for s in syns[:1])


def _done_ns(conversation: Conversation) -> int:
    done = conversation.establishing
    return conversation.sightings[0].time_ns if done is None else done.arrived_ns


def _may_return(accept: Call, conversation: Conversation) -> bool:
    """An attempt that never got its SYN-ACK was not accepted, and one whose server sent a FIN
    or RST before had been accepted earlier, by a call that was not recorded."""
    ends = (*conversation.server.fins[:1], *conversation.server.resets[:1])
    closed = any(end.time_ns < accept.entered_ns for end in ends)
    return not closed and bool(conversation.server.syns or not conversation.began_with_syn)


def _follow_active(life: SocketLife, calls: Iterable[Call], opens: Opens, result: Matching) -> None:
    """Walk a socket's calls, changing its conversation at each connect that sent a SYN."""
    current: Half | None = None
    attempt_over = False
    for call in calls:
        peer = opening_peer(call)
        if dissolves(call):
            _assign(call, life, current, result)
            current = None
            continue
        if peer is not None:
            syn = opens.by_call.get(call.id)
            if syn is not None:
                current = syn.half
                current.socket = life.id
                result.opened_by[syn.id] = _opener(life, call, syn)
                if syn.id in opens.doubtful:
                    result.tie_broken.add(current)
            elif attempt_over:
                current = None
            attempt_over = call.errno in ENDS_THE_ATTEMPT
        _assign(call, life, current, result)


def _opener(life: SocketLife, call: Call, syn: Sighting) -> Call:
    """The call that sent the SYN: one with data was sent by a send, after a deferred connect."""
    if call.name != "connect" or not syn.segment.length:
        return call
    sends = (c for c in life.named(*SENDING) if c.entered_ns > call.entered_ns)
    return next(sends, call)


def _assign(call: Call, life: SocketLife, half: Half | None, result: Matching) -> None:
    if half is not None:
        result.half_at[(call.id, life.id)] = half
        result.calls_of.setdefault(half, []).append(call)


def _match_accepted(
    descriptors: Descriptors, answers: _Answers, opens: Opens, result: Matching
) -> None:
    lives = [life for life in descriptors.sockets.values() if life.listener is not None]
    for life in sorted(lives, key=lambda one: one.created_ns):
        if not life.is_tcp or not life.calls:
            continue
        accept = life.calls[0]
        if not isinstance(accept.peer, Endpoint):
            continue
        client = accept.peer.on_the_wire()
        servers = _own_names(life, client, descriptors, answers)
        found = answers.accepted(client, servers, accept)
        if not found:
            continue
        conversation = found[0]
        if len(found) > 1:
            result.tie_broken.add(conversation.server)
        elif accept.local is None:
            own = conversation.server.sender
            learn(life, accept.entered_ns, own)
            _learn_listener(descriptors.sockets[life.listener or 0], own)
        conversation.server.socket = life.id
        conversation.listener = life.listener
        result.accepted_by[conversation.id] = accept
        for index, call in enumerate(life.calls, 1):
            _assign(call, life, conversation.server, result)
            if dissolves(call):
                _follow_active(life, life.calls[index:], opens, result)
                break


def _match_unnamed(descriptors: Descriptors, answers: _Answers, result: Matching) -> None:
    """accept() with a null pointer tells no peer. The queue gives out the oldest (accept(2)): of
    the connections that no other call took, the first that was complete; for certain only where
    there is no other."""
    untaken = answers.untaken()
    lives = descriptors.sockets.values()
    unnamed = [life for life in lives if life.listener is not None and life.is_tcp and life.calls]
    for life in sorted(unnamed, key=lambda one: one.created_ns):
        accept = life.calls[0]
        listener = descriptors.sockets.get(life.listener or 0)
        listening = _listening(listener) if listener else None
        if accept.peer is not None or listening is None:
            continue
        queue = untaken.get(listening.endpoint.port, deque())
        while queue and not _may_return(accept, queue[0]):
            queue.popleft()
        by_ns = accept.returned_ns or FOREVER
        if not queue or not _is_done(queue[0], by_ns):
            continue
        conversation = queue.popleft()
        if queue and _is_done(queue[0], by_ns):
            result.tie_broken.add(conversation.server)
        conversation.server.socket = life.id
        conversation.listener = life.listener
        result.accepted_by[conversation.id] = accept
        for call in life.calls:
            _assign(call, life, conversation.server, result)


def _learn_listener(listener: SocketLife, server: Endpoint) -> None:
    """A port that bind() left to the kernel, or that no call told."""
    if local_endpoint(listener, FOREVER) is None:
        named = (parse_address(c.args.get("address")) for c in listener.named("bind"))
        host = next((one.address for one in named if isinstance(one, Endpoint)), None)
        wildcard = "::" if listener.family == "AF_INET6" else "0.0.0.0"
        learn(listener, listener.created_ns, Endpoint(host or wildcard, server.port))


def _own_names(
    life: SocketLife, client: Endpoint, descriptors: Descriptors, answers: _Answers
) -> list[Endpoint]:
    """What an accepted socket's own endpoint may be: what a call told, else one at which its
    listener listens and to which its peer had a connection."""
    told = told_between(life, 0, FOREVER)
    if told is not None:
        return [told]
    listener = descriptors.sockets.get(life.listener or 0)
    return answers.servers(client, _listening(listener) if listener else None)


def _match_preexisting(life: SocketLife, answers: _Answers, result: Matching) -> None:
    """A socket older than the trace: both its names, told by any call, find its conversation."""
    for call in life.calls:
        if isinstance(call.local, Endpoint) and isinstance(call.peer, Endpoint):
            local, peer = call.local.on_the_wire(), call.peer.on_the_wire()
            conversation = answers.any_between(local, peer, call.returned_ns or call.entered_ns)
            if conversation is None:
                return
            half = conversation.client
            if half.sender != local:
                half = conversation.server
            if half.socket is None:
                half.socket = life.id
                if answers.reused(conversation):
                    result.tie_broken.add(half)
                for other in life.calls:
                    _assign(other, life, half, result)
            return


def _defer(conversation: Conversation, lives: Mapping[int, SocketLife]) -> None:
    """With TCP_DEFER_ACCEPT the handshake's last ACK does not count until data comes (tcp(7))."""
    listener = lives.get(conversation.listener or 0)
    done = conversation.establishing
    if (
        listener is None
        or done is None
        or not any(
            c.args.get("option") == "TCP_DEFER_ACCEPT" and c.args.get("value") and c.succeeded
            for c in listener.named("setsockopt")
            if c.entered_ns <= done.arrived_ns
        )
    ):
        return
    carriers = conversation.client.carriers
    if carriers and carriers[0].id > done.id:
        conversation.establishing = carriers[0]


def _ignore(conversation: Conversation, result: Matching) -> None:
    """A last ACK that found the accept queue full was dropped, where the accept() that took the
    connection was called later and slept: what came then completed the handshake."""
    accept, done = result.accepted_by.get(conversation.id), conversation.establishing
    if accept is None or done is None or len(conversation.server.syns) < 2:
        return
    slept_ns = (accept.returned_ns or 0) - accept.entered_ns
    if min(slept_ns, accept.entered_ns - done.arrived_ns) < _ASLEEP_NS:
        return
    came = conversation.arriving(
        conversation.server, accept.entered_ns, accept.returned_ns or FOREVER
    )
    conversation.establishing = next(
        (one for one in came if (one.ack or 0) >= 1 and "R" not in one.segment.flags), done
    )


def _find_listener(conversation: Conversation, result: Matching) -> None:
    if conversation.listener is not None or not conversation.began_with_syn:
        return
    first = conversation.sightings[0]
    found = result.listeners.at(conversation.server.sender, first.time_ns)
    # Those bound to the address itself come first; of several that share it (SO_REUSEPORT) any
    # may be the one.
    exact = [one for one in found if not one.endpoint.is_wildcard] or found
    if len(exact) == 1:
        conversation.listener = exact[0].socket
