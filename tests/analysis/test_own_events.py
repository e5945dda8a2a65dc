"""Which of the machine's kernel events are a run's.

Two namespaces use the same addresses here: a client (thread 11) and a server (12) are the run's,
91 and 92 are somebody else's.
"""

from itertools import count

from observatory.analysis.own_events import Own, own_events
from observatory.model import (
    Call,
    Direction,
    Endpoint,
    Frame,
    Interface,
    KernelEvent,
    Process,
    Protocol,
    Segment,
    Trace,
)
from observatory.model.calls import Argument

CLIENT, SERVER = Endpoint("127.0.0.1", 40_000), Endpoint("127.0.0.1", 80)
LISTENING = Endpoint("0.0.0.0", 80)
ELSEWHERE = Endpoint("127.0.0.1", 50_000)
OURS, OUR_SERVER, THEIRS, THEIR_SERVER, IDLE = 11, 12, 91, 92, 0
US = 1_000
SECOND = 1_000_000_000


def segment(
    src: Endpoint, dst: Endpoint, at: int, flags: str = "S", length: int = 0, frame: int = 74
) -> Segment:
    seen = Frame(at, 0, b"", frame, Direction.INBOUND)
    return Segment(at, at, 0, Protocol.TCP, src, dst, length, flags, frame=seen)


def trace(*segments: Segment, calls: tuple[Call, ...] = (), interface: str = "lo") -> Trace:
    processes = (Process(OURS, None, "", "client"), Process(OUR_SERVER, None, "", "server"))
    return Trace(
        interfaces=(Interface(interface, 1),), processes=processes, calls=calls, segments=segments
    )


def event(
    name: str,
    pid: int = OURS,
    src: Endpoint | None = CLIENT,
    dst: Endpoint | None = SERVER,
    at: int = 0,
    **detail: Argument,
) -> KernelEvent:
    return KernelEvent(0, at, name, pid, src, dst, detail)


def change(
    old: str,
    new: str,
    socket: str,
    pid: int = OURS,
    src: Endpoint | None = CLIENT,
    dst: Endpoint | None = SERVER,
    at: int = 0,
) -> KernelEvent:
    return event("sock:inet_sock_set_state", pid, src, dst, at, old=old, new=new, socket=socket)


def queue(packet: str, at: int, pid: int = OURS, length: int = 74, on: str = "lo") -> KernelEvent:
    name = "net:net_dev_queue"
    return event(name, pid, None, None, at, packet=packet, length=length, interface=on)


def drop(packet: str, at: int, reason: str, receiver: str = "", pid: int = OURS) -> KernelEvent:
    told = {"reason": reason, "packet": packet, "receiver": receiver, "protocol": "IPv4"}
    return KernelEvent(0, at, "skb:kfree_skb", pid, None, None, {"location": "", **told})


def sorted_out(*events: KernelEvent, of: Trace) -> tuple[list[tuple[str, int]], int]:
    """Names and times of those that are the run's, and how many were foreign."""
    own = own_events(sorted(events, key=lambda one: one.time_ns), of)
    assert [one.id for one in own.events] == list(range(1, len(own.events) + 1))
    return [(one.event.partition(":")[2], one.time_ns) for one in own.events], own.foreign


def refused(pid: int, socket: str, at: int) -> list[KernelEvent]:
    unbound = Endpoint(CLIENT.address, 0)
    return [
        change("CLOSED", "SYN-SENT", socket, pid, src=unbound, at=at),
        event("tcp:tcp_receive_reset", pid, at=at + 1, socket=socket),
        change("SYN-SENT", "CLOSED", socket, pid, at=at + 2),
        event("tcp:tcp_destroy_sock", pid, at=at + 3, socket=socket),
    ]


def test_a_connect_of_the_run_is_its_own_from_the_beginning() -> None:
    own, foreign = sorted_out(*refused(OURS, "a", 0), of=trace(segment(CLIENT, SERVER, 1)))
    assert (len(own), foreign) == (4, 0)


def test_the_same_endpoints_in_another_namespace_are_foreign_and_counted() -> None:
    own, foreign = sorted_out(
        *refused(OURS, "a", 0),
        *refused(THEIRS, "b", 10),
        of=trace(segment(CLIENT, SERVER, 1), segment(SERVER, CLIENT, 2, "RA")),
    )
    assert [at for _, at in own] == [0, 1, 2, 3]
    assert foreign == 4


