"""Rules for bind(): naming this end."""

from __future__ import annotations

from observatory.analysis.callsets import ACCEPTING
from observatory.analysis.lives import SocketLife
from observatory.analysis.matching import FOREVER, local_endpoint
from observatory.analysis.rule import Rule, names, outcomes
from observatory.analysis.view import YES, Because, View
from observatory.model import Call, Endpoint, UnixAddress

_BIND = names("bind")

# How long Linux keeps TIME-WAIT: TCP_TIMEWAIT_LEN (include/net/tcp.h).
TIME_WAIT_NS = 60_000_000_000

_LOCAL_ONLY = "Nothing was sent: bind() only names this end."


def _unix(view: View) -> Because | None:
    return YES if isinstance(view.address, UnixAddress) else None


def _ephemeral(view: View) -> Because | None:
    address, local = view.address, view.call.local
    if not isinstance(address, Endpoint) or address.port:
        return None
    port = local.port if isinstance(local, Endpoint) else "a free one"
    return Because({"port": port})


def _wildcard(view: View) -> Because | None:
    address = view.address
    return YES if isinstance(address, Endpoint) and address.is_wildcard else None


def _others_at(view: View) -> list[tuple[SocketLife, Call]]:
    """Sockets other than this one that hold the address at the time, with the call that took it."""
    wanted = view.address
    if not isinstance(wanted, Endpoint):
        return []
    found = []
    for life in view.joined.holders.get(wanted.port, ()):
        if life is view.life or (life.closed_ns or FOREVER) < view.call.entered_ns:
            continue
        if view.life is not None and life.type != view.life.type:
            continue  # TCP and UDP have port numbers of their own each
        own = local_endpoint(life, view.call.entered_ns)
        if own is None or own.port != wanted.on_the_wire().port:
            continue
        if wanted.is_wildcard or own.is_wildcard or own.address == wanted.on_the_wire().address:
            takers = [c for c in life.calls if c.name in ("bind", "connect", "listen", *ACCEPTING)]
            found += [(life, takers[0])] if takers else []
    return found


def _held(view: View) -> Because | None:
    holders = [(life, call) for life, call in _others_at(view) if life.listener is None]
    if not holders:
        return None
    life, first = holders[0]
    own = local_endpoint(life, view.call.entered_ns)
    wanted = view.address.on_the_wire() if isinstance(view.address, Endpoint) else None
    overlap = f" as {own}, which the wildcard address includes" if own != wanted else ""
    option, sharing = _why_not_shared(view, life)
    facts = {"holder": f"{first.name}() c{first.id}", "overlap": overlap, "sharing": sharing}
    return Because(facts, (first.id, *option))


def _why_not_shared(view: View, holder: SocketLife) -> tuple[tuple[int, ...], str]:
    """Why the option that would share the port does not: its call ids, and a sentence."""
    at = view.call.entered_ns
    theirs = [c for c in holder.calls if c.args.get("option") == "SO_REUSEPORT" and c.succeeded]
    if any(c.args.get("value") and c.entered_ns < at for c in theirs):
        sharing = view.option("SO_REUSEPORT")
        if sharing is None or not sharing.args.get("value"):
            told = f" That one would share it (SO_REUSEPORT, c{theirs[-1].id}), but this one"
            return (theirs[-1].id,), f"{told} has not set the option."
    reuse = view.option("SO_REUSEADDR")
    listens = [c for c in holder.calls if c.name == "listen" and c.succeeded and c.entered_ns < at]
    if reuse is not None and reuse.args.get("value") and listens:
        calls = (reuse.id, listens[0].id)
        told = f" SO_REUSEADDR (c{calls[0]}) does not help against a listener (c{calls[1]})."
        return calls, told
    return (), ""


def _held_by_child(view: View) -> Because | None:
    """A connection that this port's listener accepted is still there."""
    lives = [life for life, _ in _others_at(view) if life.listener is not None]
    return Because(calls=tuple(c.created_by for c in lives if c.created_by)[:4]) if lives else None


def _time_wait(view: View) -> Because | None:
    """A connection of this address closed first at this end, and is in TIME-WAIT."""
    wanted = view.address
    if not isinstance(wanted, Endpoint) or view.life is None or not view.life.is_tcp:
        return None
    wanted = wanted.on_the_wire()
    at = view.call.entered_ns
    for conversation in reversed(view.joined.at_port.get(wanted.port, ())):
        for half in (conversation.client, conversation.server):
            other = conversation.opposite(half)
            if half.sender.port != wanted.port or half.resets or other.resets:
                continue
            if not wanted.is_wildcard and half.sender.address != wanted.address:
                continue
            if not (half.fins and other.fins and half.fins[0].id < other.fins[0].id):
                continue
            if other.fins[0].time_ns <= at < other.fins[-1].time_ns + TIME_WAIT_NS:
                fin = half.fins[0].id
                return Because({"fin": f"#{fin}"}, segments=(fin, other.fins[0].id))
    return None


def _time_wait_reused(view: View) -> Because | None:
    reuse = view.option("SO_REUSEADDR")
    waiting = _time_wait(view) if reuse is not None and reuse.args.get("value") else None
    if reuse is None or waiting is None:
        return None
    return Because({**waiting.facts, "option": f"c{reuse.id}"}, (reuse.id,), waiting.segments)


