"""Which packets a fault concerns: a plain value, and the sentence that says it.

::

    SYN                                     # a SYN that is no SYN-ACK, from anybody to anybody
    DATA.towards("server")                  # a segment with payload on its way to the server
    Match(Protocol.TCP, flags="F", port=80)

The firewall (``faults_nft``) and the relay (``relay_rules``) understand the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from observatory.model import Protocol, Segment

Addresses = Callable[[str], Collection[str]]
"""The IP addresses of a lab's host by its name; an address is its own."""

FLAG_LETTERS = "SFRPAUEC"

# (flags set, flags clear, payload): as a report names such a segment
_SEGMENT_NAMES = {
    ("S", "A", None): ("SYN", ""),
    ("SA", "", None): ("SYN-ACK", ""),
    ("F", "", None): ("FIN", ""),
    ("R", "", None): ("RST", ""),
    ("A", "SFR", False): ("ACK", "without data"),
}


@dataclass(frozen=True, slots=True)
class Match:
    """What a packet must be. A part that is left out asks for nothing.

    ``flags`` are the letters (S F R P A U E C) that must be set, ``without`` those that must not
    be; ``payload`` says whether there must be data (True) or none (False). ``source`` and
    ``destination`` are a host's name or an address, ``port`` the port of either end. Flags are
    TCP's alone. A datagram in fragments is not matched by its ports or payload.
    """

    protocol: Protocol | None = None
    flags: str = ""
    without: str = ""
    payload: bool | None = None
    source: str = ""
    destination: str = ""
    port: int | None = None

    def __post_init__(self) -> None:
        if (self.flags or self.without) and self.protocol is not Protocol.TCP:
            raise ValueError("only TCP segments have flags: say protocol=Protocol.TCP")
        if unknown := {*self.flags, *self.without} - set(FLAG_LETTERS):
            raise ValueError(f"no flag is called {', '.join(sorted(unknown))}: {FLAG_LETTERS}")
        transport = (None, Protocol.TCP, Protocol.UDP)
        if (self.port is not None or self.payload is not None) and self.protocol not in transport:
            raise ValueError(f"a port and a payload are TCP's and UDP's, not {self.protocol}'s")

    def towards(self, host: str) -> Match:
        """The same, on the way to ``host``."""
        return replace(self, destination=host)

    def sent_by(self, host: str) -> Match:
        """The same, from ``host``."""
        return replace(self, source=host)

    def on_port(self, port: int) -> Match:
        """The same, where either end has this port."""
        return replace(self, port=port)

    @property
    def whole_path(self) -> bool:
        """True if it asks for nothing: every packet is matched, ARP too."""
        return self == Match()

    def accepts(self, segment: Segment, addresses: Addresses) -> bool:
        """True if ``segment`` is such a packet."""
        return (
            (self.protocol is None or segment.protocol is self.protocol)
            and set(self.flags) <= set(segment.flags)
            and not set(self.without) & set(segment.flags)
            and (self.payload is None or self._has_payload(segment) is self.payload)
            and (not self.source or segment.src.address in addresses(self.source))
            and (not self.destination or segment.dst.address in addresses(self.destination))
            and (self.port is None or self.port in (segment.src.port, segment.dst.port))
        )

    @staticmethod
    def _has_payload(segment: Segment) -> bool | None:
        transport = segment.protocol in (Protocol.TCP, Protocol.UDP)
        return segment.length > 0 if transport else None

    def phrase(self, plural: bool) -> str:
        """``SYN from client to server``: as a sentence about the fault names such packets."""
        noun, details = self._words()
        words = f"{noun}s {details}" if plural else f"{noun} {details}"
        port = "" if self.port is None else f" on port {self.port}"
        source = f" from {self.source}" if self.source else ""
        destination = f" to {self.destination}" if self.destination else ""
        return f"{words.strip()}{port}{source}{destination}"

    def _words(self) -> tuple[str, str]:
        """The noun, and what follows it in the singular as in the plural."""
        known = _SEGMENT_NAMES.get((self.flags, self.without, self.payload))
        if known and self.protocol is Protocol.TCP:
            return known
        details = (
            f"with {self.flags} set" if self.flags else "",
            f"with {self.without} clear" if self.without else "",
            {None: "", True: "with data", False: "without data"}[self.payload],
        )
        return _NOUNS[self.protocol], " ".join(filter(None, details))


_NOUNS = {
    None: "packet",
    Protocol.TCP: "segment",
    Protocol.UDP: "datagram",
    Protocol.ICMP: "ICMP message",
    Protocol.ICMPV6: "ICMPv6 message",
}

EVERYTHING = Match()
SYN = Match(Protocol.TCP, flags="S", without="A")
SYN_ACK = Match(Protocol.TCP, flags="SA")
PURE_ACK = Match(Protocol.TCP, flags="A", without="SFR", payload=False)
DATA = Match(Protocol.TCP, payload=True)
FIN = Match(Protocol.TCP, flags="F")
RST = Match(Protocol.TCP, flags="R")