def test_other_endpoints_are_noise_that_nobody_counts() -> None:
    elsewhere = [
        change("CLOSED", "SYN-SENT", "b", THEIRS, src=ELSEWHERE),
        event("tcp:tcp_destroy_sock", THEIRS, src=ELSEWHERE, socket="b", at=1),
    ]
    assert sorted_out(*elsewhere, of=trace(segment(CLIENT, SERVER, 1))) == ([], 0)


def test_the_same_endpoints_at_another_time_are_noise() -> None:
    late = change("ESTABLISHED", "CLOSED", "b", IDLE, at=SECOND)
    assert sorted_out(late, of=trace(segment(CLIENT, SERVER, 1))) == ([], 0)


def test_a_socket_may_have_the_address_of_one_that_is_gone() -> None:
    own, foreign = sorted_out(
        *refused(THEIRS, "a", 0),
        *refused(OURS, "a", 10),
        of=trace(segment(CLIENT, SERVER, 11)),
    )
    assert [at for _, at in own] == [10, 11, 12, 13]
    assert foreign == 4


def accepted(client: int, socket: str, child: str, at: int) -> list[KernelEvent]:
    """Over the loopback all of a handshake runs in the client's thread."""
    back = {"src": SERVER, "dst": CLIENT}
    return [
        change("CLOSED", "SYN-SENT", socket, client, at=at),
        change("SYN-SENT", "ESTABLISHED", socket, client, at=at + 1),
        change("LISTEN", "SYN-RECEIVED", child, client, at=at + 2, **back),
        change("SYN-RECEIVED", "ESTABLISHED", child, client, at=at + 3, **back),
    ]


def test_a_child_of_a_listener_is_whose_its_client_is() -> None:
    seen = trace(segment(CLIENT, SERVER, 1), segment(SERVER, CLIENT, 2, "SA"))
    own, foreign = sorted_out(*accepted(OURS, "a", "b", 0), of=seen)
    assert (len(own), foreign) == (4, 0)
    own, foreign = sorted_out(*accepted(THEIRS, "a", "b", 0), of=seen)
    assert (len(own), foreign) == (0, 4)


def test_two_conversations_of_the_same_endpoints_at_once_do_not_mix() -> None:
    seen = trace(segment(CLIENT, SERVER, 1), segment(SERVER, CLIENT, 2, "SA"))
    own, foreign = sorted_out(
        *accepted(OURS, "a", "b", 0), *accepted(THEIRS, "c", "d", 10), of=seen
    )
    assert [at for _, at in own] == [0, 1, 2, 3]
    assert foreign == 4


def test_a_child_whose_client_is_on_another_machine_is_whose_wire_it_was_on() -> None:
    """Its packets arrive in whatever thread was just running, somebody's who connects too."""
    back = {"src": SERVER, "dst": CLIENT}
    own, foreign = sorted_out(
        change("CLOSED", "SYN-SENT", "z", THEIRS, src=ELSEWHERE, at=0),
        change("LISTEN", "SYN-RECEIVED", "b", THEIRS, at=1, **back),
        change("SYN-RECEIVED", "ESTABLISHED", "b", THEIRS, at=2, **back),
        change("CLOSE-WAIT", "LAST-ACK", "b", OUR_SERVER, at=3, **back),
        of=trace(segment(CLIENT, SERVER, 1), interface="eth0"),
    )
    assert [at for _, at in own] == [1, 2, 3]
    assert foreign == 0


def test_a_listener_is_whose_listen_it_was() -> None:
    def listening(pid: int, socket: str, at: int) -> list[KernelEvent]:
        return [
            change("CLOSED", "LISTEN", socket, pid, LISTENING, None, at),
            change("LISTEN", "CLOSED", socket, pid, LISTENING, None, at + 1),
        ]

    bound = Call(1, "bind", OUR_SERVER, OUR_SERVER, 3, {}, 0, 1, 0, local=LISTENING)
    seen = trace(calls=(bound,))
    assert len(sorted_out(*listening(OUR_SERVER, "a", 0), of=seen)[0]) == 2
    assert sorted_out(*listening(THEIR_SERVER, "a", 0), of=seen) == ([], 2)


