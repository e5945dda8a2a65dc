"""Rules for calls that touch no wire: socket, fork, options, names, waiting; and for errnos that
any call may meet."""

from __future__ import annotations

from errno import errorcode

from observatory.analysis.callsets import WAITING
from observatory.analysis.rule import ANY_CALL, Rule, names, outcomes
from observatory.analysis.view import YES, Because, View, ids
from observatory.model import Endpoint

_SOCKET = names("socket", "socketpair")
_OPTIONS = names("setsockopt", "getsockopt", "ioctl", "fcntl")
_NAMES = names("getsockname", "getpeername")
_ANY = frozenset({ANY_CALL})
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP", 255: "raw IP"}


def _kind(view: View) -> Because:
    args = view.call.args
    kind = str(args.get("type")).partition("|")[0]
    protocol = args.get("protocol")
    name = _PROTOCOLS.get(protocol) if isinstance(protocol, int) else None
    return Because(
        {
            "kind": f"{args.get('family')} {args.get('type')}",
            "family": args.get("family"),
            "type": kind,
            "protocol": f"{protocol} ({name})" if name else protocol,
        }
    )


def _child(view: View) -> Because | None:
    return Because({"child": view.joined.who(view.call.result or 0)})


def _nameless_type(view: View) -> Because | None:
    because = _kind(view)
    return None if str(view.call.args.get("type")).startswith("SOCK_") else because


def _fetched_error(view: View) -> Because | None:
    """SO_ERROR gave and cleared an error."""
    value = view.call.args.get("value")
    if view.call.args.get("option") != "SO_ERROR" or not value or value == "0":
        return None
    by = f"which {view.facts()['completed']} had caused" if view.completed_by else "pending on it"
    name = errorcode.get(value, value) if isinstance(value, int) else value
    return Because({"value": name, "by": by})


def _held(view: View) -> Because:
    state = view.call.args.get("state")
    return Because({"state": f" ({state})" if state else ""})


YES_NO_PEER = Because({"told": "it is not connected"})


def _fins_of_both(view: View) -> list[int]:
    """Both ends' FINs, where both had passed."""
    half, other, until = view.half, view.other, view.call.entered_ns
    sent = [s.id for s in half.fins[:1] if s.time_ns <= until] if half else []
    came = [s.id for s in other.fins if s.arrived_ns <= until] if other else []
    fins = sorted((*sent, *came[:1]))
    return fins if len(fins) == 2 else []


def _no_peer(view: View) -> Because | None:
    failed = [c for c in view.earlier("connect") if c.failed and c.errno != "EINPROGRESS"]
    other = view.other
    resets = [s.id for s in other.resets] if other else []
    dissolved = [c for c in view.earlier("connect") if c.args.get("address") == "AF_UNSPEC"]
    if dissolved and view.half is None:
        told = f"connect() c{dissolved[-1].id} to AF_UNSPEC had taken it away"
        return Because({"told": told}, (dissolved[-1].id,))
    if failed:
        told = f"connect() c{failed[-1].id} had failed with {failed[-1].errno}"
        return Because({"told": told}, (failed[-1].id,))
    if resets:
        return Because({"told": f"RST #{resets[0]} ended the connection"}, segments=(resets[0],))
    if view.life is not None and any(c.name == "listen" for c in view.life.calls):
        told = "a listening socket has none, only those that accept() returns"
        return Because({"told": told})
    fins = _fins_of_both(view)
    if fins:
        return Because({"told": f"FIN {ids(fins)} ended the connection"}, segments=tuple(fins))
    return Because({"told": "it was never connected"}) if view.half is None else YES_NO_PEER


def _named(view: View) -> Because | None:
    return Because({"told": view.call.args.get("address") or view.call.local})


def _unnamed(view: View) -> Because | None:
    address = view.address or view.call.local
    if isinstance(address, Endpoint) and address.is_wildcard and address.port == 0:
        return YES
    return None


def _ready(view: View) -> Because | None:
    if not view.call.result:
        return None
    return YES if view.completed_by else None


def _watching(view: View) -> Because:
    return Because(
        {"set": view.call.args.get("epoll"), "operation": view.call.args.get("operation")}
    )


