"""The play language itself: what each form becomes, and what is said of a play that is wrong."""

from __future__ import annotations

import pytest

from observatory.model import Endpoint, Protocol
from tests.plays import PlayError, read_play

REFUSED = """
# Nobody listens.
client   socket(AF_INET, SOCK_STREAM, 0) = 3
client c connect(3, server:80) ...
#1 client:5000 > server:80 S 1000
#2 server:80 > client:5000 R. 0 ack 1
client c ... = -1 ECONNREFUSED <0.0.0.0:5000 ->

expect:
#1 call c certain   # a remark
# another
all attributed
"""


def test_calls_have_entry_and_return() -> None:
    play = read_play(REFUSED)
    made, connect = play.trace.calls
    assert (made.name, made.fd, made.result, dict(made.args)["type"]) == (
        "socket",
        None,
        3,
        "SOCK_STREAM",
    )
    assert (connect.fd, connect.args, connect.result, connect.errno) == (
        3,
        {"address": "10.0.0.2:80"},
        -1,
        "ECONNREFUSED",
    )
    assert connect.local == Endpoint("0.0.0.0", 5000) and connect.peer is None
    assert connect.returned_ns is not None
    times = [s.time_ns for s in play.trace.segments]
    assert connect.entered_ns < times[0] < times[1] < connect.returned_ns
    assert play.labels == {"c": 2}
    assert play.title == "Nobody listens."


def test_segments_count_from_the_isn() -> None:
    syn, reset = read_play(REFUSED).trace.segments
    assert (syn.flags, syn.seq, syn.src) == ("S", 1000, Endpoint("10.0.0.1", 5000))
    assert (reset.flags, reset.ack) == ("RA", 1001)


def test_remarks_are_no_expectations() -> None:
    assert read_play(REFUSED).expectations == ("#1 call c certain", "all attributed")


def test_sequence_numbers_continue_and_wrap() -> None:
    segments = read_play(
        """
        a:1 > b:2 S 4294967295
        a:1 > b:2 P. 1:11(10) ack 1
        a:1 > b:2 P. (5) ack 1 win 7
        a:1 > b:2 F. ack 1
        a:1 > b:2 . ack 2
        a:1 > b:2 P. 1:11(10) ack 1
        """.replace("a:", "client:").replace("b:", "server:")
    ).trace.segments
    assert [s.seq for s in segments] == [4294967295, 0, 10, 15, 16, 0]
    assert [s.length for s in segments] == [0, 10, 5, 0, 0, 10]
    assert segments[2].window == 7


def test_a_new_isn_begins_anew() -> None:
    segments = read_play(
        """
        client:1 > server:2 S 1000
        server:2 > client:1 S. 5000 ack 1
        client:1 > server:2 P. 1:11(10) ack 1
        client:1 > server:2 S 9000
        server:2 > client:1 S. 7000 ack 1
        client:1 > server:2 . ack 1
        """
    ).trace.segments
    assert [(s.seq, s.ack) for s in segments[3:]] == [(9000, 0), (7000, 9001), (9001, 7001)]


def test_a_call_in_one_line_lasts_over_the_segments_below_it() -> None:
    play = read_play(
        """
        client send(3, 5) = 5
        client:1 > server:2 P. 1:6(5) ack 1
        server:2 > client:1 . ack 6
        server recv(4, 100) = 5
        +40ms server:2 > client:1 . ack 6
        """
    )
    send, recv = play.trace.calls
    first, second, third = play.trace.segments
    assert send.returned_ns and recv.returned_ns
    assert send.entered_ns < first.time_ns < second.time_ns < send.returned_ns
    assert recv.returned_ns < third.time_ns
    assert third.time_ns - recv.entered_ns == 40_000_000


def test_names_hold_for_later_calls_on_the_descriptor() -> None:
    play = read_play(
        """
        client connect(3, server:80) = 0 <client:5000 server:80>
        client send(3, 5) = 5
        client dup(3) = 6
        client close(3) = 0
        client send(6, 5) = 5
        client send(3, 5) = -1 EBADF
        """
    )
    locals_ = [str(call.local) for call in play.trace.calls]
    assert locals_ == ["10.0.0.1:5000"] * 5 + ["None"]


def test_forks_processes_and_their_ends() -> None:
    play = read_play(
        """
        process worker 300 child of server
        server fork() = server.1
        server fork() = server.2
        server kill(server.1, SIGKILL) = 0
        server.1 ends signal SIGKILL
        server.2 exit(3)
        server.2 ends status 3
        """
    )
    ends = {p.role: (p.pid, p.parent, p.status, p.signal) for p in play.trace.processes}
    assert ends["worker"] == (300, 200, None, None)
    assert ends["server.1"] == (202, 200, None, "SIGKILL")
    assert ends["server.2"] == (203, 200, 3, None)
    assert [c.args.get("pid") for c in play.trace.calls if c.name == "kill"] == [202]
    assert play.trace.calls[-1].returned_ns is None


def test_datagrams_messages_and_options() -> None:
    udp, icmp, ack = read_play(
        """
        host router 10.0.0.9
        #1 client:5000 > server:53 udp (20)
        #2 router > client icmp 3/1 quotes #1
        #3 client:1 > server:2 . 1 ack 1 <sack 11:21, ts 5 6>
        """
    ).trace.segments
    assert (udp.protocol, udp.length) == (Protocol.UDP, 20)
    assert icmp.icmp and icmp.icmp.quoted_dst == Endpoint("10.0.0.2", 53)
    assert str(icmp.src) == "10.0.0.9:0"
    assert ack.options.sack == ((10011, 10021),) and ack.options.timestamp == (5, 6)


def test_structured_arguments() -> None:
    poll, linger = read_play(
        """
        client poll(((3, POLLIN), (4, "POLLIN|POLLOUT")), -1, ((3, POLLIN))) = 1
        client setsockopt(3, SOL_SOCKET, SO_LINGER, (1, 0)) = 0
        """
    ).trace.calls
    assert poll.args["fds"] == ((3, "POLLIN"), (4, "POLLIN|POLLOUT"))
    assert poll.args["ready"] == ((3, "POLLIN"),)
    assert linger.args["value"] == (1, 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("client says hello", "line 1"),
        ("#2 client:1 > server:2 S 1", "this is segment #1"),
        ("client:1 > server:2 P. 1:6(4) ack 1", "are not 4 bytes"),
        ("client c send(3, 5) = 5\nclient c send(3, 5) = 5", "second call"),
        ("client c send(3, 5) = many", "no result"),
        ("client:1 > server:2 S 1\nexpect:\n# nothing", "expects nothing"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, complaint: str) -> None:
    with pytest.raises(PlayError, match=complaint):
        read_play(text)
