"""What the kernel grants here, found by trying it in a process that ends at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from observatory.errors import ObservatoryError
from observatory.lab.namespace import enter_private_network
from observatory.sources.ring import open_packet_socket, open_source


@dataclass(frozen=True, slots=True)
class Probe:
    """What was granted: a private network, a packet socket in it, and by which method that
    captures (``TPACKET_V3 ring, 64 MiB``). ``error`` is why the first of them was not."""

    namespace: bool
    capture: bool
    method: str = ""
    error: str = ""


def probe_private_network() -> Probe:
    """Try a run's private network and a capture on its loopback."""
    nothing = {"namespace": False, "capture": False}
    return Probe(**in_a_child(lambda: asdict(_try()), lambda error: {**nothing, **error}))


def _try() -> Probe:
    try:
        enter_private_network()
    except ObservatoryError as refusal:
        return Probe(namespace=False, capture=False, error=str(refusal))
    try:
        source = open_source(open_packet_socket("lo"), ring_bytes=1 << 20)
    except ObservatoryError as refusal:
        return Probe(namespace=True, capture=False, error=str(refusal))
    source.close()
    return Probe(namespace=True, capture=True, method=source.method)


def in_a_child(
    work: Callable[[], dict[str, Any]], failed: Callable[[dict[str, str]], dict[str, Any]]
) -> dict[str, Any]:
    """What ``work`` returns in a forked process; where it raises, what ``failed`` makes of the
    error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            found = work()
        except BaseException as error:
            found = failed({"error": repr(error)})
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    found = json.loads(told)
    assert isinstance(found, dict)
    return found
