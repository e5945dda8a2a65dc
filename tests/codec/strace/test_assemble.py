"""When calls ran, resumption, restarts, and the ends of threads."""

import pytest

from observatory.codec.strace import parse
from observatory.codec.strace.lines import Clock

BASE = 1_700_000_000 * 10**9
CONNECT = '{sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}, 16'
RECV = "recvfrom(3<socket:[7]>, 0x7f, 10, 0, NULL, NULL)"
INTERRUPTED = f"{RECV} = ? ERESTARTSYS (To be restarted if SA_RESTART is set)"


def log(*lines, **options):
    """``(tid, nanoseconds, body)`` each, in strace's own form with nanoseconds."""
    text = [f"{tid:<5} 1700000000.{ns:09} {body}" for tid, ns, body in lines]
    found = parse(text, **options)
    assert len(found.calls) + found.notes + len(found.unread) == len(text)
    assert not found.unread
    return found


def times(call):
    return call.entered_ns - BASE, None if call.returned_ns is None else call.returned_ns - BASE


def test_a_whole_call_is_bounded_by_its_threads_next_line():
    found = log((1, 100, "listen(3<socket:[7]>, 5) = 0"), (1, 400, "+++ exited with 0 +++"))
    assert times(found.calls[0]) == (100, 400)


def test_what_strace_measured_is_no_bound():
    found = log(
        (1, 100, "listen(3<socket:[7]>, 5) = 0 <0.000000050>"), (1, 400, "+++ exited with 0 +++")
    )
    assert times(found.calls[0]) == (100, 400)


def test_another_threads_line_bounds_it_where_one_strace_wrote_all():
    found = log(
        (1, 50, "close(9<socket:[8]> <unfinished ...>"),
        (2, 60, "listen(4<socket:[9]>, 5) = 0"),
        (1, 70, "<... close resumed>) = 0"),
        (1, 100, "listen(3<socket:[7]>, 5) = 0"),
        (2, 200, "listen(4<socket:[9]>, 6) = 0"),
        (1, 900, "+++ exited with 0 +++"),
        (2, 950, "+++ exited with 0 +++"),
    )
    assert times(found.calls[0]) == (50, 70)
    assert times(found.calls[2]) == (100, 200)


def test_not_where_the_log_may_be_merged_from_several():
    found = log(
        (1, 100, "listen(3<socket:[7]>, 5) = 0"),
        (2, 200, "listen(4<socket:[9]>, 6) = 0"),
        (1, 900, "+++ exited with 0 +++"),
        (2, 950, "+++ exited with 0 +++"),
    )
    assert times(found.calls[0]) == (100, 900)
    assert times(found.calls[1]) == (200, 950)


def test_a_resumed_call_returned_before_the_resumption_was_printed():
    found = log(
        (1, 100, "accept4(3<socket:[7]>,  <unfinished ...>"),
        (2, 150, f"connect(4<socket:[8]>, {CONNECT} <unfinished ...>"),
        (1, 200, "<... accept4 resumed>NULL, NULL, SOCK_CLOEXEC) = 5<socket:[9]>"),
        (2, 250, "<... connect resumed>) = 0"),
        (1, 300, "+++ exited with 0 +++"),
    )
    accepted, connected = found.calls
    assert times(accepted) == (100, 200) and accepted.result == 5
    assert times(connected) == (150, 250)
    assert connected.args == {"address": "127.0.0.1:9"}


def test_the_last_call_of_a_log_is_bounded_by_straces_end():
    lines = ((1, 100, "listen(3<socket:[7]>, 5) = 0"),)
    assert times(log(*lines).calls[0]) == (100, 100)
    assert times(log(*lines, ended_ns=BASE + 700).calls[0]) == (100, 700)


@pytest.mark.parametrize("tail", ["<unfinished ...>", "<detached ...>"])
def test_a_call_that_is_never_resumed_never_returned(tail):
    found = log((1, 100, f"recvfrom(3<socket:[7]>, {tail}"))
    assert times(found.calls[0]) == (100, None)
    assert found.calls[0].fd == 3 and found.calls[0].result is None


