"""Records of tracepoints. The kernel's own text of the same events says what they mean."""

import re
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.ring_pages import BadTracepoint, PageLayout, read_page
from observatory.codec.tracepoint_formats import Format, parse_format
from observatory.codec.tracepoints import TELLS, Decoder, in_hexadecimal, merge, rfc_state
from observatory.model import Endpoint, KernelEvent

RECORDED = Path(__file__).with_name("tracepoints")
FORMATS = {
    path.name.replace(".", ":"): parse_format(path.name.split(".")[0], path.read_text())
    for path in sorted((RECORDED / "formats").iterdir())
}
DECODER = Decoder.of(FORMATS.values())

COMMON = """
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;
"""


def recorded() -> list[KernelEvent]:
    """A refused connect over IPv4 and one over IPv6, a connection that the server closes with
    unread data, and a datagram to a closed port, on Linux 6.18."""
    page = read_page((RECORDED / "page.bin").read_bytes(), PageLayout())
    return list(DECODER.events(page.records))


def printed() -> list[tuple[str, int, int, dict[str, str]]]:
    """The same events as the kernel printed them: name, thread, time in µs, values by name."""
    found = []
    for line in (RECORDED / "trace.txt").read_text().splitlines():
        head = re.match(r"task-(\d+)\s+\[\d+\] \S+ (\d+)\.(\d+): (\w+): (.*)", line)
        assert head, line
        pid, seconds, micros, name, rest = head.groups()
        values = dict(re.findall(r"(\w+)[=:] ?(\S+)", rest))
        found.append((name, int(pid), int(seconds) * 1_000_000 + int(micros), values))
    return found


def end_printed(values: dict[str, str], side: str) -> Endpoint | None:
    """``saddr``, ``saddrv6`` and ``sport``, or ``src``, as an endpoint."""
    whole = values.get({"s": "src", "d": "dest"}[side])
    if whole:
        host, _, port = whole.rpartition(":")
        return Endpoint(host.strip("[]"), int(port))
    if f"{side}port" not in values:
        return None
    v4, v6, port = (values[side + what] for what in ("addr", "addrv6", "port"))
    v6 = v6.removeprefix("::ffff:") if "." in v6 else v6
    address = v4 if v4 == v6 else v6
    return None if (address, port) == ("0.0.0.0", "0") else Endpoint(address, int(port))


def test_every_record_says_what_the_kernel_prints() -> None:
    events, lines = recorded(), printed()
    assert len(events) == len(lines) == 44
    for event, (name, pid, micros, values) in zip(events, lines, strict=True):
        assert event.event.partition(":")[2] == name
        assert event.pid == pid
        assert abs(event.time_ns - micros * 1000) <= 1000
        assert event.src == end_printed(values, "s")
        assert event.dst == end_printed(values, "d")
        if "oldstate" in values:
            assert event.detail["old"] == rfc_state(values["oldstate"])
            assert event.detail["new"] == rfc_state(values["newstate"])
        if "reason" in values:
            assert event.detail["reason"] == values["reason"]
        if "len" in values:
            assert event.detail["length"] == int(values["len"])
            assert event.detail["interface"] == values["dev"]


def test_a_refused_connect_is_told_in_our_words() -> None:
    first, *_ = events = [event for event in recorded() if event.event != "net:net_dev_queue"]
    socket = first.detail["socket"]
    told = [
        (event.event, {**event.detail, "location": "", "packet": ""})
        for event in events
        if Endpoint("127.0.0.1", 9) in (event.src, event.dst)
    ][:5]
    nothing = {"location": "", "packet": ""}
    tcp = {"family": "AF_INET", "protocol": "TCP", **nothing}
    assert told == [
        ("sock:inet_sock_set_state", {"old": "CLOSED", "new": "SYN-SENT", "socket": socket, **tcp}),
        ("tcp:tcp_send_reset", {"reason": "NO_SOCKET", "state": "", "socket": "", **nothing}),
        ("tcp:tcp_receive_reset", {"socket": socket, **nothing}),
        ("sock:inet_sock_set_state", {"old": "SYN-SENT", "new": "CLOSED", "socket": socket, **tcp}),
        ("sock:inet_sk_error_report", {"error": "ECONNREFUSED", **tcp}),
    ]