def _ready_at_once(view: View) -> Because | None:
    if not view.call.result:
        return None
    # What came before the return may have made it ready; when that was is not always known.
    joined = view.joined
    waited = joined.descriptors.waited.get(view.call.id, {}).values()
    remote = any(joined.descriptors.sockets[number].is_ip for number in waited)
    return Because(likely=remote and not view.exact)


def _expired(view: View) -> Because | None:
    return None if view.call.result else YES


def _interrupted(view: View) -> Because:
    return Because({"signal": view.signal_told}, tuple(c.id for c in view.signals))


def _closed_before(view: View) -> Because | None:
    """The close that gave the descriptor up."""
    closed = [
        c
        for life in view.joined.descriptors.sockets.values()
        if view.call.pid in life.pids
        for c in life.calls
        if c.name == "close"
        and c.succeeded
        and (c.pid, c.fd) == (view.call.pid, view.call.fd)
        and c.entered_ns < view.call.entered_ns
    ]
    if not closed:
        return None
    last = max(closed, key=lambda c: c.entered_ns)
    return Because({"close": f"c{last.id}"}, (last.id,))


LOCAL_RULES: tuple[Rule, ...] = (
    Rule(
        "socket", _SOCKET, outcomes(),
        "A new {kind} socket; nothing is sent until it is used.", "socket(2); UNP 4.2", _kind,
        plain=True),
    Rule(
        "socket-no-family", _SOCKET, outcomes("EAFNOSUPPORT"),
        "This kernel has no address family {family}. No socket was made, nothing was sent.",
        "socket(2); UNP 4.2", _kind),
    Rule(
        "socket-no-such-type", _SOCKET, outcomes("ESOCKTNOSUPPORT"),
        "{family} has no sockets of type {type}. No socket was made, nothing was sent.",
        "socket(2); Linux inet_create; UNP 4.2", _kind),
    Rule(
        "socket-no-such-protocol", _SOCKET, outcomes("EPROTONOSUPPORT", "EPROTOTYPE"),
        "Protocol {protocol} is not one that {family} {type} speaks; 0 asks for the usual one. No "
        "socket was made, nothing was sent.", "socket(2); protocols(5); UNP 4.2", _kind),
    Rule(
        "socket-not-allowed", _SOCKET, outcomes("EPERM", "EACCES"),
        "A socket of type {type} takes a privilege (CAP_NET_RAW for raw and packet sockets) that "
        "this process has not. No socket was made, nothing was sent.",
        "socket(2); raw(7); capabilities(7)", _kind),
    Rule(
        "socket-no-such-number", _SOCKET, outcomes("EINVAL"),
        "No socket type has the number {type}. No socket was made, nothing was sent.",
        "socket(2); UNP 4.2", _nameless_type),
    Rule(
        "socket-refused", _SOCKET, outcomes("EINVAL", "EOPNOTSUPP", "ENOBUFS", "ENOMEM"),
        "The kernel could not make a {kind} socket ({errno}). Nothing was sent.",
        "socket(2); socketpair(2)", _kind),
    Rule(
        "socket-descriptors-used-up", _SOCKET, outcomes("EMFILE", "ENFILE"),
        "The process (EMFILE) or the host (ENFILE) has no free descriptor.",
        "socket(2); getrlimit(2)"),
    Rule(
        "fork", names("fork", "vfork", "clone", "clone3"), outcomes(),
        "The child {child} holds every descriptor of its parent: each socket has one more holder "
        "and closes with the last. Nothing was sent.", "fork(2); UNP 4.7", _child, plain=True),
    Rule(
        "detach", names("detach"), outcomes(),
        "The program took the descriptor out of its socket object: no system call, and the socket "
        "stays open.", "Python socket.detach", plain=True),
    Rule(
        "open-before", names("attach"), outcomes(),
        "No system call: this socket{state} was open before strace was attached, and the kernel's "
        "tables told its names.", "proc_pid_net(5)", _held, plain=True),
    Rule(
        "pending-error", names("getsockopt"), outcomes(),
        "SO_ERROR fetched and cleared the pending error {value}, {by}.",
        "socket(7) SO_ERROR; UNP 7.5", _fetched_error),
    Rule(
        "option", _OPTIONS, outcomes(), "A setting inside this kernel; nothing was sent.",
        "socket(7); tcp(7)", plain=True),
    Rule(
        "option-refused", _OPTIONS,
        outcomes("ENOPROTOOPT", "EINVAL", "EDOM", "EPERM", "EACCES", "EOPNOTSUPP", "EISCONN",
                 "ENOTTY", "ENOTCONN", "EFAULT", "EBUSY", "ENODEV", "EADDRNOTAVAIL"),
        "The kernel refused the option with {errno}; nothing was sent.", "getsockopt(2)"),
    Rule(
        "no-name-yet", names("getsockname"), outcomes(),
        "The socket has no name yet: neither bind() nor connect() gave it one.",
        "getsockname(2); UNP 4.10", _unnamed),
    Rule(
        "name", _NAMES, outcomes(), "The kernel told {told} from its own tables; nothing was sent.",
        "getsockname(2); getpeername(2); UNP 4.10", _named, plain=True),
    Rule(
        "no-peer", names("getpeername"), outcomes("ENOTCONN"),
        "The socket has no peer: {told}. Nothing was sent.", "getpeername(2); UNP 4.10", _no_peer),
    Rule(
        "name-refused", _NAMES, outcomes("EINVAL", "ENOBUFS", "EFAULT"),
        "The kernel refused with {errno}: the socket has been shut down or the arguments do not "
        "fit.", "getsockname(2); getpeername(2)"),
    Rule(
        "ready", WAITING, outcomes(), "{completed} made {result} of the descriptors ready.",
        "poll(2); UNP 6.3", _ready, plain=True),
    Rule(
        "ready-at-once", WAITING, outcomes(),
        "{result} of the descriptors were ready without anything having to come.",
        "poll(2); UNP 6.3", _ready_at_once, plain=True),
    Rule(
        "wait-expired", WAITING, outcomes(),
        "Nothing became ready within the time that the call was given.", "poll(2)", _expired,
        by_absence=True),
    Rule(
        "wait-cut-off", WAITING, outcomes("never"),
        "The call was still waiting when {end}.", "poll(2)"),
    Rule(
        "epoll-watch", names("epoll_ctl"), outcomes(),
        "The set of descriptor {set} was told what to watch of this one ({operation}); nothing was "
        "sent.", "epoll_ctl(2); UNP 6.2", _watching, plain=True),
    Rule(
        "epoll-refused", names("epoll_ctl"),
        outcomes("EEXIST", "ENOENT", "EPERM", "ELOOP", "EINVAL"),
        "The set of descriptor {set} was not changed ({operation}, {errno}): the descriptor is in "
        "it already, is not in it, or cannot be waited for. Nothing was sent.", "epoll_ctl(2)",
        _watching),
    Rule(
        "descriptor-fetched", names("pidfd_getfd"), outcomes(),
        "Descriptor {result} is a copy of one of another process. Which socket that is, is not "
        "told.", "pidfd_getfd(2)", certain=False),
    Rule(
        "kill-refused", names("kill"), outcomes("ESRCH", "EPERM", "EINVAL"),
        "The signal was not delivered ({errno}).", "kill(2)"),
    Rule(
        "exec-failed", names("execve"), outcomes("ENOENT", "EACCES", "ENOEXEC", "EPERM", "E2BIG"),
        "The program could not be started ({errno}): the process goes on with all its sockets.",
        "execve(2)"),
    Rule(
        "closed-descriptor", _ANY, outcomes("EBADF"),
        "The descriptor had been given up by close() {close}: its number names nothing now. "
        "Nothing was sent.", "close(2)", _closed_before),
    Rule(
        "bad-descriptor", _ANY, outcomes("EBADF", "ENOTSOCK"),
        "The number names no open socket of this process ({errno}). Nothing was sent.",
        "intro(2)"),
    Rule(
        "interrupted", _ANY, outcomes("EINTR"),
        "{signal} interrupted the call before it had done anything; it can be made again.",
        "signal(7); UNP 5.9", _interrupted),
    Rule(
        "descriptors-used-up", _ANY, outcomes("EMFILE", "ENFILE"),
        "There was no free descriptor ({errno}).", "getrlimit(2) RLIMIT_NOFILE"),
    Rule(
        "cut-off", _ANY, outcomes("never"),
        "{name} had not returned when {end}.", "_exit(2); kill(2)"),
    Rule(
        "out-of-memory", _ANY, outcomes("ENOBUFS", "ENOMEM"),
        "The kernel had no memory for it ({errno}).", "intro(2)"),
)  # fmt: skip
