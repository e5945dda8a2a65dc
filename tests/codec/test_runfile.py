"""The run file: what is written reads back equal, whatever happens to it is said, and the
programs that people have open it."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.pcap import write_pcap
from observatory.codec.runfile import read_capture, write_run
from observatory.codec.sightings import decode_run
from observatory.errors import BadFile
from observatory.model import (
    Call,
    Interface,
    Link,
    Node,
    Process,
    RunHeader,
    Topology,
    Trace,
)
from tests.codec.lab_packets import INTERFACES, ROUTED, THERE, Lab, packet
from tests.packets import START_NS, ethernet, frame, ipv4, refused_connect, tcp

CATALOGUE = Path(__file__).parents[2] / "captures" / "catalogue"
NOTES = {
    1: ("#1 ← connect() by client[4711]: SYN, active open", "#1 completes nothing"),
    2: ("#2 ← reply",),
}


def run_bytes(trace, notes=None):
    return b"".join(write_run(trace, notes))


def test_a_run_comes_back_equal():
    trace = refused_connect()
    again = read_capture(run_bytes(trace, NOTES))
    assert again == trace
    assert [call.site for call in again.calls] == [call.site for call in trace.calls]


def test_a_run_in_the_lab_comes_back_equal():
    trace = refused_connect()
    lab = Topology(
        "pair",
        (Node("client", False, (("eth0", "192.0.2.1/24"),)), Node("server")),
        (Link((("client", "eth0"), ("server", "eth0")), "user-space relay"),),
        ("the server's port 9 is closed",),
    )
    interfaces = (Interface("client:eth0", 1, 0, 4, 0, "client"),)
    trace = replace(
        trace,
        run=replace(trace.run, topology=lab),
        interfaces=interfaces,
        segments=decode_run(trace.frames, interfaces, lab)[0],
        processes=tuple(replace(each, host="client") for each in trace.processes),
    )
    assert read_capture(run_bytes(trace)) == trace


def test_why_the_kernel_was_not_asked_comes_back():
    trace = replace(refused_connect(), witness=None, unwatched="tracefs is root's alone")
    assert read_capture(run_bytes(trace)) == trace


@pytest.mark.parametrize("path", sorted(CATALOGUE.glob("*.pcapng")), ids=lambda path: path.stem)
def test_the_catalogue_is_read_without_a_defect(path):
    trace = read_capture(path.read_bytes())
    assert trace.calls
    # A lab's links carry neighbour discovery too, whatever the programs do.
    assert trace.segments or not trace.frames or trace.run.topology is not None
    assert not [defect for defect in trace.defects if "record" in defect]


def test_an_empty_trace_comes_back_equal():
    assert read_capture(run_bytes(Trace())) == Trace()


def test_writing_twice_gives_the_same_bytes():
    data = run_bytes(refused_connect(), NOTES)
    assert run_bytes(read_capture(data), NOTES) == data


def test_a_header_too_long_for_an_option_comes_back():
    many = tuple(Process(pid, 1, "a server " * 5, f"server.{pid}") for pid in range(1000))
    trace = replace(refused_connect(), processes=many)
    assert read_capture(run_bytes(trace)) == trace


def test_a_capture_of_another_program_has_no_calls():
    frames = [frame(ethernet(ipv4(tcp())), at=at) for at in (500, 0)]
    trace = read_capture(b"".join(write_pcap(frames, 1)))
    assert trace.run == RunHeader(segments_source="file")
    assert [segment.time_ns for segment in trace.segments] == [START_NS, START_NS + 500]
    assert [segment.id for segment in trace.segments] == [1, 2]
    assert trace.calls == ()


def test_two_runs_one_behind_the_other_are_both_read():
    trace = refused_connect()
    both = read_capture(run_bytes(trace) * 2)
    assert [call.id for call in both.calls] == list(range(1, 11))
    assert len(both.segments) == 2 * len(trace.segments)
    assert both.defects == trace.defects


def test_cut_at_every_byte_it_gives_what_was_there_and_says_so():
    trace = refused_connect()
    data = run_bytes(trace, NOTES)
    header = int.from_bytes(data[4:8], "little")
    calls = 0
    for length in range(len(data)):
        if length < header:
            with pytest.raises(BadFile):
                read_capture(data[:length])
            continue
        cut = read_capture(data[:length])
        assert cut.run == trace.run
        assert cut.frames == trace.frames[: len(cut.frames)]
        assert len(cut.calls) >= calls
        assert len(cut.defects) > len(trace.defects), length
        calls = len(cut.calls)
    assert calls == len(trace.calls)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8), st.data())
def test_edited_anywhere_it_is_a_trace_or_a_bad_file(edits, data):
    whole = bytearray(run_bytes(refused_connect(), NOTES))
    for place, value in edits:
        whole[place % len(whole)] = value
    try:
        trace = read_capture(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except BadFile as problem:
        assert str(problem)
    else:
        assert len({call.id for call in trace.calls}) == len(trace.calls)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_trace_or_a_bad_file(data):
    try:
        read_capture(data)
    except BadFile as problem:
        assert str(problem)


def test_a_damaged_record_is_counted():
    data = run_bytes(refused_connect()).replace(b'{"id":2,', b'{"id":1,')
    trace = read_capture(data)
    assert [call.id for call in trace.calls] == [1, 3, 4, 5]
    assert "1 damaged record was skipped" in trace.defects[1]
    assert "4 of the 5 calls" in trace.defects[2]


def test_a_newer_format_is_read_as_far_as_it_is_known():
    data = run_bytes(refused_connect()).replace(b"observatory-run/1", b"observatory-run/2")
    trace = read_capture(data)
    assert len(trace.calls) == 5
    assert "observatory-run/2" in trace.defects[1]


def test_the_journal_of_somebody_else_is_left_alone():
    data = run_bytes(refused_connect()).replace(b"=observatory\n", b"=abservatory\n")
    assert read_capture(data).calls == ()


def rows(data, tmp_path, *fields):
    """What tshark lists, a row a list; it must have nothing to complain about."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    path = tmp_path / "run.pcapng"
    path.write_bytes(data)
    wanted = [argument for name in fields for argument in ("-e", name)]
    command = [tshark, "-n", "-r", path, "-T", "fields", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert (done.returncode, complaints) == (0, [])
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_tshark_lists_calls_between_the_packets(tmp_path):
    listed = rows(
        run_bytes(refused_connect(), NOTES),
        tmp_path,
        "systemd_journal.message",
        "systemd_journal.pid",
        "systemd_journal.errno",
        "tcp.flags.str",
        "systemd_journal.code_line",
    )
    refused = "connect(4, 127.0.0.1:9) = -1 ECONNREFUSED (Connection refused)"
    assert [row[0] or row[3] for row in listed[:6]] == [
        "socket(AF_INET) = 4",
        refused,
        "··········S·",
        "tcp:tcp_send_reset [::1]:9 > 0.0.0.0:40000 reason=NO_SOCKET "
        "deep={'list': (1, None, True, 1.5)}",
        "·······A·R··",
        "",  # ARP
    ]
    assert listed[6][0] == "<... connect resumed> = -1 ECONNREFUSED (Connection refused)"
    assert listed[1] == [refused, "4711", "111", "", "31"]


def test_tshark_tells_what_the_kernel_said_from_the_calls(tmp_path):
    listed = rows(
        run_bytes(refused_connect()),
        tmp_path,
        "systemd_journal.transport",
        "systemd_journal.message",
    )
    assert [row[1].split(" ")[0] for row in listed if row[0]] == ["tcp:tcp_send_reset"]


def test_tshark_shows_times_comments_and_no_record_as_malformed(tmp_path):
    listed = rows(
        run_bytes(refused_connect(), NOTES),
        tmp_path,
        "frame.time_epoch",
        "frame.comment",
        "frame.interface_name",
        "_ws.malformed",
    )
    assert listed[2][0] == "1790000000.123458789"
    assert listed[2][1] == ",".join(NOTES[1])
    assert listed[2][2] == "lo"
    assert {row[3] for row in listed} == {""}


def test_tcpdump_reads_the_packets(tmp_path):
    tcpdump = shutil.which("tcpdump")
    if tcpdump is None:
        pytest.skip("tcpdump is not installed")
    path = tmp_path / "run.pcapng"
    path.write_bytes(run_bytes(refused_connect(), NOTES))
    # From standard input: tcpdump gives up root's rights before it opens a file.
    done = subprocess.run(
        [tcpdump, "-n", "-tt", "--time-stamp-precision=nano", "-r", "-"],
        input=path.read_bytes(),
        capture_output=True,
        timeout=60,
    )
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("1790000000.123458789 IP 127.0.0.1.40000 > 127.0.0.1.9: Flags [S]")


def test_scapy_reads_the_packets(tmp_path):
    from scapy.utils import rdpcap

    path = tmp_path / "run.pcapng"
    trace = refused_connect()
    path.write_bytes(run_bytes(trace, NOTES))
    packets = rdpcap(str(path))
    assert [bytes(packet) for packet in packets] == [frame.data for frame in trace.frames]
    assert packets[0].comment == NOTES[1][0].encode()


def test_the_header_is_json_that_anybody_can_read(tmp_path):
    data = run_bytes(refused_connect())
    start = data.index(b'{"format"')
    header, _ = json.JSONDecoder().raw_decode(data[start:].decode("latin-1"))
    assert header["run"]["scenario"] == "connect-refused"
    assert [process["role"] for process in header["processes"]] == ["client", "server"]
    assert header["counts"] == {"calls": 5, "frames": 4, "kernel": 1, "statistics": 1}


def test_a_call_stands_before_a_packet_of_the_same_nanosecond():
    trace = refused_connect()
    call = Call(1, "send", 4711, 4711, 4, {"length": 1}, trace.frames[0].time_ns)
    data = run_bytes(replace(trace, calls=(call,)))
    assert data.index(b"MESSAGE=send") < data.index(trace.frames[0].data)


def routed_trace():
    """A SYN that was lost behind the router, and the one sent again."""
    lab = Lab()
    for at, places in ((0, (0, 1)), (1_000_000, (0, 1, 2, 3))):
        for place in places:
            number = 1 + bool(at)
            lab.see(at + place, THERE[place], packet(tcp(), number=number, hops=place // 2))
    frames = tuple(lab.in_order())
    segments, _ = decode_run(frames, INTERFACES, ROUTED)
    run = RunHeader("lab", segments_source="capture", topology=ROUTED)
    return Trace(run, INTERFACES, segments=segments, frames=frames)


def test_sightings_come_back_equal():
    trace = routed_trace()
    again = read_capture(run_bytes(trace, {1: ("#1 lost",), 2: ("#2 came", "completes")}))
    assert again == trace
    assert [len(segment.sightings) for segment in again.segments] == [2, 4]


def test_each_frame_of_a_packet_has_its_comments_and_where_it_was_seen(tmp_path):
    data = run_bytes(routed_trace(), {1: ("#1 lost",), 2: ("#2 came", "#2 completes c1")})
    listed = rows(data, tmp_path, "frame.comment", "frame.interface_name")
    assert listed[1] == ["#1 lost, seen at router:eth0", "router:eth0"]
    assert listed[4] == ["#2 came, seen at router:eth1,#2 completes c1", "router:eth1"]