def test_a_packet_keeps_its_identity_from_the_queue_to_its_drop() -> None:
    events = recorded()
    queued = [event for event in events if event.event == "net:net_dev_queue"]
    dropped = [event for event in events if event.event == "skb:kfree_skb"]
    assert [drop.detail["protocol"] for drop in dropped] == ["IPv4", "IPv6", "IPv4"]
    for drop in dropped:
        before = [event for event in queued if event.time_ns < drop.time_ns]
        assert drop.detail["packet"] in [event.detail["packet"] for event in before]


def test_a_datagram_is_of_udp_though_the_kernel_has_no_name_for_it() -> None:
    assert recorded()[-1].detail["protocol"] == "UDP"


def test_what_is_asked_of_the_kernel_was_there() -> None:
    for wanted in TELLS:
        event, _, field = wanted.partition(".")
        assert not field or field in FORMATS[event].names


OLD_RESET = (
    "name: tcp_send_reset\nID: 1327\nformat:" + COMMON + """
	field:const void * skbaddr;	offset:8;	size:8;	signed:0;
	field:const void * skaddr;	offset:16;	size:8;	signed:0;
	field:int state;	offset:24;	size:4;	signed:1;
	field:__u16 sport;	offset:28;	size:2;	signed:0;
	field:__u16 dport;	offset:30;	size:2;	signed:0;
	field:__u8 saddr[4];	offset:32;	size:4;	signed:0;
	field:__u8 daddr[4];	offset:36;	size:4;	signed:0;
	field:__u8 saddr_v6[16];	offset:40;	size:16;	signed:0;
	field:__u8 daddr_v6[16];	offset:56;	size:16;	signed:0;

print fmt: "sport=%hu dport=%hu saddr=%pI4 daddr=%pI4 saddrv6=%pI6c daddrv6=%pI6c state=%s", """
    """REC->sport, REC->dport, REC->saddr, REC->daddr, REC->saddr_v6, REC->daddr_v6, """
    """__print_symbolic(REC->state, { TCP_ESTABLISHED, "TCP_ESTABLISHED" }, """
    """{ TCP_FIN_WAIT1, "TCP_FIN_WAIT1" })
"""
)
OLD_DROP = (
    "name: kfree_skb\nID: 1352\nformat:"
    + COMMON
    + """
	field:void * skbaddr;	offset:8;	size:8;	signed:0;
	field:void * location;	offset:16;	size:8;	signed:0;
	field:unsigned short protocol;	offset:24;	size:2;	signed:0;

print fmt: "skbaddr=%p protocol=%u location=%p", REC->skbaddr, REC->protocol, REC->location
"""
)


def test_an_older_kernel_gives_a_reset_without_a_reason() -> None:
    decoder = Decoder.of([parse_format("tcp", OLD_RESET)])
    four, six = bytes([192, 0, 2, 1]), bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1])
    record = struct.pack("=HBBi", 1327, 0, 0, 4711)
    record += struct.pack("=QQiHH", 0xABC0, 0xDEF0, 4, 443, 50000) + four + four + six + six
    event = decoder.event(7, record)
    assert event == KernelEvent(
        id=0,
        time_ns=7,
        event="tcp:tcp_send_reset",
        pid=4711,
        src=Endpoint("192.0.2.1", 443),
        dst=Endpoint("192.0.2.1", 50000),
        detail={"reason": "", "state": "FIN-WAIT-1", "socket": "def0", "packet": "abc0"},
    )


def test_an_older_kernel_gives_a_drop_without_a_reason() -> None:
    decoder = Decoder.of([parse_format("skb", OLD_DROP)])
    record = struct.pack("=HBBiQQHHI", 1352, 0, 0, 0, 0xABC0, 0x1234, 0x86DD, 0, 0)
    event = decoder.event(7, record)
    assert event is not None
    assert event.detail == {
        "reason": "",
        "location": "1234",
        "packet": "abc0",
        "receiver": "",
        "protocol": "IPv6",
    }