def _shared(view: View) -> Because | None:
    option = view.option("SO_REUSEPORT")
    if option is None or not option.args.get("value"):
        return None
    holders = [call.id for _, call in _others_at(view)]
    if not holders:
        return None
    return Because({"holder": f"c{holders[0]}"}, (option.id, *holders[:4]))


def _bound_already(view: View) -> Because | None:
    done = [c for c in view.earlier("bind") if c.succeeded]
    if not done:
        local = view.local
        return Because({"first": "when the kernel picked one", "local": local}) if local else None
    return Because({"first": f"by bind() c{done[0].id}"}, (done[0].id,))


def _low_port(view: View) -> Because | None:
    address = view.address
    if isinstance(address, Endpoint) and 0 < address.port < 1024:
        return Because({"port": address.port})
    return None


BIND_RULES: tuple[Rule, ...] = (
    Rule(
        "bind-unix", _BIND, outcomes(),
        "bind() made the file {address}, the name of this socket inside this host. Nothing is "
        "sent for AF_UNIX.", "unix(7)", _unix, plain=True),
    Rule(
        "bind-reuse-time-wait", _BIND, outcomes(),
        "A connection of this port is in TIME-WAIT (its FIN {fin} was the first), and SO_REUSEADDR "
        f"({{option}}) lets bind() take the address all the same. {_LOCAL_ONLY}",
        "socket(7) SO_REUSEADDR; RFC 9293 3.6.1; UNP 7.5", _time_wait_reused),
    Rule(
        "bind-reuseport", _BIND, outcomes(),
        "SO_REUSEPORT was set before bind() here and by the other holder ({holder}): both have "
        f"{{address}}, and the kernel shares arrivals out among them. {_LOCAL_ONLY}",
        "socket(7) SO_REUSEPORT; UNP 7.5", _shared),
    Rule(
        "bind-ephemeral", _BIND, outcomes(),
        "Port 0 asks the kernel to choose: it gave port {port} out of ip_local_port_range. "
        f"{_LOCAL_ONLY}", "bind(2); ip(7); UNP 4.4", _ephemeral, plain=True),
    Rule(
        "bind-wildcard", _BIND, outcomes(),
        "{address} binds every address of this host: which one a connection uses is settled when "
        f"it comes in. {_LOCAL_ONLY}", "ip(7) INADDR_ANY; UNP 4.4", _wildcard, plain=True),
    Rule(
        "bind", _BIND, outcomes(), f"The socket has the name {{address}} now. {_LOCAL_ONLY}",
        "bind(2); UNP 4.4", plain=True),
    Rule(
        "bind-in-use", _BIND, outcomes("EADDRINUSE"),
        f"{{address}} was taken: {{holder}} holds it still{{overlap}}.{{sharing}} {_LOCAL_ONLY}",
        "bind(2); UNP 4.4", _held),
    Rule(
        "bind-in-use-by-connection", _BIND, outcomes("EADDRINUSE"),
        "A connection that a listener on this port accepted is still open, and without "
        f"SO_REUSEADDR the port stays taken. {_LOCAL_ONLY}",
        "socket(7) SO_REUSEADDR; UNP 7.5", _held_by_child),
    Rule(
        "bind-time-wait", _BIND, outcomes("EADDRINUSE"),
        "The port is held by a connection in TIME-WAIT: this end sent the first FIN {fin}, and "
        f"without SO_REUSEADDR the port stays taken for 60 s. {_LOCAL_ONLY}",
        "RFC 9293 3.6.1; socket(7) SO_REUSEADDR; UNP 2.7, 7.5", _time_wait),
    Rule(
        "bind-in-use-elsewhere", _BIND, outcomes("EADDRINUSE"),
        "{address} is taken, by a socket that this run did not record, or by a connection that "
        f"is not quite over. {_LOCAL_ONLY}", "bind(2)", certain=False),
    Rule(
        "bind-not-available", _BIND, outcomes("EADDRNOTAVAIL"),
        f"{{address}} is no address of this host. {_LOCAL_ONLY}",
        "bind(2); ip(7) ip_nonlocal_bind"),
    Rule(
        "bind-privileged", _BIND, outcomes("EACCES"),
        "Ports below ip_unprivileged_port_start (1024) need CAP_NET_BIND_SERVICE, which this "
        f"process has not: port {{port}} was refused. {_LOCAL_ONLY}",
        "ip(7); capabilities(7); UNP 2.9", _low_port),
    Rule(
        "bind-twice", _BIND, outcomes("EINVAL"),
        "The socket has a name already, given {first}; a name is given once. "
        f"{_LOCAL_ONLY}", "bind(2)", _bound_already),
    Rule(
        "bind-refused", _BIND,
        outcomes("EACCES", "EINVAL", "EAFNOSUPPORT", "ENOENT",
                 "ENOTDIR", "EROFS", "EPERM", "ENODEV"),
        f"The kernel refused {{address}} with {{errno}}. {_LOCAL_ONLY}", "bind(2); unix(7)"),
)  # fmt: skip