def test_a_socket_that_never_had_a_peer_is_its_threads() -> None:
    closed = event("tcp:tcp_destroy_sock", OURS, None, None, socket="a")
    foreign = event("tcp:tcp_destroy_sock", THEIRS, None, None, socket="b")
    assert sorted_out(closed, foreign, of=trace()) == ([("tcp_destroy_sock", 0)], 0)


def test_what_a_timer_does_belongs_to_the_socket_that_set_it() -> None:
    own, _ = sorted_out(
        change("CLOSED", "SYN-SENT", "a", OURS),
        event("tcp:tcp_retransmit_skb", IDLE, at=SECOND, socket="a", packet="p"),
        of=trace(segment(CLIENT, SERVER, 1), segment(CLIENT, SERVER, SECOND)),
    )
    assert own == [("inet_sock_set_state", 0), ("tcp_retransmit_skb", SECOND)]


def reset(pid: int, at: int, packet: str = "p") -> KernelEvent:
    """By a port where nobody listens: no socket."""
    told = {"reason": "NO_SOCKET", "socket": "", "packet": packet}
    return event("tcp:tcp_send_reset", pid, SERVER, CLIENT, at, **told)


def test_a_reset_without_a_socket_is_whose_segment_it_answers() -> None:
    (told,) = own_events(
        [queue("p", 0), reset(OURS, 5)], trace(segment(CLIENT, SERVER, 2 * US))
    ).events
    assert told.event == "tcp:tcp_send_reset"
    assert told.detail["segment_time"] == 2 * US


def test_a_reset_without_a_socket_in_anothers_connect_is_foreign() -> None:
    seen = trace(segment(CLIENT, SERVER, 1))
    theirs = change("CLOSED", "SYN-SENT", "b", THEIRS, at=1)
    theirs_too = change("SYN-SENT", "CLOSED", "b", THEIRS, at=6)
    ours = change("CLOSED", "SYN-SENT", "a", OURS, at=0)
    ours_too = change("SYN-SENT", "CLOSED", "a", OURS, at=9)
    events = [ours, ours_too, theirs, theirs_too, reset(THEIRS, 5), reset(OURS, 8)]
    own, foreign = sorted_out(*events, of=seen)
    assert [at for name, at in own if name == "tcp_send_reset"] == [8]
    assert foreign == 3


def test_a_reported_error_of_0_is_none() -> None:
    told = event("sock:inet_sk_error_report", error="0")
    assert sorted_out(told, of=trace(segment(CLIENT, SERVER, 0))) == ([], 0)


def dropped(*events: KernelEvent, of: Trace) -> Own:
    return own_events(sorted(events, key=lambda one: one.time_ns), of)


def test_a_dropped_packet_is_the_segment_that_was_queued_at_its_address() -> None:
    syn = segment(CLIENT, SERVER, 3 * US)
    own = dropped(queue("p", 2 * US), drop("p", 5 * US, "NETFILTER_DROP"), of=trace(syn))
    (told,) = own.events
    assert (told.src, told.dst) == (CLIENT, SERVER)
    assert told.detail["segment_time"] == syn.time_ns


def test_a_packet_that_came_later_to_the_same_address_is_another() -> None:
    syn = segment(CLIENT, SERVER, 3 * US)
    own = dropped(
        queue("p", 2 * US),
        queue("p", SECOND, THEIRS, length=99),
        drop("p", SECOND + US, "NO_SOCKET", pid=THEIRS),
        of=trace(syn),
    )
    assert own.events == ()


def test_of_two_packets_queued_at_once_ours_is_the_one_of_our_thread() -> None:
    syn = segment(CLIENT, SERVER, 9 * US)
    own = dropped(
        queue("p", 6 * US, OURS),
        queue("q", 7 * US, THEIRS),
        drop("q", 10 * US, "NO_SOCKET", pid=THEIRS),
        drop("p", 11 * US, "TCP_OLD_DATA"),
        of=trace(syn),
    )
    assert [told.detail["reason"] for told in own.events] == ["TCP_OLD_DATA"]


