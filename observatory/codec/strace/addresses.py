"""Socket addresses as strace prints them."""

from __future__ import annotations

import ipaddress

from observatory.codec.strace.values import Change, Nested, Struct, Text, Value
from observatory.model import Address, Endpoint, UnixAddress

_FAMILY = "sa_family"


def read_address(value: Value | None) -> Address | None:
    """The endpoint or Unix name in a ``{sa_family=…}``; None where there is none."""
    if isinstance(value, Change):
        value = value.after
    if not isinstance(value, Struct):
        return None
    match value.members.get(_FAMILY):
        case "AF_INET":
            return _endpoint(value, "sin_port", value.members.get("sin_addr"))
        case "AF_INET6":
            named = value.members.get("sin6_addr")
            found = (other for other in value.others if isinstance(other, Nested))
            return _endpoint(value, "sin6_port", next(found, named))
        case "AF_UNIX" | "AF_LOCAL":
            return UnixAddress(_path(value.members.get("sun_path")))
    return None


def address_text(value: Value | None) -> str | None:
    """As ``Call.args`` has it: ``127.0.0.1:9``, ``unix:/path``, ``AF_UNSPEC``; for a family that
    is neither IP nor Unix its name; None for a null pointer or what was not decoded."""
    address = read_address(value)
    if address is not None:
        return str(address)
    if isinstance(value, Change):
        value = value.after
    if isinstance(value, Struct) and isinstance(value.members.get(_FAMILY), str):
        return str(value.members[_FAMILY])
    return None


def _endpoint(struct: Struct, port: str, address: Value | None) -> Endpoint | None:
    number = _inner(struct.members.get(port))
    if not isinstance(number, int) or not isinstance(address, Nested):
        return None
    texts = [argument for argument in address.arguments if isinstance(argument, Text)]
    if not texts:
        return None
    try:
        return Endpoint(_canonical(str(texts[0])), number)
    except ValueError:
        return None


def _inner(value: Value | None) -> Value | None:
    """80 of ``htons(80)``."""
    if isinstance(value, Nested) and len(value.arguments) == 1:
        return value.arguments[0]
    return value


def _path(value: Value | None) -> str:
    if not isinstance(value, Text):
        return ""
    name = value.data.decode("utf-8", "backslashreplace")
    return f"@{name}" if value.abstract else name


def from_decoration(names: str) -> tuple[Address | None, Address | None]:
    """Local and peer as ``-yy`` tells them: ``TCP:[127.0.0.1:1->127.0.0.1:2]``."""
    protocol, _, rest = names.partition(":[")
    if not protocol.startswith(("TCP", "UDP", "MPTCP", "SCTP", "DCCP")) or not rest.endswith("]"):
        return None, None
    local, arrow, peer = rest[:-1].partition("->")
    return _decorated(local), _decorated(peer) if arrow else None


def _decorated(text: str) -> Endpoint | None:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5:
        return None
    try:
        return Endpoint(_canonical(host.strip("[]")), int(port))
    except ValueError:
        return None


def _canonical(text: str) -> str:
    """As inet_ntop(3) prints it: an IPv4-mapped address ends in dotted decimal (RFC 5952 5)."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"
