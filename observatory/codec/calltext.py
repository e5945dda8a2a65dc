"""API calls as text, the way strace prints them.

``connect(4, 127.0.0.1:9) = -1 ECONNREFUSED (Connection refused)``. What the program passed
stands between the parentheses; what the kernel handed back (a peer, a name, an option's value,
the ready descriptors) follows the result. Buffers are shown by their length, and addresses by
their short form: those are the two departures from strace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from observatory.codec.errnos import message, name_of
from observatory.codec.printable import printable, quoted
from observatory.model import Call
from observatory.model.calls import Argument

Formatter = Callable[[Argument], str]
Detail = Callable[[Call], str]

NEVER_RETURNED = "?"
END_OF_FILE = "EOF"


def call_text(call: Call, stream: bool = True) -> str:
    """The call with its result; ``= ?`` for one that never returned.

    ``stream`` False says that the socket carries datagrams, so that a received length of 0 is
    an empty datagram and not EOF.
    """
    return f"{arguments_text(call)} = {result_text(call, stream)}"


def arguments_text(call: Call) -> str:
    """The call as it was entered: ``connect(4, 127.0.0.1:9)``."""
    spelling = SPELLINGS.get(call.name)
    if spelling is None:
        shown = [_plain(value) for value in call.args.values()]
    else:
        shown = [
            _spell_argument(call, name, form)
            for name, form in spelling.arguments
            if call.args.get(name) is not None
        ]
    place = 0 if spelling is None else spelling.descriptor_at
    if call.fd is not None and (place is not None or not shown):
        shown.insert(place or 0, str(call.fd))
    return f"{printable(call.name)}({', '.join(shown)})"


def result_text(call: Call, stream: bool = True) -> str:
    """What the call returned, alone: ``-1 ECONNREFUSED (Connection refused)``."""
    if call.returned_ns is None:
        return NEVER_RETURNED
    if call.errno is not None:
        meaning = message(call.errno)
        return f"-1 {printable(call.errno)}" + (f" ({meaning})" if meaning else "")
    detail = SPELLINGS[call.name].detail(call) if call.name in SPELLINGS else ""
    if detail == END_OF_FILE and not stream:
        detail = "empty datagram"
    result = NEVER_RETURNED if call.result is None else str(call.result)
    return f"{result} ({detail})" if detail else result


# --- How one argument is written ---------------------------------------------------------------


def _plain(value: Argument) -> str:
    """Any value: names and numbers bare, sequences in brackets, mappings in braces."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{printable(k)}={_plain(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    return "NULL" if value is None else str(value)


def _string(value: Argument) -> str:
    return quoted(value) if isinstance(value, str) else _plain(value)


def _strings(value: Argument) -> str:
    items = value if isinstance(value, (tuple, list)) else (value,)
    return "[" + ", ".join(_string(item) for item in items) + "]"


def _pointed(value: Argument) -> str:
    """A number handed over by address: ``[1]``."""
    return f"[{_plain(value)}]"


def _descriptor_set(value: Argument) -> str:
    """select's sets: ``[3 4]``."""
    items = value if isinstance(value, (tuple, list)) else ()
    return "[" + " ".join(_plain(item) for item in items) + "]"


def _poll_set(field: str) -> Formatter:
    """poll's entries, events or revents: ``[{fd=4, POLLOUT}]``."""

    def spell(value: Argument) -> str:
        entries = value if isinstance(value, (tuple, list)) else ()
        return "[" + ", ".join(_poll_entry(entry, field) for entry in entries) + "]"

    return spell


def _poll_entry(entry: Argument, field: str) -> str:
    if not isinstance(entry, (tuple, list)) or len(entry) != 2:
        return _plain(entry)
    return f"{{fd={_plain(entry[0])}, {field}{_plain(entry[1])}}}"


def _pair(first: str, second: str) -> Formatter:
    """A structure of two numbers: ``{onoff=1, linger=0}``."""

    def spell(value: Argument) -> str:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            return _option_value(value)
        return f"{{{first}={_plain(value[0])}, {second}={_plain(value[1])}}}"

    return spell


def _error_number(value: Argument) -> str:
    """SO_ERROR: the name where the number has one, 0 where nothing is pending."""
    name = name_of(value) if isinstance(value, int) else None
    return name or _plain(value)


def _option_value(value: Argument) -> str:
    return _pointed(value) if isinstance(value, int) else _plain(value)


OPTION_VALUES: Mapping[str, Formatter] = {
    "SO_LINGER": _pair("onoff", "linger"),
    "SO_RCVTIMEO": _pair("tv_sec", "tv_usec"),
    "SO_SNDTIMEO": _pair("tv_sec", "tv_usec"),
    "SO_ERROR": _error_number,
}


def _spell_argument(call: Call, name: str, form: Formatter) -> str:
    option = call.args.get("option")
    if name == "value" and isinstance(option, str):
        form = OPTION_VALUES.get(option, form)
    return form(call.args[name])


# --- What follows the result -------------------------------------------------------------------


def _nothing(call: Call) -> str:
    return ""


