"""The judge of the analyzer's causes: each rule both ways, and once against the real kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import pytest

from benchmarks.attribution_judge import RULES, judge
from benchmarks.attribution_truth import Moment as Now
from benchmarks.attribution_truth import Origin, Truth, origin_of, truths
from benchmarks.kernel_stacks import DELIVER, SENT, STATE, XMIT, Record
from observatory.model import (
    AttributedSegment,
    Call,
    Cause,
    CauseKind,
    Confidence,
    Endpoint,
    Frame,
    Interface,
    Process,
    Protocol,
    Segment,
    Trace,
)

CLIENT, SERVER = Endpoint("127.0.0.1", 5000), Endpoint("127.0.0.1", 80)
SYSCALL = ("do_syscall_64", "entry_SYSCALL_64_after_hwframe")
US = 1_000
ADDRESS = bytes((127, 0, 0, 1))


def a_segment(
    number: int, time_us: int, flags: str, seq: int, length: int = 0, *, back: bool = False
) -> Segment:
    src, dst = (SERVER, CLIENT) if back else (CLIENT, SERVER)
    frame = Frame(time_us * US, 0, b"", 66 + length)
    return Segment(
        number, time_us * US, 0, Protocol.TCP, src, dst, length, flags, seq, 1, frame=frame
    )


def a_record(
    time_us: float,
    event: str,
    *stack: str,
    thread: int = 100,
    softirq: bool = False,
    **values: int | bytes,
) -> Record:
    return Record(int(time_us * US), event, 0, thread, softirq, values, stack)


def given(time_us: float, packet: int, length: int, *stack: str, softirq: bool = False) -> Record:
    return a_record(
        time_us, XMIT, *stack, softirq=softirq, skbaddr=packet, len=66 + length, name=b"lo"
    )


def a_change(time_us: float, old: int, new: int, *, thread: int = 100) -> Record:
    return a_record(
        time_us, STATE, "tcp_set_state", *SYSCALL, thread=thread, skaddr=7, oldstate=old,
        newstate=new, sport=5000, dport=80, saddr=ADDRESS, daddr=ADDRESS,
        saddr_v6=bytes(10) + b"\xff\xff" + ADDRESS, daddr_v6=bytes(10) + b"\xff\xff" + ADDRESS,
    )  # fmt: skip


def a_call(number: int, name: str, from_us: int, to_us: int | None, **args: int) -> Call:
    returned = None if to_us is None else to_us * US
    return Call(number, name, 100, 100, 3, args, from_us * US, returned)


def a_trace(segments: Sequence[Segment], calls: Sequence[Call]) -> Trace:
    return Trace(
        interfaces=(Interface("lo", 1),),
        processes=(Process(100, None, "client", "client"),),
        calls=tuple(calls),
        segments=tuple(segments),
    )


CONNECT, CLOSE, FIN_WAIT_1, SYN_SENT, CLOSED, ESTABLISHED = "tcp_connect", "tcp_close", 4, 2, 7, 1


def a_conversation() -> tuple[Trace, list[Record]]:
    """Two sends, of which an ACK releases the second's bytes, and a close."""
    segments = [
        a_segment(1, 100, "S", 1000),
        a_segment(2, 300, "PA", 1001, 10),
        a_segment(3, 310, "A", 1, back=True),
        a_segment(4, 320, "PA", 1011, 20),
        a_segment(5, 500, "FA", 1031),
        a_segment(6, 9000, "FA", 1031),
    ]
    calls = [
        a_call(1, "connect", 90, 200),
        a_call(2, "send", 290, 305),
        a_call(3, "send", 306, 309),
        a_call(4, "close", 490, 510),
    ]
    write = ("__tcp_transmit_skb", "tcp_write_xmit")
    release = (*write, "tcp_rcv_established", "net_rx_action", "handle_softirqs", "other")
    records = [
        a_change(95, CLOSED, SYN_SENT),
        given(99, 11, 0, "__tcp_transmit_skb", CONNECT, *SYSCALL),
        a_change(150, SYN_SENT, ESTABLISHED),
        given(299, 12, 10, *write, "tcp_sendmsg", *SYSCALL),
        a_record(304, SENT, sk=7, ret=10),
        a_record(308, SENT, sk=7, ret=20),
        given(309, 13, 0, "__tcp_transmit_skb", "tcp_rcv_established", "net_rx_action",
              "handle_softirqs", softirq=True),
        a_record(312, DELIVER, softirq=True, skbaddr=13),
        given(319, 14, 20, *release, softirq=True),
        a_change(495, ESTABLISHED, FIN_WAIT_1),
        given(499, 15, 0, *write, CLOSE, *SYSCALL),
        given(8999, 16, 0, "__tcp_retransmit_skb", "tcp_write_timer", "call_timer_fn",
              "run_timer_softirq", "handle_softirqs", softirq=True),
    ]  # fmt: skip
    return a_trace(segments, calls), records


def test_each_segment_is_laid_to_who_made_it() -> None:
    trace, records = a_conversation()
    found = truths(trace, records)
    assert found.unmatched == ()
    syn, first, ack, second, fin, again = (found.by_segment[n] for n in range(1, 7))
    assert (syn.moment.origin, syn.moment.calls) == (Origin.CALL, {1})
    assert (first.fresh, first.whose) == (True, {2})
    assert ack.moment.origin is Origin.ARRIVAL
    assert (second.moment.origin, second.delivered, second.whose) == (Origin.ARRIVAL, 3, {3})
    assert (fin.fin, fin.whose, fin.moment.calls) == (True, {4}, {4})
    assert (again.again, again.moment.origin, again.whose) == (True, Origin.TIMER, {4})


