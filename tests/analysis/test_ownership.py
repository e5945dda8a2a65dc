"""Foreign packets are left out, the programs' own stay."""

from observatory.analysis.ownership import once, own_segments
from observatory.model import Call, Direction, Endpoint, Frame, Icmp, Protocol, Segment
from observatory.model.calls import Argument

HERE, THERE = Endpoint("10.0.0.2", 40_000), Endpoint("10.0.0.1", 80)
OTHER = Endpoint("10.0.0.2", 40_001)


def call(
    name: str,
    entered: int = 100,
    returned: int | None = 200,
    peer: Endpoint | None = None,
    **args: Argument,
) -> Call:
    return Call(1, name, 1, 1, 3, args, entered, returned, 0, peer=peer)


def segment(
    src: Endpoint,
    dst: Endpoint,
    flags: str = "",
    at: int = 150,
    protocol: Protocol = Protocol.TCP,
    interface: int = 0,
    icmp: Icmp | None = None,
    direction: Direction = Direction.UNKNOWN,
) -> Segment:
    frame = Frame(at, interface, b"", 0, direction)
    return Segment(at, at, interface, protocol, src, dst, 0, flags, icmp=icmp, frame=frame)


def test_a_connection_that_a_connect_opened_is_own() -> None:
    segments = [segment(HERE, THERE, "S"), segment(THERE, HERE, "SA", 160)]
    assert own_segments([call("connect", address=str(THERE))], segments) == segments


def test_one_that_began_while_no_connect_ran_is_another_programs() -> None:
    before, after = segment(HERE, THERE, "S", at=50), segment(OTHER, THERE, "S", at=250)
    assert own_segments([call("connect", address=str(THERE))], [before, after]) == []


def test_a_connect_that_never_returned_ran_to_the_end() -> None:
    late = segment(HERE, THERE, "S", at=9_000)
    assert own_segments([call("connect", returned=None, address=str(THERE))], [late]) == [late]


def test_what_comes_to_a_port_that_was_bound_is_own() -> None:
    bound = [call("bind", address="0.0.0.0:80")]
    arriving = segment(HERE, THERE, "S", direction=Direction.INBOUND)
    leaving = segment(HERE, THERE, "S", direction=Direction.OUTBOUND)
    assert own_segments(bound, [arriving]) == [arriving]
    assert own_segments(bound, [leaving]) == []  # to the same port of another machine


def test_an_accepted_peer_names_its_connection() -> None:
    syn = segment(HERE, THERE, "S")
    assert own_segments([call("accept4", peer=HERE)], [syn]) == [syn]


def test_a_datagram_to_where_a_socket_was_connected_is_own_while_something_is_sent() -> None:
    udp = Protocol.UDP
    calls = [call("connect", address=str(THERE)), call("send", 300, 320)]
    own = [
        segment(HERE, THERE, at=310, protocol=udp),
        segment(THERE, HERE, at=400, protocol=udp),
    ]
    foreign = segment(OTHER, THERE, at=500, protocol=udp)
    assert own_segments(calls, [*own, foreign]) == own


def test_an_icmp_error_goes_with_what_it_quotes() -> None:
    syn = segment(HERE, THERE, "S")
    router = Endpoint("10.0.0.254", 0)
    about = Icmp(3, 1, Protocol.TCP, HERE, THERE, 1)
    foreign = Icmp(3, 1, Protocol.TCP, OTHER, THERE, 1)
    error = segment(router, Endpoint("10.0.0.2", 0), protocol=Protocol.ICMP, icmp=about)
    another = segment(router, Endpoint("10.0.0.2", 0), protocol=Protocol.ICMP, icmp=foreign)
    assert own_segments([call("connect", address=str(THERE))], [syn, error, another]) == [
        syn,
        error,
    ]


def test_a_packet_that_two_interfaces_saw_counts_once_and_a_retransmission_twice() -> None:
    bridge = [
        segment(HERE, THERE, "S", 10, interface=1),
        segment(HERE, THERE, "S", 30, interface=1),
    ]
    port = [segment(HERE, THERE, "S", 11, interface=2)]
    assert once([bridge[0], port[0], bridge[1]]) == bridge


def test_the_same_port_towards_another_server_is_another_programs() -> None:
    elsewhere = Endpoint("10.0.0.3", 80)
    calls = [call("connect", address=str(THERE)), call("getsockname", 300, 310, address=str(HERE))]
    own, foreign = segment(HERE, THERE, "S"), segment(HERE, elsewhere, "S")
    assert own_segments(calls, [own, foreign]) == [own]


def test_an_accepted_peer_is_own_at_the_port_it_came_to() -> None:
    elsewhere = Endpoint("10.0.0.3", 81)
    calls = [call("bind", address=str(THERE)), call("accept4", 110, 120, peer=HERE)]
    own, foreign = segment(HERE, THERE, "S"), segment(HERE, elsewhere, "S")
    assert own_segments(calls, [own, foreign]) == [own]
