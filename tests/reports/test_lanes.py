"""Lanes stand client left, server right, children beside their parents."""

from observatory.model import Endpoint
from observatory.reports.lanes import lanes_of
from tests.reports import samples


def labels(analysis):
    return [lane.label for lane in lanes_of(analysis).lanes]


def test_client_left_server_right_whoever_acts_first():
    assert labels(samples.established()) == ["client[4711]", "server[4712]"]


def test_children_follow_their_parent_and_begin_with_their_fork():
    lanes = lanes_of(samples.forked(2)).lanes
    assert [lane.label for lane in lanes] == [
        "client[100]",
        "server[200]",
        "server.1[201]",
        "server.2[202]",
    ]
    assert lanes[1].born_ns is None
    assert lanes[2].born_ns == samples.START + 125_000


def test_a_capture_without_processes_has_a_lane_for_each_endpoint():
    assert labels(samples.capture_only()) == ["10.0.0.1:40000", "10.0.0.1:40001", "10.0.0.2:80"]


def test_a_port_nobody_listens_on_is_a_lane_of_its_own_on_the_right():
    assert labels(samples.refused()) == ["client[4711]", "127.0.0.1:9"]


def test_an_icmp_error_goes_back_the_way_of_what_it_quotes():
    lanes = lanes_of(samples.datagrams())
    assert lanes.ends[2] == lanes.ends[1][::-1]


def test_a_router_s_error_comes_from_the_router():
    s = samples.Sample()
    s.segment(0, samples.CLIENT, Endpoint("10.9.9.9", 80), "S", pids=(4711, None))
    icmp = samples.Icmp(3, 1, samples.Protocol.TCP, samples.CLIENT, Endpoint("10.9.9.9", 80), 1000)
    router = Endpoint("10.0.0.254", 0)
    s.segment(9, router, Endpoint("127.0.0.1", 0), "", conn=None, icmp=icmp, quotes=1)
    lanes = lanes_of(s.analysis())
    assert lanes.lanes[lanes.ends[2][0]].key == "10.0.0.254"
    assert lanes.lanes[lanes.ends[2][1]].key == 4711


def test_the_kernel_goes_on_for_a_process_that_is_gone():
    s = samples.Sample()
    s.process(4711, "client")
    s.segment(0, samples.CLIENT, samples.SERVER, "S", pids=(4711, None))
    s.segment(9, samples.CLIENT, samples.SERVER, "A", 1, 1)
    lanes = lanes_of(s.analysis())
    assert lanes.ends[1] == lanes.ends[2]


def test_what_came_before_the_child_was_forked_came_to_its_parent():
    s = samples.Sample()
    s.process(200, "server")
    s.process(201, "server.1", parent=200)
    s.call(0, 200, "listen", fd=3, backlog=1)
    s.segment(5, samples.CLIENT, samples.SERVER, "PA", 1, 1, 9, pids=(None, 201))
    s.call(10, 200, "fork", 201)
    s.segment(15, samples.CLIENT, samples.SERVER, "PA", 10, 1, 9, pids=(None, 201))
    lanes = lanes_of(s.analysis())
    assert lanes.lanes[lanes.ends[1][1]].key == 200
    assert lanes.lanes[lanes.ends[2][1]].key == 201


def test_clients_stand_in_the_order_of_the_run():
    s = samples.Sample()
    for pid in (11, 12, 13):
        s.process(pid, f"client{pid}")
    for pid in (13, 11, 12):
        s.call(0, pid, "socket", 3)
    assert labels(s.analysis()) == ["client11[11]", "client12[12]", "client13[13]"]


def test_an_error_made_by_a_program_goes_from_it_to_who_sent_what_it_quotes():
    s = samples.Sample()
    s.process(4711, "client")
    s.process(4712, "router")
    far = Endpoint("192.0.2.1", 80)
    s.segment(0, samples.CLIENT, far, "S", pids=(4711, None))
    icmp = samples.Icmp(3, 1, samples.Protocol.TCP, samples.CLIENT, far, 1)
    local = Endpoint("127.0.0.1", 0)
    s.segment(9, local, local, "", conn=None, icmp=icmp, pids=(4712, None))
    lanes = lanes_of(s.analysis())
    assert [lanes.lanes[end].key for end in lanes.ends[2]] == [4712, 4711]
