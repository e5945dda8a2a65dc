"""From a system call as strace prints it to a call of the model: one row for each name.

Names and arguments are those of docs/run-file.md, so that a program seen by strace and one seen
through instrumented sockets read alike: what glibc made of ``send`` is ``send`` again.
"""

from __future__ import annotations

from collections.abc import Mapping

from observatory.codec.strace.addresses import address_text, from_decoration, read_address
from observatory.codec.strace.arguments import (
    PROTOCOLS,
    argument,
    number,
    option_value,
    symbol,
)
from observatory.codec.strace.draft import (
    Asked,
    Converter,
    Draft,
    failed,
    may_be_socket,
    on_descriptor,
)
from observatory.codec.strace.raw import FORKING, Raw, clone_flags
from observatory.codec.strace.transfers import TRANSFERS
from observatory.codec.strace.values import Array, Descriptor, Text
from observatory.codec.strace.waiting import WAITING
from observatory.model import Address
from observatory.model.calls import Argument

_LEVELS = {
    "SOL_TCP": "IPPROTO_TCP",
    "SOL_IP": "IPPROTO_IP",
    "SOL_IPV6": "IPPROTO_IPV6",
    "SOL_UDP": "IPPROTO_UDP",
}


def convert(raw: Raw, asked: Asked) -> Draft | None:
    """The call, or None if it has nothing to do with sockets or processes."""
    draft = CONVERTERS[raw.name](raw, asked)
    if draft is not None:
        _decorate(draft, raw)
    return draft


def _decorate(draft: Draft, raw: Raw) -> None:
    """What -y and -yy tell of the descriptor, beyond its number."""
    value = argument(raw, 0)
    if isinstance(value, Descriptor) and draft.fd == value.number:
        draft.inode = value.inode
        local, peer = from_decoration(value.names)
        if draft.name not in ("accept", "accept4"):
            draft.local, draft.peer = draft.local or local, draft.peer or peer
    elif draft.fd is None and raw.outcome is not None and raw.outcome.names:
        draft.inode = Descriptor(0, raw.outcome.names).inode


# --- Opening and naming --------------------------------------------------------------------------


def _socket(raw: Raw, asked: Asked) -> Draft:
    return Draft("socket", None, _kind(raw))


def _kind(raw: Raw) -> dict[str, Argument]:
    protocol = argument(raw, 2)
    return {
        "family": symbol(argument(raw, 0)),
        "type": symbol(argument(raw, 1)),
        "protocol": PROTOCOLS.get(protocol, protocol)
        if isinstance(protocol, str)
        else number(protocol) or 0,
    }


def _socketpair(raw: Raw, asked: Asked) -> Draft:
    pair = argument(raw, 3)
    fds = tuple(number(item) for item in pair.items) if isinstance(pair, Array) else ()
    return Draft("socketpair", None, {**_kind(raw), "fds": fds})


def _addressed(raw: Raw, asked: Asked) -> Draft | None:
    """bind and connect."""
    draft = on_descriptor(raw, raw.name, {"address": address_text(argument(raw, 1))})
    if draft is not None and raw.name == "connect" and not failed(raw):
        draft.peer = _definite(read_address(argument(raw, 1)))
    return draft


def _definite(address: Address | None) -> Address | None:
    """Connecting to 0.0.0.0 leads elsewhere: that is not the peer's name."""
    return None if address is None or getattr(address, "is_wildcard", False) else address


def _named(raw: Raw, asked: Asked) -> Draft | None:
    """getsockname and getpeername."""
    address = None if failed(raw) else read_address(argument(raw, 1))
    text = None if failed(raw) else address_text(argument(raw, 1))
    draft = on_descriptor(raw, raw.name, {"address": text})
    if draft is not None and raw.name == "getsockname":
        draft.local = address
    elif draft is not None:
        draft.peer = address
    return draft


def _listen(raw: Raw, asked: Asked) -> Draft | None:
    return on_descriptor(raw, "listen", {"backlog": number(argument(raw, 1))})


def _accept(raw: Raw, asked: Asked) -> Draft | None:
    flags = symbol(argument(raw, 3))
    draft = on_descriptor(raw, raw.name, {"flags": flags} if raw.name == "accept4" else {})
    if draft is None or failed(raw):
        return draft
    draft.peer = read_address(argument(raw, 1))
    if raw.outcome is not None and raw.outcome.names:
        local, peer = from_decoration(raw.outcome.names)
        draft.local, draft.peer = local, draft.peer or peer
    return draft


# --- Options and ends ----------------------------------------------------------------------------


def _shutdown(raw: Raw, asked: Asked) -> Draft | None:
    return on_descriptor(raw, "shutdown", {"how": symbol(argument(raw, 1))})


def _close(raw: Raw, asked: Asked) -> Draft | None:
    return on_descriptor(raw, "close", {})


def _close_range(raw: Raw, asked: Asked) -> Draft | None:
    args: dict[str, Argument] = {
        "first": number(argument(raw, 0)),
        "last": number(argument(raw, 1)),
        "flags": symbol(argument(raw, 2)),
    }
    return None if failed(raw) else Draft("close_range", None, args)


