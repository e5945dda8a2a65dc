import errno
import os
import resource
import signal
import threading

import pytest

from observatory.errors import UsageError, WriteFailed
from observatory.sources import journal as journal_module
from observatory.sources.journal import (
    FIRST_DESCRIPTOR,
    FOLDER_VARIABLE,
    Journal,
    caller_site,
    environment_journal,
    open_apart,
)
from observatory.sources.journal_reader import read_journals


def in_child(function):
    """Run ``function`` in a forked child; the child's exit code (negative: a signal)."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(0)
    return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_call_is_entered_then_returned(recorder):
    number = recorder.journal.entered("send", 4, {"length": 5, "flags": "0"})
    recorder.journal.returned(number, 5)

    (call,) = recorder.calls
    assert (call.name, call.fd, call.args, call.result, call.errno) == (
        "send",
        4,
        {"length": 5, "flags": "0"},
        5,
        None,
    )
    assert call.pid == os.getpid()
    assert call.tid == threading.get_native_id()
    assert call.entered_ns <= call.returned_ns


def test_a_failed_call_has_minus_one_and_the_errno_by_name(recorder):
    recorder.journal.returned(recorder.journal.entered("send", 4, {}), None, errno.EPIPE)

    assert (recorder.last().result, recorder.last().errno) == (-1, "EPIPE")


def test_a_path_that_is_no_text_is_kept(recorder):
    recorder.journal.entered("bind", 4, {"address": "unix:/run/\udcff"})

    assert recorder.last().args == {"address": "unix:/run/\udcff"}


def test_the_site_is_the_programs_own_line(recorder):
    recorder.journal.entered("close", 4, {})

    assert recorder.last().site.file == "test_journal.py"


def test_a_call_that_no_line_made_has_no_site(recorder):
    recorder.journal.entered("exit", None, {}, sited=False)

    assert recorder.last().site is None


def test_caller_site_tells_its_caller():
    assert caller_site()[0] == "test_journal.py"


def test_what_a_killed_process_wrote_is_there(recorder):
    def die_inside_a_call():
        recorder.journal.returned(recorder.journal.entered("send", 4, {}), 1)
        recorder.journal.entered("recv", 4, {})
        os.kill(os.getpid(), signal.SIGKILL)

    pid, code = in_child(die_inside_a_call)

    assert code == -signal.SIGKILL
    sent, received = recorder.calls
    assert sent.returned_ns is not None
    assert (received.pid, received.returned_ns, received.result) == (pid, None, None)


def test_a_forked_process_writes_under_its_own_pid_even_unannounced(recorder):
    pid, _ = in_child(lambda: recorder.journal.entered("close", 3, {}))

    assert recorder.last().pid == pid
    child = next(one for one in read_journals(recorder.folder).processes if one.pid == pid)
    assert (child.parent, child.role) == (os.getpid(), f"tester.{pid}")


def test_a_forked_process_can_be_given_a_role(recorder):
    def child():
        recorder.journal.after_fork("tester.1", "the child")
        recorder.journal.entered("close", 3, {})

    pid, _ = in_child(child)

    known = next(one for one in read_journals(recorder.folder).processes if one.pid == pid)
    assert (known.role, known.command, known.parent) == ("tester.1", "the child", os.getpid())


def test_the_end_of_a_process_is_told(recorder):
    recorder.journal.process_ended(os.getpid(), None, "SIGPIPE")

    (process,) = read_journals(recorder.folder).processes
    assert (process.signal, process.status) == ("SIGPIPE", None)
    assert process.ended_ns


def test_threads_number_their_calls_apart(recorder):
    def many():
        for length in range(200):
            recorder.journal.returned(recorder.journal.entered("send", 4, {"n": length}), length)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(recorder.calls) == 800
    assert all(call.args["n"] == call.result for call in recorder.calls)
    assert len({call.tid for call in recorder.calls}) == 4


def test_our_descriptors_stay_out_of_the_programs_way(tmp_path):
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    fd = open_apart(tmp_path / "apart", os.O_WRONLY | os.O_CREAT)
    try:
        assert fd > lowest
        assert fd >= min(FIRST_DESCRIPTOR, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 50)
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_a_descriptor_limit_of_the_program_does_not_hit_the_journal(tmp_path):
    def limited():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))
        Journal(tmp_path, "limited", "")
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 4

    in_child(limited)

    assert [process.role for process in read_journals(tmp_path).processes] == ["limited"]


def test_a_journal_that_cannot_be_written_says_what_to_do(recorder):
    recorder.journal.close()
    recorder.journal._fd = os.open("/dev/full", os.O_WRONLY)

    with pytest.raises(WriteFailed, match="TMPDIR"):
        recorder.journal.entered("close", 3, {})


def test_without_a_journal_the_environment_must_name_one(monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    environment_journal.cache_clear()

    with pytest.raises(UsageError, match=FOLDER_VARIABLE):
        environment_journal()


def test_the_environment_names_a_journal(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(journal_module.ROLE_VARIABLE, "client")
    environment_journal.cache_clear()
    journal = environment_journal()
    try:
        assert environment_journal() is journal
        assert read_journals(tmp_path).processes[0].role == "client"
    finally:
        environment_journal.cache_clear()
        journal.close()
