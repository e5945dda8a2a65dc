import json

import pytest

from observatory.model import Endpoint, Process, Site
from observatory.sources.journal_reader import read_journals


def write(folder, pid, *records, tail=""):
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / f"{pid}.calls").write_text(text + tail)


def began(pid, role, parent=None):
    return ["p", pid, parent, role, role, 1]


def entered(number, ns, name="send", args=None):
    return ["e", number, 7, name, 3, args or {}, ns, "play.py", 12]


def returned(number, ns, result=0, error=None, local=None, peer=None, out=None):
    return ["r", number, result, error, ns, local, peer, out]


def test_calls_of_all_processes_are_in_the_order_they_were_entered(tmp_path):
    write(tmp_path, 10, began(10, "server"), entered(1, 200), returned(1, 210))
    write(tmp_path, 11, began(11, "client"), entered(1, 100), returned(1, 300))

    calls = read_journals(tmp_path).calls

    assert [(call.id, call.pid, call.entered_ns) for call in calls] == [(1, 11, 100), (2, 10, 200)]


def test_processes_are_in_the_order_of_their_first_calls(tmp_path):
    write(tmp_path, 10, began(10, "server"), entered(1, 200))
    write(tmp_path, 11, began(11, "client"), entered(1, 100))
    write(tmp_path, 9, began(9, "idle"))

    roles = [process.role for process in read_journals(tmp_path).processes]

    assert roles == ["client", "server", "idle"]


def test_what_the_call_put_out_joins_its_arguments(tmp_path):
    write(
        tmp_path,
        10,
        began(10, "server"),
        entered(1, 1, "recvfrom", {"length": 9, "flags": "0"}),
        returned(1, 2, 4, None, "127.0.0.1:5", "[::1]:6", {"address": "127.0.0.1:7"}),
    )

    (call,) = read_journals(tmp_path).calls

    assert list(call.args.items()) == [
        ("length", 9),
        ("flags", "0"),
        ("address", "127.0.0.1:7"),
    ]
    assert (call.local, call.peer) == (Endpoint("127.0.0.1", 5), Endpoint("::1", 6))
    assert call.site == Site("play.py", 12)


def test_lists_become_the_models_tuples(tmp_path):
    write(tmp_path, 1, began(1, "a"), entered(1, 1, "poll", {"fds": [[3, "POLLIN"]]}))

    assert read_journals(tmp_path).calls[0].args == {"fds": ((3, "POLLIN"),)}


def test_what_was_asked_of_the_kernel_has_names(tmp_path):
    write(
        tmp_path,
        10,
        began(10, "server"),
        [*entered(1, 1, "accept4"), [10, 17, 2, 1]],
        [*returned(1, 2, -1, "EMFILE"), [10, 17, 2, 1]],
        [*entered(2, 3, "close"), {"unread": 3}],
        returned(2, 4),
        [*entered(3, 5, "exit"), {"sockets": {"4": [10, 17, 0, 1]}}],
    )

    accept, close, leave = read_journals(tmp_path).calls

    listener = {"state": "LISTEN", "queue": 2, "queue_limit": 1, "at_ns": 17}
    assert accept.asked == {"before": listener, "after": listener}
    assert close.asked == {"before": {"unread": 3}}
    assert leave.asked == {"before": {"sockets": {"4": {**listener, "queue": 0}}}}


def test_a_call_without_a_return_never_returned(tmp_path):
    write(tmp_path, 10, began(10, "server"), entered(1, 5))

    (call,) = read_journals(tmp_path).calls

    assert (call.returned_ns, call.result, call.errno) == (None, None, None)


def test_after_exec_numbers_begin_anew_and_the_parent_is_remembered(tmp_path):
    write(
        tmp_path,
        10,
        began(10, "server.1", parent=9),
        entered(1, 5, "execve"),
        began(10, "server.1"),
        entered(1, 6, "getpeername"),
        returned(1, 7),
    )

    reading = read_journals(tmp_path)

    assert [(call.name, call.returned_ns) for call in reading.calls] == [
        ("execve", None),
        ("getpeername", 7),
    ]
    assert reading.processes == (Process(10, 9, "server.1", "server.1"),)


def test_a_child_that_was_killed_before_it_could_write_is_known_from_its_parent(tmp_path):
    write(tmp_path, 10, began(10, "server"), ["f", 11, 10, "server.1", "server.1", 5])
    write(tmp_path, 12, began(12, ""), ["x", 11, 77, None, "SIGKILL"])

    _, child = read_journals(tmp_path).processes

    assert child == Process(11, 10, "server.1", "server.1", 77, None, "SIGKILL")


def test_an_end_may_stand_in_any_journal(tmp_path):
    write(tmp_path, 10, began(10, "server"))
    write(tmp_path, 9, began(9, ""), ["x", 10, 77, None, "SIGKILL"])

    (process,) = read_journals(tmp_path).processes

    assert (process.pid, process.ended_ns, process.signal) == (10, 77, "SIGKILL")


@pytest.mark.parametrize("cut", range(1, 30))
def test_half_a_record_at_the_end_is_no_defect(tmp_path, cut):
    tail = json.dumps(entered(2, 6))[:cut]
    write(tmp_path, 10, began(10, "server"), entered(1, 5), tail=tail)

    reading = read_journals(tmp_path)

    assert [call.entered_ns for call in reading.calls] == [5]
    assert reading.defects == ()


def test_a_damaged_record_elsewhere_is_told(tmp_path):
    write(tmp_path, 10, began(10, "server"), entered(1, 5), tail='["e", 2, gar\n')

    reading = read_journals(tmp_path)

    assert len(reading.calls) == 1
    assert reading.defects == ("1 damaged records in the journal of process 10",)


def test_an_empty_folder_has_no_calls(tmp_path):
    assert read_journals(tmp_path) == ((), (), ())