def _peer(call: Call) -> str:
    return "" if call.peer is None else printable(str(call.peer))


def _accepted(call: Call) -> str:
    """The peer, and the length of its address where the program had given less or more room."""
    length = call.args.get("address_length")
    parts = [_peer(call), "" if length is None else f"address of {_plain(length)} bytes"]
    return ", ".join(filter(None, parts))


def _address(call: Call) -> str:
    address = call.args.get("address")
    return "" if address is None else _plain(address)


def _received(call: Call) -> str:
    sender = call.args.get("address")
    if sender is not None:
        return f"from {_plain(sender)}"
    asked = call.args.get("length")
    return END_OF_FILE if call.result == 0 and asked != 0 else ""


def _taken(call: Call) -> str:
    """Bytes of each message of sendmmsg and recvmmsg."""
    return _plain(call.args.get("taken", ()))


def _pair_of_descriptors(call: Call) -> str:
    return _plain(call.args.get("fds", ()))


def _option_read(call: Call) -> str:
    if call.args.get("value") is None:
        return ""
    return _spell_argument(call, "value", _plain)


def _poll_ready(call: Call) -> str:
    return "Timeout" if call.result == 0 else _poll_set("revents=")(call.args.get("ready", ()))


def _epoll_ready(call: Call) -> str:
    ready = call.args.get("ready")
    return _poll_set("")(ready) if ready else ""


def _select_ready(call: Call) -> str:
    if call.result == 0:
        return "Timeout"
    ready = [
        f"{label} {_descriptor_set(call.args[name])}"
        for label, name in (("in", "ready_read"), ("out", "ready_write"), ("exc", "ready_except"))
        if call.args.get(name)
    ]
    return ", ".join(ready)


# --- The table ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one call is written: its arguments in order, and what it got back. The descriptor it
    is about stands at ``descriptor_at`` among them; None: one of the arguments is it."""

    arguments: tuple[tuple[str, Formatter], ...] = ()
    detail: Detail = _nothing
    descriptor_at: int | None = 0


def _spelling(*names: str, detail: Detail = _nothing, **forms: Formatter) -> Spelling:
    """A spelling whose named arguments are plain unless ``forms`` gives them another form."""
    return Spelling(tuple((name, forms.get(name, _plain)) for name in names), detail)


def _with_descriptor_at(place: int | None, spelling: Spelling) -> Spelling:
    return replace(spelling, descriptor_at=place)


ACCEPT = _spelling("sockaddr", "room", "flags", room=_pointed, detail=_accepted)
SEND = _spelling("length", "flags", "address")
RECEIVE = _spelling("length", "flags", detail=_received)
MESSAGES = _spelling("lengths", "flags", detail=_taken)

SPELLINGS: Mapping[str, Spelling] = {
    "socket": _spelling("family", "type", "protocol"),
    "socketpair": _spelling("family", "type", "protocol", detail=_pair_of_descriptors),
    "bind": _spelling("address"),
    "connect": _spelling("address"),
    "listen": _spelling("backlog"),
    "accept": ACCEPT,
    "accept4": ACCEPT,
    "send": SEND,
    "sendto": SEND,
    "sendmsg": SEND,
    "write": SEND,
    "writev": SEND,
    "sendmmsg": MESSAGES,
    "sendfile": _spelling("in_fd", "offset", "length"),
    "recv": RECEIVE,
    "recvfrom": RECEIVE,
    "recvmsg": RECEIVE,
    "read": RECEIVE,
    "readv": RECEIVE,
    "recvmmsg": MESSAGES,
    "splice": _with_descriptor_at(None, _spelling("in_fd", "out_fd", "length", "flags")),
    "shutdown": _spelling("how"),
    "close": _spelling(),
    "dup": _spelling(),
    "close_range": _spelling("first", "last", "flags"),
    "dup2": _spelling("old_fd", "new_fd"),
    "dup3": _spelling("old_fd", "new_fd", "flags"),
    "pidfd_getfd": _spelling("pidfd", "target_fd"),
    "detach": _spelling(),
    "setsockopt": _spelling("level", "option", "value", value=_option_value),
    "getsockopt": _spelling("level", "option", detail=_option_read),
    "getsockname": _spelling(detail=_address),
    "getpeername": _spelling(detail=_address),
    "ioctl": _spelling("request", "value", value=_option_value),
    "fcntl": _spelling("command", "value"),
    "poll": _spelling("fds", "timeout_ms", fds=_poll_set(""), detail=_poll_ready),
    "select": _spelling(
        "read",
        "write",
        "except",
        "timeout_ms",
        detail=_select_ready,
        **dict.fromkeys(("read", "write", "except"), _descriptor_set),
    ),
    "epoll_ctl": _with_descriptor_at(2, _spelling("epoll", "operation", "events")),
    "epoll_wait": _spelling("epoll", "timeout_ms", detail=_epoll_ready),
    "fork": _spelling(),
    "vfork": _spelling(),
    "execve": _spelling("path", "argv", path=_string, argv=_strings),
    "exit": _spelling("status"),
    "kill": _spelling("pid", "signal"),
}