def _option(raw: Raw, asked: Asked) -> Draft | None:
    level = symbol(argument(raw, 1))
    value = argument(raw, 3)
    told = raw.name == "setsockopt" or not failed(raw)
    args: dict[str, Argument] = {
        "level": _LEVELS.get(level, level),
        "option": symbol(argument(raw, 2)).removesuffix("_OLD"),  # SO_RCVTIMEO_OLD
    }
    if told:
        args["value"] = option_value(value)
    return on_descriptor(raw, raw.name, args)


def _ioctl(raw: Raw, asked: Asked) -> Draft | None:
    request = argument(raw, 1)
    if request not in ("FIONBIO", "FIONREAD", "FIOCLEX", "FIONCLEX"):
        return None
    args: dict[str, Argument] = {"request": request}
    if request in ("FIONBIO", "FIONREAD"):
        args["value"] = option_value(argument(raw, 2))
    return on_descriptor(raw, "ioctl", args)


def _fcntl(raw: Raw, asked: Asked) -> Draft | None:
    command = argument(raw, 1)
    if command in ("F_DUPFD", "F_DUPFD_CLOEXEC"):
        flags = "O_CLOEXEC" if command == "F_DUPFD_CLOEXEC" else "0"
        return on_descriptor(raw, "dup", {"flags": flags})
    if command not in ("F_SETFL", "F_SETFD"):
        return None
    return on_descriptor(raw, "fcntl", {"command": command, "value": symbol(argument(raw, 2))})


def _dup(raw: Raw, asked: Asked) -> Draft | None:
    return on_descriptor(raw, "dup", {"flags": "0"})


def _dup2(raw: Raw, asked: Asked) -> Draft | None:
    """dup2 and dup3. Of something else over a socket it closes that: ``fd`` is None then."""
    old, new = argument(raw, 0), argument(raw, 1)
    args: dict[str, Argument] = {"new_fd": number(new)}
    if raw.name == "dup3":
        args["flags"] = symbol(argument(raw, 2))
    if may_be_socket(old):
        return Draft(raw.name, number(old), args)
    over = isinstance(new, Descriptor) and new.is_socket
    return Draft(raw.name, None, {"old_fd": number(old), **args}) if over else None


def _pidfd_getfd(raw: Raw, asked: Asked) -> Draft | None:
    names = raw.outcome.names if raw.outcome is not None else None
    if failed(raw) or (names is not None and not Descriptor(0, names).is_socket):
        return None
    args: dict[str, Argument] = {
        "pidfd": number(argument(raw, 0)),
        "target_fd": number(argument(raw, 1)),
    }
    return Draft("pidfd_getfd", None, args)


# --- Processes -----------------------------------------------------------------------------------


def _fork(raw: Raw, asked: Asked) -> Draft | None:
    flags = clone_flags(raw.arguments)
    if "CLONE_THREAD" in flags:
        return None
    return Draft("fork", None, {"flags": "CLONE_FILES"} if "CLONE_FILES" in flags else {})


def _execve(raw: Raw, asked: Asked) -> Draft | None:
    """A failed one is only a look along PATH."""
    if raw.outcome is not None and raw.outcome.errno is not None:
        return None
    at = 1 if raw.name == "execveat" else 0
    path, argv = argument(raw, at), argument(raw, at + 1)
    words = [word for word in getattr(argv, "items", ()) if isinstance(word, Text)]
    args: dict[str, Argument] = {
        "path": str(path) if isinstance(path, Text) else "",
        "argv": tuple(f"{word}…" if word.cut else str(word) for word in words),
    }
    return Draft("execve", None, args, returns=False)


def _exit(raw: Raw, asked: Asked) -> Draft:
    return Draft("exit", None, {"status": number(argument(raw, 0))}, returns=False)


def _kill(raw: Raw, asked: Asked) -> Draft:
    target, signal = argument(raw, 0), argument(raw, 2 if raw.name == "tgkill" else 1)
    return Draft("kill", None, {"pid": number(target), "signal": symbol(signal)})


# --- The table -----------------------------------------------------------------------------------

CONVERTERS: Mapping[str, Converter] = {
    **TRANSFERS,
    **WAITING,
    "socket": _socket,
    "socketpair": _socketpair,
    **dict.fromkeys(("bind", "connect"), _addressed),
    **dict.fromkeys(("getsockname", "getpeername"), _named),
    "listen": _listen,
    **dict.fromkeys(("accept", "accept4"), _accept),
    "shutdown": _shutdown,
    "close": _close,
    "close_range": _close_range,
    **dict.fromkeys(("setsockopt", "getsockopt"), _option),
    "ioctl": _ioctl,
    **dict.fromkeys(("fcntl", "fcntl64"), _fcntl),
    "dup": _dup,
    **dict.fromkeys(("dup2", "dup3"), _dup2),
    "pidfd_getfd": _pidfd_getfd,
    **dict.fromkeys(FORKING, _fork),
    **dict.fromkeys(("execve", "execveat"), _execve),
    **dict.fromkeys(("exit", "exit_group"), _exit),
    **dict.fromkeys(("kill", "tkill", "tgkill"), _kill),
}
