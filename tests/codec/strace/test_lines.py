"""Prefixes, stamps, and kinds of lines."""

import pytest

from observatory.codec.strace.lines import Clock, Kind, interrupted_by_notice, read_line

CALL = "close(3) = 0"


@pytest.mark.parametrize(
    ("prefix", "tid", "clock", "stamp_ns", "resolution_ns"),
    [
        ("", None, Clock.NONE, 0, 1),
        ("123 ", 123, Clock.NONE, 0, 1),
        ("3187  ", 3187, Clock.NONE, 0, 1),
        ("[pid   123] ", 123, Clock.NONE, 0, 1),
        ("123<nginx> ", 123, Clock.NONE, 0, 1),
        ("[pid 123<a b>] ", 123, Clock.NONE, 0, 1),
        ("123 1795378407.284225609 ", 123, Clock.UNIX, 1795378407284225609, 1),
        ("123 1795378407.284225 ", 123, Clock.UNIX, 1795378407284225000, 1000),
        ("123 1795378407 ", 123, Clock.UNIX, 1795378407000000000, 10**9),
        ("1795378407.284 ", None, Clock.UNIX, 1795378407284000000, 10**6),
        ("[pid 5] 20:33:25 ", 5, Clock.TIME_OF_DAY, 74005 * 10**9, 10**9),
        ("20:33:25.000007 ", None, Clock.TIME_OF_DAY, 74005 * 10**9 + 7000, 1000),
        ("     0.000124 ", None, Clock.RELATIVE, 124000, 1000),
        ("77      0.000124 ", 77, Clock.RELATIVE, 124000, 1000),
        ("7 1795378407.284225 (+     0.000035) ", 7, Clock.UNIX, 1795378407284225000, 1000),
    ],
)
def test_prefixes(prefix, tid, clock, stamp_ns, resolution_ns):
    line = read_line(prefix + CALL)
    assert (line.kind, line.name, line.text) == (Kind.CALL, "close", "3) = 0")
    assert (line.tid, line.clock) == (tid, clock)
    assert (line.stamp_ns, line.resolution_ns) == (stamp_ns, resolution_ns)


@pytest.mark.parametrize(
    ("text", "kind", "name", "number"),
    [
        ("1 exit_group(0)  = ?", Kind.CALL, "exit_group", 0),
        ("1 read@plt(3) = 0", Kind.CALL, "read", 0),
        ("1 <... connect resumed>) = 0", Kind.RESUMED, "connect", 0),
        ('1 <... read resumed> "", 5) = 0', Kind.RESUMED, "read", 0),
        ("1 restart_syscall(<... resuming interrupted poll ...>) = 1", Kind.RESTARTED, "poll", 0),
        ("1 +++ exited with 3 +++", Kind.EXITED, "", 3),
        ("1 +++ killed by SIGKILL +++", Kind.KILLED, "SIGKILL", 0),
        ("1 +++ killed by SIGSEGV (core dumped) +++", Kind.KILLED, "SIGSEGV", 0),
        ("1 +++ superseded by execve in pid 44 +++", Kind.SUPERSEDED, "", 44),
        ("1 --- SIGPIPE {si_signo=SIGPIPE, si_code=SI_USER, si_pid=1} ---", Kind.SIGNAL, "", 0),
        ("1 --- stopped by SIGSTOP ---", Kind.SIGNAL, "", 0),
        ("strace: Process 55 attached", Kind.NOTICE, "", 55),
        ("strace: Process 55 detached", Kind.NOTICE, "", 0),
        ("strace: [ Process PID=9 runs in 32 bit mode. ]", Kind.NOTICE, "", 0),
        ("1 1795378407.284 [ Process PID=9 runs in x32 mode. ]", Kind.NOTICE, "", 0),
        ("", Kind.EMPTY, "", 0),
        ("  ", Kind.EMPTY, "", 0),
        ("what is this?", Kind.UNREAD, "", 0),
        ("% time     seconds  usecs/call", Kind.UNREAD, "", 0),
    ],
)
def test_kinds(text, kind, name, number):
    line = read_line(text)
    assert (line.kind, line.name, line.number) == (kind, name, number)


def test_a_frame_of_a_stack():
    line = read_line(" > /usr/lib/libc.so.6(send+0x19) [0x10ab59]")
    assert (line.kind, line.text) == (Kind.FRAME, "/usr/lib/libc.so.6(send+0x19) [0x10ab59]")


def test_the_name_of_a_thread():
    assert read_line("9<redis server> close(3) = 0").comm == "redis server"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clone(flags=SIGCHLDstrace: Process 12 attached", ("clone(flags=SIGCHLD", 12)),
        ("strace: Process 12 attached", None),
        ("close(3) = 0", None),
    ],
)
def test_a_line_broken_by_a_message(text, expected):
    assert interrupted_by_notice(text) == expected
