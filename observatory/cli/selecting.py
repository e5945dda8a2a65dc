"""Which behaviours are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.errors import UsageError

if TYPE_CHECKING:
    from observatory.lab.behaviour import Behaviour


SECTIONS = {
    "2.11": "buffer sizes",
    "4.2": "socket",
    "4.3": "connect",
    "4.4": "bind",
    "4.5": "listen",
    "4.6": "accept",
    "4.7": "fork and exec",
    "4.8": "concurrent servers",
    "4.9": "close",
    "4.10": "getsockname and getpeername",
    "5.4": "an echo client",
    "5.15": "crash and reboot of the peer",
    "6.6": "shutdown",
    "7.5": "socket options",
    "7.9": "TCP socket options",
    "13.9": "transactions",
    "14.2": "timeouts",
    "14.3": "recv and send",
    "14.7": "how much data is queued",
    "15.5": "a stream of the Unix domain",
    "16.2": "non-blocking reads and writes",
    "24.2": "out-of-band data",
}
"""What the sections of UNP (Stevens, Fenner, Rudoff: UNIX Network Programming, volume 1, third
edition) are about."""


def heading(section: str) -> str:
    """A section's number, and its subject where it is known."""
    return f"{section} {SECTIONS.get(section, '')}".rstrip()


def all_behaviours() -> list[Behaviour]:
    """The catalogue in its own order."""
    from observatory.scenarios.catalogue import catalogue

    return list(catalogue().values())


def of_section(section: str) -> list[Behaviour]:
    """The behaviours of ``4.3``, or with ``4`` of the whole chapter. Raises UsageError."""
    behaviours = all_behaviours()
    found = [one for one in behaviours if f"{one.section}.".startswith(f"{section}.")]
    if not found:
        sections = ", ".join(dict.fromkeys(behaviour.section for behaviour in behaviours))
        raise UsageError(f"no behaviour is of section {section}; there are {sections}")
    return found