def test_a_call_that_its_threads_end_cuts_short():
    found = log(
        (1, 100, "recvfrom(3<socket:[7]>,  <unfinished ...>"),
        (1, 300, "<... recvfrom resumed> <unfinished ...>) = ?"),
        (1, 400, "+++ killed by SIGKILL +++"),
    )
    assert times(found.calls[0]) == (100, None)
    assert found.processes[0].signal == "SIGKILL"
    assert found.processes[0].ended_ns == BASE + 400


def test_the_kernel_makes_an_interrupted_call_again():
    found = log(
        (1, 100, INTERRUPTED),
        (1, 200, "--- SIGCHLD {si_signo=SIGCHLD} ---"),
        (1, 300, 'recvfrom(3<socket:[7]>, ""..., 10, 0, NULL, NULL) = 4'),
        (1, 400, "+++ exited with 0 +++"),
    )
    (call,) = found.calls
    assert times(call) == (100, 400)
    assert (call.result, call.errno) == (4, None)


def test_rt_sigreturn_tells_a_restart():
    found = log(
        (1, 100, INTERRUPTED),
        (1, 200, "--- SIGALRM {si_signo=SIGALRM} ---"),
        (1, 220, 'sendto(9<socket:[5]>, "", 1, 0, NULL, 0) = 1'),
        (1, 230, "rt_sigreturn({mask=[]}) = 45"),
        (1, 300, 'recvfrom(3<socket:[7]>, ""..., 10, 0, NULL, NULL) = 4'),
        (1, 400, "+++ exited with 0 +++"),
    )
    assert [(call.name, call.result) for call in found.calls] == [("recv", 4), ("send", 1)]


def test_rt_sigreturn_tells_a_failure():
    found = log(
        (1, 100, INTERRUPTED),
        (1, 200, "--- SIGALRM {si_signo=SIGALRM} ---"),
        (1, 230, "rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call)"),
        (1, 300, 'recvfrom(3<socket:[7]>, ""..., 10, 0, NULL, NULL) = 4'),
        (1, 400, "+++ exited with 0 +++"),
    )
    assert [(call.result, call.errno) for call in found.calls] == [(-1, "EINTR"), (4, None)]
    assert [times(call) for call in found.calls] == [(100, 200), (300, 400)]


def test_without_it_another_call_in_between_means_a_failure():
    found = log(
        (1, 100, INTERRUPTED),
        (1, 200, "--- SIGALRM {si_signo=SIGALRM} ---"),
        (1, 300, "close(3<socket:[7]>) = 0"),
        (1, 400, "+++ exited with 0 +++"),
    )
    assert [(call.name, call.errno) for call in found.calls] == [("recv", "EINTR"), ("close", None)]


def test_a_call_that_a_fatal_signal_interrupted_never_returned():
    found = log(
        (1, 100, INTERRUPTED),
        (1, 200, "--- SIGTERM {si_signo=SIGTERM} ---"),
        (1, 300, "+++ killed by SIGTERM +++"),
    )
    assert times(found.calls[0]) == (100, None)
    assert found.calls[0].errno is None


def test_restart_syscall_is_the_same_call_going_on():
    poll = "poll([{fd=3<socket:[7]>, events=POLLIN}], 1, 5000)"
    found = log(
        (1, 100, f"{poll} = ? ERESTART_RESTARTBLOCK (Interrupted by signal)"),
        (1, 200, "--- SIGSTOP {si_signo=SIGSTOP} ---"),
        (1, 300, "restart_syscall(<... resuming interrupted poll ...>) = 1"),
        (1, 400, "+++ exited with 0 +++"),
    )
    (call,) = found.calls
    assert (call.name, call.result, times(call)) == ("poll", 1, (100, 400))