def test_the_right_causes_are_right_and_others_wrong() -> None:
    trace, records = a_conversation()
    known = truths(trace, records).by_segment
    call, timer, reply = CauseKind.CALL, CauseKind.TIMER, CauseKind.REPLY
    right = {1: (call, 1), 2: (call, 2), 4: (call, 3), 5: (call, 4), 6: (timer, 4)}
    wrong = {1: (call, 2), 2: (reply, None), 4: (call, 2), 5: (call, 3), 6: (reply, 4)}
    for segment in trace.segments:
        if segment.id in right:
            truth = known[segment.id]
            assert not judge(concluded(segment, *right[segment.id]), truth).wrong
            assert judge(concluded(segment, *wrong[segment.id]), truth).wrong


def test_what_is_said_to_have_released_bytes_must_have_been_delivered() -> None:
    trace, records = a_conversation()
    truth = truths(trace, records).by_segment[4]
    released = concluded(trace.segments[3], CauseKind.CALL, 3, 3)
    assert not judge(released, truth).wrong
    assert "#2, not #3" in judge(concluded(trace.segments[3], CauseKind.CALL, 3, 2), truth).wrong


def test_two_that_may_be_the_same_are_not_judged() -> None:
    trace, records = a_conversation()
    twin = given(98, 99, 0, "__tcp_transmit_skb", CONNECT, *SYSCALL)
    other = Record(twin.time_ns, XMIT, 1, 100, False, twin.values, twin.stack)
    assert truths(trace, sorted([*records, other], key=lambda r: r.time_ns)).unmatched == (1,)
    assert not judge(concluded(trace.segments[0], CauseKind.CALL, 1), None).judged


def test_a_killed_process_is_laid_to_the_kill() -> None:
    trace, records = a_conversation()
    kill = Call(9, "kill", 100, 100, None, {"pid": 100}, 480 * US, None)
    died = given(499, 15, 0, "tcp_write_xmit", "__tcp_close", "do_exit", "get_signal", *SYSCALL)
    trace = a_trace(trace.segments, [*trace.calls, kill])
    records = [died if r.values.get("skbaddr") == 15 else r for r in records]
    assert truths(trace, records).by_segment[5].moment.calls == {9}


@pytest.mark.parametrize(
    ("stack", "softirq", "origin"),
    [
        (("tcp_write_xmit", "tcp_sendmsg", *SYSCALL), False, Origin.CALL),
        (("tcp_v4_do_rcv", "__release_sock", "release_sock", *SYSCALL), False, Origin.ARRIVAL),
        (("__tcp_transmit_skb", "release_sock", "tcp_recvmsg"), False, Origin.ARRIVAL),
        (("tcp_write_timer_handler", "release_sock", *SYSCALL), False, Origin.TIMER),
        (("tcp_v4_rcv", "net_rx_action", "handle_softirqs", "tcp_connect"), True, Origin.ARRIVAL),
        (("tcp_delack_timer", "run_timer_softirq", "handle_softirqs"), True, Origin.TIMER),
        (("tcp_close", "do_exit", "__x64_sys_exit_group"), False, Origin.DEATH),
        (("something", "handle_softirqs"), True, Origin.OTHER),
    ],
)
def test_a_stack_tells_where_a_packet_came_from(
    stack: tuple[str, ...], softirq: bool, origin: Origin
) -> None:
    assert origin_of(stack, softirq)[0] is origin


def test_an_ack_in_a_call_may_be_its_answer_or_its_doing() -> None:
    truth = Truth(Now(Origin.CALL, 100, frozenset({5}), ()), advances=True)
    ack = a_segment(1, 100, "A", 1001)
    for cause in ((CauseKind.REPLY, None), (CauseKind.REPLY, 5), (CauseKind.CALL, 5)):
        assert not judge(concluded(ack, *cause), truth).wrong
    for cause in ((CauseKind.TIMER, None), (CauseKind.CALL, 6), (CauseKind.UNKNOWN, None)):
        assert judge(concluded(ack, *cause), truth).wrong


def test_every_rule_has_an_answer() -> None:
    truth = Truth(Now(Origin.CALL, 100, frozenset({5}), ()), whose=frozenset({5}))
    assert all(rule(truth) for rule in RULES.values())


def concluded(
    segment: Segment, kind: CauseKind, call: int | None, to: int | None = None
) -> AttributedSegment:
    return AttributedSegment(segment, 1, Cause(kind, "", Confidence.CERTAIN, call, to))


@pytest.mark.skipif(os.geteuid() != 0, reason="tracefs is root's")
@pytest.mark.skipif(not shutil.which("nft"), reason="nft (nftables) is not installed")
def test_the_real_kernel_agrees(live: None) -> None:
    from benchmarks.attribution import ENOUGH, QUICK_CONNECTIONS, measure

    try:
        measured = measure(QUICK_CONNECTIONS, seed=1)
    except OSError as refused:
        pytest.skip(f"no tracefs here: {refused}")
    assert measured.alone.judged > 100
    # A few dozen segments tell nothing of one in a thousand; the benchmark does.
    told = "\n".join(measured.alone.misses)
    assert measured.alone.precision > ENOUGH - 0.02, told