def test_what_arrives_from_another_machine_was_queued_there() -> None:
    """Our own packet of the same length must not be taken for it."""
    arriving = segment(SERVER, CLIENT, 3 * US)
    own = dropped(
        queue("p", 2 * US, on="eth0"),
        drop("p", 5 * US, "NO_SOCKET"),
        of=trace(arriving, interface="eth0"),
    )
    assert own.events == ()


def test_in_a_lab_the_hosts_name_is_not_the_devices() -> None:
    syn = segment(CLIENT, SERVER, 3 * US)
    syn = Segment(
        *(syn.id, syn.time_ns, 0, syn.protocol, CLIENT, SERVER, 0, "S"),
        frame=Frame(syn.time_ns, 0, b"", 74, Direction.OUTBOUND),
    )
    seen = trace(syn, interface="client:eth0")
    own = dropped(queue("p", 2 * US, on="eth0"), drop("p", 5 * US, "NETFILTER_DROP"), of=seen)
    assert len(own.events) == 1


def test_what_a_closing_socket_frees_is_no_loss_unless_it_has_bytes() -> None:
    numbers = count(1)

    def freed(flags: str, length: int, reason: str) -> bool:
        at = next(numbers) * SECOND
        seen = segment(CLIENT, SERVER, at, flags, length)
        packet = [queue("p", at), drop("p", at + US, reason)]
        return bool(dropped(*packet, of=trace(seen)).events)

    assert not freed("FA", 0, "QUEUE_PURGE")
    assert freed("PA", 10, "QUEUE_PURGE")
    assert not freed("FA", 0, "NOT_SPECIFIED")
    assert freed("S", 0, "NOT_SPECIFIED")
    assert not freed("PA", 10, "CONSUMED")
    assert not freed("PA", 10, "OTHERHOST")
    assert freed("PA", 10, ""), "an older kernel gives no reasons at all"
    assert not freed("FA", 0, "")


def test_a_drop_at_a_socket_of_ours_is_ours_without_its_packet() -> None:
    opened = change("CLOSED", "SYN-SENT", "a", OURS)
    closed = change("ESTABLISHED", "CLOSED", "a", OURS, at=9)
    own = dropped(
        opened,
        drop("x", 5, "TCP_OLD_DATA", receiver="a", pid=IDLE),
        drop("y", 6, "TCP_OLD_DATA", receiver="b", pid=IDLE),
        drop("z", SECOND, "TCP_OLD_DATA", receiver="a", pid=IDLE),
        closed,
        of=trace(segment(CLIENT, SERVER, 1)),
    )
    assert [told.detail.get("packet") for told in own.events] == [None, "x", None]


def test_an_address_that_was_used_again_is_not_taken_for_the_segment() -> None:
    """By what another machine sent, which was not queued here."""
    at = 3 * US
    seen = trace(segment(CLIENT, SERVER, at, "PA", 10))
    begin = queue("p", 2 * US)
    assert dropped(begin, drop("p", at + US, "NO_SOCKET"), of=seen).events
    assert not dropped(begin, drop("p", at + SECOND, "NO_SOCKET"), of=seen).events
    assert dropped(begin, drop("p", at + SECOND, "QUEUE_PURGE"), of=seen).events
    assert not dropped(begin, drop("p", at + SECOND, "QUEUE_PURGE", pid=THEIRS), of=seen).events
    other = drop("p", at + US, "NO_SOCKET")
    other = KernelEvent(
        0, other.time_ns, other.event, OURS, None, None, {**other.detail, "protocol": "IPv6"}
    )
    assert not dropped(begin, other, of=seen).events
    elsewhere = event("tcp:tcp_send_reset", OURS, ELSEWHERE, CLIENT, at + US, packet="p", socket="")
    assert not dropped(begin, elsewhere, of=seen).events


def test_a_connection_without_packets_is_ours_if_one_of_our_sockets_had_its_endpoint() -> None:
    """Made by TCP_REPAIR, say. Of another its packets may just have arrived in our thread."""
    bound = Call(1, "getsockname", OURS, OURS, 3, {}, 0, 1, 0, local=CLIENT)
    gone = change("ESTABLISHED", "CLOSED", "a")
    assert len(sorted_out(gone, of=trace(calls=(bound,)))[0]) == 1
    assert sorted_out(gone, of=trace()) == ([], 0)
