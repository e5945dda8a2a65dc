"""Rules for a connect() that is settled inside this host: no peer is asked."""

from __future__ import annotations

from observatory.analysis.matching import local_endpoint, opening_peer
from observatory.analysis.rule import Rule, names, outcomes
from observatory.analysis.view import YES, Because, View
from observatory.model import Endpoint, UnixAddress

_CONNECT = names("connect")


def _is_udp(view: View) -> Because | None:
    return YES if view.life and view.life.is_udp else None


def _is_unix(view: View) -> Because | None:
    return YES if isinstance(view.address, UnixAddress) else None


def _dissolves(view: View) -> Because | None:
    return YES if view.call.args.get("address") == "AF_UNSPEC" else None


def _dissolves_with_reset(view: View) -> Because | None:
    return YES if _dissolves(view) and view.sent else None


def _sent_nothing(view: View) -> Because | None:
    return None if view.sent or view.completed_by else YES


def _no_free_port(view: View) -> Because | None:
    """No address was wrong: the local end was left to the kernel and it found no port."""
    life = view.life
    if view.sent or life is None or not isinstance(view.address, Endpoint):
        return None
    bound = [c for c in view.earlier("bind") if c.succeeded]
    if bound or view.address.port == 0:
        return None
    others = [
        c.id
        for other in view.joined.descriptors.sockets.values()
        if other.id != life.id
        for c in other.calls
        if c.name == "connect" and c.succeeded and c.args.get("address") == str(view.address)
    ]
    if not others:
        return None
    return Because({"others": len(others)}, tuple(others[:8]))


def _same_connection(view: View) -> Because | None:
    """The socket is bound, and another one has the connection that this one would make."""
    life, own, peer = view.life, view.local, view.address
    if life is None or not isinstance(own, Endpoint) or not isinstance(peer, Endpoint):
        return None
    bound = [c for c in view.earlier("bind") if c.succeeded]
    for other in view.joined.holders.get(own.port, ()) if bound else ():
        over = other.closed_ns is not None and other.closed_ns < view.call.entered_ns
        if other is life or over or local_endpoint(other, view.call.entered_ns) != own:
            continue
        for call in other.calls:
            if opening_peer(call) == peer.on_the_wire() and call.entered_ns < view.call.entered_ns:
                facts = {"own": own, "other": f"c{call.id}"}
                return Because(facts, (bound[-1].id, call.id))
    return None


def _nobody_behind(view: View) -> Because | None:
    """An AF_UNIX path that is there, without a listener behind it: whose it is or was."""
    if not isinstance(view.address, UnixAddress):
        return None
    text = str(view.address)
    for life in view.joined.descriptors.sockets.values() if view.life else ():
        binds = [c for c in life.calls if c.name == "bind" and c.args.get("address") == text]
        binds = [c for c in binds if c.succeeded and c.entered_ns < view.call.entered_ns]
        if binds and life.is_unix:
            made = f"bind() c{binds[0].id} made the file"
            gone = life.closed_ns is not None and life.closed_ns < view.call.entered_ns
            if gone and life.closed_by is not None:
                told = f"{made}, c{life.closed_by} closed its socket, and closing leaves the file"
                return Because({"whose": told}, (binds[0].id, life.closed_by))
            listens = any(c.name == "listen" for c in life.calls)
            told = f"{made}, but its socket " + ("takes no more" if listens else "does not listen")
            return Because({"whose": told}, (binds[0].id,))
    return Because({"whose": "whoever bound it has gone and left the file, or never listened"})


CONNECT_RULES: tuple[Rule, ...] = (
    Rule(
        "connect-dissolved-by-reset", _CONNECT, outcomes(),
        "connect() to AF_UNSPEC dissolved the connection: TCP has no orderly way to do that at "
        "once, so the kernel aborted it with RST {sent}. The socket can connect again.",
        "connect(2); Linux net/ipv4/tcp.c tcp_disconnect; UNP 8.11", _dissolves_with_reset),
    Rule(
        "connect-dissolved", _CONNECT, outcomes(),
        "connect() to AF_UNSPEC took the peer's address from the socket. Nothing was sent: the "
        "association is only in this kernel.",
        "connect(2); UNP 8.11", _dissolves),
    Rule(
        "connect-unix", _CONNECT, outcomes(),
        "An AF_UNIX connect puts the caller in the accept queue of the socket bound to that path, "
        "inside this kernel: no packet is sent.",
        "unix(7)", _is_unix),
    Rule(
        "connect-udp", _CONNECT, outcomes(),
        "connect() on a UDP socket only records the peer {address} (and picks the local "
        "address): no handshake, nothing was sent. Whether anybody is there is not known yet.",
        "udp(7); UNP 8.11", _is_udp),
    Rule(
        "connect-unix-refused", _CONNECT, outcomes("ECONNREFUSED"),
        "The path {address} is there, but no socket listens behind it: {whose}. No packet is "
        "involved.", "unix(7); connect(2)", _nobody_behind),
    Rule(
        "connect-unix-missing", _CONNECT, outcomes("ENOENT"),
        "No file has the name {address}: nothing to connect to. No packet is involved.",
        "unix(7)", _is_unix),
    Rule(
        "connect-unix-other", _CONNECT, outcomes("EAGAIN", "EPROTOTYPE", "EACCES", "EPERM"),
        "The kernel refused {address} with {errno} inside this host: no packet is involved.",
        "unix(7)", _is_unix),
    Rule(
        "connect-no-route", _CONNECT, outcomes("ENETUNREACH", "EHOSTUNREACH"),
        "This host has no route to {address}: the kernel refused before any SYN. Nothing was sent.",
        "connect(2); ip(7)", _sent_nothing, by_absence=True),
    Rule(
        "connect-same-connection", _CONNECT, outcomes("EADDRNOTAVAIL", "EADDRINUSE"),
        "connect() {other} has made the connection from {own} to {address}; a second one with the "
        "same four numbers cannot be. Nothing was sent.",
        "RFC 9293 3.3.1; Linux __inet_check_established; UNP 2.8", _same_connection),
    Rule(
        "connect-ports-exhausted", _CONNECT, outcomes("EADDRNOTAVAIL"),
        "Every port of ip_local_port_range was in use towards {address} ({others} connections "
        "of this run hold some), so the kernel found none for this end. Nothing was sent.",
        "ip(7) ip_local_port_range; Linux inet_hash_connect", _no_free_port),
    Rule(
        "connect-address-not-available", _CONNECT, outcomes("EADDRNOTAVAIL"),
        "The kernel could not give this end an address and port towards {address}. Nothing was "
        "sent.",
        "connect(2)", _sent_nothing, by_absence=True),
    Rule(
        "connect-address-in-use", _CONNECT, outcomes("EADDRINUSE"),
        "The four-tuple of this socket's own address and {address} is in use. Nothing was sent.",
        "connect(2)", _sent_nothing, by_absence=True),
    Rule(
        "connect-refused-locally", _CONNECT,
        outcomes("EACCES", "EPERM", "EAFNOSUPPORT", "EINVAL", "EOPNOTSUPP", "ENOENT", "ENETDOWN"),
        "The kernel refused {address} with {errno} before sending anything: the address does "
        "not fit the socket, or a rule of this host forbids it.",
        "connect(2)", _sent_nothing, by_absence=True),
)  # fmt: skip