def test_restart_syscall_in_two_lines():
    poll = "poll([{fd=3<socket:[7]>, events=POLLIN}], 1, 5000)"
    found = log(
        (1, 100, f"{poll} = ? ERESTART_RESTARTBLOCK (Interrupted by signal)"),
        (1, 300, "restart_syscall(<... resuming interrupted poll ...> <unfinished ...>"),
        (2, 350, "listen(4<socket:[9]>, 6) = 0"),
        (1, 380, "<... restart_syscall resumed>) = 0"),
        (1, 400, "+++ exited with 0 +++"),
    )
    assert [call.name for call in found.calls] == ["poll", "listen"]
    assert times(found.calls[0]) == (100, 380) and found.calls[0].result == 0


def test_a_call_that_began_before_the_log_is_told():
    found = log((1, 100, "<... recvfrom resumed>, 0) = 4"), (1, 200, "listen(3, 1) = 0"))
    assert len(found.calls) == 1
    assert "1 calls began before the strace log does" in found.defects


def test_an_exec_by_a_thread_goes_on_under_the_leaders_id():
    flags = "CLONE_VM|CLONE_THREAD"
    found = log(
        (10, 100, f"clone3({{flags={flags}, exit_signal=0}}, 88) = 11"),
        (10, 150, "recvfrom(3<socket:[7]>,  <unfinished ...>"),
        (11, 200, 'execve("/bin/true", ["true"], 0x7 /* 5 vars */ <unfinished ...>'),
        (10, 300, "+++ superseded by execve in pid 11 +++"),
        (10, 400, "<... execve resumed>) = 0"),
        (10, 500, "exit_group(0) = ?"),
        (10, 600, "+++ exited with 0 +++"),
    )
    assert [(call.name, call.pid, call.tid) for call in found.calls] == [
        ("recv", 10, 10),
        ("execve", 10, 11),
        ("exit", 10, 10),
    ]
    assert [(one.pid, one.command, one.status) for one in found.processes] == [(10, "true", 0)]


@pytest.mark.parametrize(
    ("lines", "clock", "resolution_ns", "expected"),
    [
        (["listen(3, 1) = 0", "listen(3, 2) = 0"], Clock.NONE, 1, [(1, 2), (2, 2)]),
        (
            ["     0.000000 listen(3, 1) = 0", "     0.000010 listen(3, 2) = 0"],
            Clock.RELATIVE,
            1000,
            [(0, 10_000), (10_000, 10_000)],
        ),
        (
            ["23:59:59.5 listen(3, 1) = 0", "00:00:01.0 listen(3, 2) = 0"],
            Clock.TIME_OF_DAY,
            10**8,
            [(86_399_500_000_000, 86_401_000_000_000), (86_401_000_000_000,) * 2],
        ),
    ],
)
def test_other_clocks(lines, clock, resolution_ns, expected):
    found = parse(lines)
    assert (found.clock, found.resolution_ns) == (clock, resolution_ns)
    assert [(call.entered_ns, call.returned_ns) for call in found.calls] == expected
    assert any("--absolute-timestamps" in defect for defect in found.defects)


def test_midnight_can_be_told():
    (call,) = parse(["00:00:01 listen(3, 1) = 0"], day_ns=BASE).calls
    assert call.entered_ns == BASE + 10**9


def test_coarse_stamps_are_told():
    found = parse(["1 1700000000.000001 listen(3<socket:[1]>, 1) = 0"])
    assert found.resolution_ns == 1000
    assert "exact to 1000 ns only" in found.defects[0]


def test_a_line_that_a_message_of_strace_broke():
    lines = [
        "listen(3, 1) = 0",
        "clone(child_stack=NULL, flags=SIGCHLDstrace: Process 12 attached",
        ", child_tidptr=0x7f) = 12",
        "[pid    11] listen(3, 2) = 0",
        "[pid    12] exit_group(0) = ?",
        "[pid    12] +++ exited with 0 +++",
        "listen(3, 3) = 0",
    ]
    found = parse(lines)
    assert [(call.name, call.pid) for call in found.calls] == [
        ("listen", 11),
        ("fork", 11),
        ("listen", 11),
        ("exit", 12),
        ("listen", 11),
    ]
    assert [(one.pid, one.parent) for one in found.processes] == [(11, None), (12, 11)]
    assert len(found.calls) + found.notes == len(lines)