def test_what_a_table_does_not_name_is_shown_as_a_number() -> None:
    text = OLD_DROP.replace(
        "unsigned short protocol;	offset:24;	size:2",
        "unsigned short reason;	offset:24;	size:2",
    ).replace(
        "REC->location\n",
        'REC->location, __print_symbolic(REC->reason, { 0x2, "NO_SOCKET" }, { SOME_NAME, "X" })\n',
    )
    layout = parse_format("skb", text)
    assert layout.symbols == {"reason": {2: "NO_SOCKET"}}
    record = struct.pack("=HBBiQQHHI", 1352, 0, 0, 0, 0, 0, 99, 0, 0)
    values = layout.values(record)
    assert layout.symbol(values, "reason") == "99"
    assert layout.symbol(values, "nothing") == ""


def test_the_next_events_are_merged_in_the_order_of_time() -> None:
    events = recorded()
    odd, even = events[1::2], events[::2]
    assert merge([*odd, *even]) == events


@pytest.mark.parametrize(
    ("kernel", "rfc"),
    [
        ("TCP_ESTABLISHED", "ESTABLISHED"),
        ("TCP_NEW_SYN_RECV", "SYN-RECEIVED"),
        ("TCP_FIN_WAIT2", "FIN-WAIT-2"),
        ("TCP_CLOSE", "CLOSED"),
        ("TCP_SOMETHING_NEW", "SOMETHING-NEW"),
    ],
)
def test_states_have_the_names_of_the_rfc(kernel: str, rfc: str) -> None:
    assert rfc_state(kernel) == rfc


@pytest.mark.parametrize("text", ["", "name: x\n", "name: x\nID: 1\nformat:\n"])
def test_a_format_without_what_is_needed_is_refused(text: str) -> None:
    with pytest.raises(BadTracepoint):
        parse_format("tcp", text)


def test_a_record_shorter_than_its_format_is_refused() -> None:
    layout = FORMATS["tcp:tcp_send_reset"]
    with pytest.raises(BadTracepoint, match="tcp_send_reset"):
        DECODER.event(0, struct.pack("=H", layout.id) + bytes(20))


def test_a_record_of_another_event_is_passed_over() -> None:
    assert DECODER.event(0, struct.pack("=H", 65535) + bytes(100)) is None
    assert DECODER.event(0, b"") is None


@given(st.sampled_from(list(FORMATS.values())), st.binary(max_size=120))
def test_whatever_the_record_it_is_read_or_refused(layout: Format, rest: bytes) -> None:
    record = struct.pack("=H", layout.id) + rest
    try:
        event = DECODER.event(0, record)
    except BadTracepoint:
        return
    assert event is not None and event.event == layout.event


NAMES = st.sampled_from(
    ["saddr", "daddr", "saddr_v6", "sport", "dport", "family", "skaddr", "state", "len", "name"]
)
FIELDS = st.lists(st.tuples(NAMES, st.integers(0, 60), st.integers(0, 40)), max_size=6)


@given(FIELDS, st.sampled_from(list(FORMATS)), st.binary(min_size=100, max_size=140))
def test_whatever_the_format_a_record_is_read_or_refused(
    fields: list[tuple[str, int, int]], event: str, rest: bytes
) -> None:
    system, _, name = event.partition(":")
    lines = (f"\tfield:int {f};\toffset:{o};\tsize:{s};\tsigned:0;\n" for f, o, s in fields)
    text = f'name: {name}\nID: 77\nformat:{COMMON}\n{"".join(lines)}\nprint fmt: ""\n'
    with suppress(BadTracepoint):
        decoder = Decoder.of([parse_format(system, text)], in_hexadecimal)
        decoder.event(0, struct.pack("=H", 77) + rest)


@given(st.text(alphabet='nameIDfield:;offsetsize 0123456789\n\t{}",_->REC', max_size=300))
def test_whatever_the_text_it_is_a_format_or_refused(text: str) -> None:
    with suppress(BadTracepoint):
        parse_format("tcp", "name: x\nID: 1\nformat:" + COMMON + text)
