"""A lab of three hosts and the frames that its interfaces see, for tests of sightings."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack

from observatory.model import Direction, Frame, Interface, Link, Node, Topology
from tests.packets import START_NS, ethernet

CLIENT, SERVER = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 1])
ROUTED = Topology(
    "routed",
    (
        Node("client", False, (("eth0", "192.0.2.1/24"), ("eth0", "2001:db8:1::1/64"))),
        Node("router", True, (("eth0", "192.0.2.254/24"), ("eth1", "198.51.100.254/24"))),
        Node("server", False, (("eth0", "198.51.100.1/24"), ("eth0", "2001:db8:2::1/64"))),
    ),
    (
        Link((("client", "eth0"), ("router", "eth0"))),
        Link((("router", "eth1"), ("server", "eth0")), "user-space relay"),
    ),
)
INTERFACES = tuple(
    Interface(name, 1, host=name.partition(":")[0])
    for name in ("client:eth0", "router:eth0", "router:eth1", "server:eth0", "client:lo")
)
OUT, IN = Direction.OUTBOUND, Direction.INBOUND
# Each way as (interface, direction), from the client and back.
THERE = ((0, OUT), (1, IN), (2, OUT), (3, IN))
BACK = ((3, OUT), (2, IN), (1, OUT), (0, IN))


def packet(
    transport: bytes,
    *,
    protocol: int = 6,
    number: int = 0,
    hops: int = 0,
    src: bytes = CLIENT,
    dst: bytes = SERVER,
    fragment: int = 0x4000,
) -> bytes:
    """An IPv4 packet after ``hops`` routers. Its header checksum is left out (0)."""
    total = 20 + len(transport)
    fixed = pack("!BBHHHBBH", 0x45, 0, total, number, fragment, 64 - hops, protocol, hops)
    return ethernet(fixed + src + dst + transport)


@dataclass
class Lab:
    """Frames as they are seen."""

    frames: list[Frame] = field(default_factory=list)

    def see(self, at_us: int, where: tuple[int, Direction], data: bytes) -> None:
        interface, direction = where
        time_ns = START_NS + at_us * 1000
        self.frames.append(Frame(time_ns, interface, data, len(data), direction))

    def in_order(self) -> list[Frame]:
        return sorted(self.frames, key=lambda frame: frame.time_ns)
