"""Where a socket is: an IP endpoint or a Unix path."""

from __future__ import annotations

from dataclasses import dataclass

V4_MAPPED_PREFIX = "::ffff:"
WILDCARDS = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An IP address (canonical text) and a port. Prints as ``127.0.0.1:80`` or ``[::1]:80``."""

    address: str
    port: int

    def __str__(self) -> str:
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )

    @property
    def is_wildcard(self) -> bool:
        """True for 0.0.0.0 and ::, which name no address."""
        return self.address in WILDCARDS

    def on_the_wire(self) -> Endpoint:
        """As packets show it: an IPv4-mapped IPv6 address is IPv4 (RFC 4291 2.5.5.2)."""
        if self.address.startswith(V4_MAPPED_PREFIX) and "." in self.address:
            return Endpoint(self.address[len(V4_MAPPED_PREFIX) :], self.port)
        return self


@dataclass(frozen=True, slots=True, order=True)
class UnixAddress:
    """An AF_UNIX name: a path, ``@name`` if abstract, empty if unnamed. Prints ``unix:/path``."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = Endpoint | UnixAddress


def parse_address(text: object) -> Address | None:
    """The address that ``str(address)`` printed; None for anything else (``AF_UNSPEC``, None)."""
    if not isinstance(text, str):
        return None
    if text.startswith("unix:"):
        return UnixAddress(text[len("unix:") :])
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        return None
    return Endpoint(host.removeprefix("[").removesuffix("]"), int(port))
