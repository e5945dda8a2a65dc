"""Calls read as strace users expect."""

import pytest

from observatory.codec.calltext import SPELLINGS, arguments_text, call_text, result_text
from observatory.model import Call, Endpoint, UnixAddress

PEER = Endpoint("127.0.0.1", 40000)


def call(name, fd=None, result=0, errno=None, peer=None, returned=True, /, **args):
    return Call(
        id=1,
        name=name,
        pid=10,
        tid=10,
        fd=fd,
        args=args,
        entered_ns=1,
        returned_ns=2 if returned else None,
        result=result if returned else None,
        errno=errno,
        peer=peer,
    )


EXAMPLES = [
    (
        call("connect", 4, -1, "ECONNREFUSED", address="127.0.0.1:9"),
        "connect(4, 127.0.0.1:9) = -1 ECONNREFUSED (Connection refused)",
    ),
    (
        call("accept4", 3, 5, None, PEER, flags="SOCK_CLOEXEC"),
        "accept4(3, SOCK_CLOEXEC) = 5 (127.0.0.1:40000)",
    ),
    (
        call("accept4", 3, 5, None, UnixAddress(""), flags="SOCK_CLOEXEC"),
        "accept4(3, SOCK_CLOEXEC) = 5 (unix:)",
    ),
    (
        call("accept4", 3, 5, None, PEER, flags="SOCK_CLOEXEC", sockaddr="NULL"),
        "accept4(3, NULL, SOCK_CLOEXEC) = 5 (127.0.0.1:40000)",
    ),
    (
        call("accept4", 3, 5, None, PEER, flags="SOCK_CLOEXEC", room=4, address_length=16),
        "accept4(3, [4], SOCK_CLOEXEC) = 5 (127.0.0.1:40000, address of 16 bytes)",
    ),
    (
        call("setsockopt", 4, level="SOL_SOCKET", option="SO_LINGER", value=(1, 0)),
        "setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}) = 0",
    ),
    (
        call("setsockopt", 4, level="SOL_SOCKET", option="SO_REUSEADDR", value=1),
        "setsockopt(4, SOL_SOCKET, SO_REUSEADDR, [1]) = 0",
    ),
    (
        call("setsockopt", 4, level="SOL_SOCKET", option="SO_RCVTIMEO", value="0x0100"),
        "setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, 0x0100) = 0",
    ),
    (
        call("getsockopt", 4, level="SOL_SOCKET", option="SO_ERROR", value=111),
        "getsockopt(4, SOL_SOCKET, SO_ERROR) = 0 (ECONNREFUSED)",
    ),
    (
        call("getsockopt", 4, level="SOL_SOCKET", option="SO_ERROR", value=0),
        "getsockopt(4, SOL_SOCKET, SO_ERROR) = 0 (0)",
    ),
    (
        call(
            "poll", None, 1, fds=((4, "POLLOUT"),), timeout_ms=1000, ready=((4, "POLLOUT|POLLERR"),)
        ),
        "poll([{fd=4, POLLOUT}], 1000) = 1 ([{fd=4, revents=POLLOUT|POLLERR}])",
    ),
    (call("poll", fds=((4, "POLLIN"),), timeout_ms=-1), "poll([{fd=4, POLLIN}], -1) = 0 (Timeout)"),
    (
        call(
            "select",
            None,
            2,
            **{"read": (3, 4), "write": (5,), "except": (), "timeout_ms": 1000},
            ready_read=(3,),
            ready_write=(5,),
            ready_except=(),
        ),
        "select([3 4], [5], [], 1000) = 2 (in [3], out [5])",
    ),
    (call("recv", 5, length=100, flags="0"), "recv(5, 100, 0) = 0 (EOF)"),
    (call("recv", 5, length=0, flags="0"), "recv(5, 0, 0) = 0"),
    (call("recv", 5, 7, length=100, flags="MSG_PEEK"), "recv(5, 100, MSG_PEEK) = 7"),
    (
        call("recvfrom", 5, length=100, flags="0", address="127.0.0.1:9"),
        "recvfrom(5, 100, 0) = 0 (from 127.0.0.1:9)",
    ),
    (
        Call(1, "recv", 10, 10, 5, {"length": 100, "flags": "0"}, 1),
        "recv(5, 100, 0) = ?",
    ),
    (
        call("socket", None, 3, family="AF_INET", type="SOCK_STREAM|SOCK_CLOEXEC", protocol=0),
        "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3",
    ),
    (
        call("socketpair", family="AF_UNIX", type="SOCK_STREAM", protocol=0, fds=(3, 4)),
        "socketpair(AF_UNIX, SOCK_STREAM, 0) = 0 ([3, 4])",
    ),
    (call("bind", 3, address="[::]:80"), "bind(3, [::]:80) = 0"),
    (call("listen", 3, backlog=0), "listen(3, 0) = 0"),
    (call("connect", 3, address="AF_UNSPEC"), "connect(3, AF_UNSPEC) = 0"),
    (call("sendmsg", 3, 5, length=5, flags="0", address=None), "sendmsg(3, 5, 0) = 5"),
    (
        call("sendto", 3, 5, length=5, flags="0", address="127.0.0.1:9"),
        "sendto(3, 5, 0, 127.0.0.1:9) = 5",
    ),
    (call("sendfile", 4, 8, in_fd=5, offset=0, length=8), "sendfile(4, 5, 0, 8) = 8"),
    (call("shutdown", 4, how="SHUT_WR"), "shutdown(4, SHUT_WR) = 0"),
    (call("close", 4), "close(4) = 0"),
    (call("dup2", 4, 9, new_fd=9), "dup2(4, 9) = 9"),
    (call("dup2", None, 9, old_fd=1, new_fd=9), "dup2(1, 9) = 9"),
    (call("writev", 4, 8, length=8), "writev(4, 8) = 8"),
    (
        call("sendmmsg", 4, 2, lengths=(3, 4), flags="0", addresses=(None, None), taken=(3, 4)),
        "sendmmsg(4, [3, 4], 0) = 2 ([3, 4])",
    ),
    (
        call("splice", 4, 8, in_fd=4, out_fd=6, length=9, flags="SPLICE_F_MOVE"),
        "splice(4, 6, 9, SPLICE_F_MOVE) = 8",
    ),
    (call("close_range", first=3, last=9, flags="0"), "close_range(3, 9, 0) = 0"),
    (call("fcntl", 4, command="F_SETFL", value="O_NONBLOCK"), "fcntl(4, F_SETFL, O_NONBLOCK) = 0"),
    (
        call("epoll_ctl", 4, epoll=6, operation="EPOLL_CTL_ADD", events="EPOLLIN", data=4),
        "epoll_ctl(6, EPOLL_CTL_ADD, 4, EPOLLIN) = 0",
    ),
    (
        call("epoll_wait", None, 1, epoll=6, timeout_ms=-1, ready=((4, "EPOLLIN|EPOLLHUP"),)),
        "epoll_wait(6, -1) = 1 ([{fd=4, EPOLLIN|EPOLLHUP}])",
    ),
    (call("epoll_wait", None, 0, epoll=6, timeout_ms=50, ready=()), "epoll_wait(6, 50) = 0"),
    (call("getsockname", 4, address="0.0.0.0:0"), "getsockname(4) = 0 (0.0.0.0:0)"),
    (call("ioctl", 4, request="FIONBIO", value=1), "ioctl(4, FIONBIO, [1]) = 0"),
    (call("fork", None, 4712), "fork() = 4712"),
    (call("kill", pid=4712, signal="SIGKILL"), "kill(4712, SIGKILL) = 0"),
    (Call(1, "exit", 10, 10, None, {"status": 0}, 1), "exit(0) = ?"),
    (
        Call(1, "execve", 10, 10, None, {"path": "/bin/a b", "argv": ("a", "\x1b[2J")}, 1),
        'execve("/bin/a b", ["a", "\\x1b[2J"]) = ?',
    ),
    (call("sched_yield", 7, mode={"a": 1}, b=None), "sched_yield(7, {a=1}, NULL) = 0"),
    (call("close", 7, -1, "EWHATEVER"), "close(7) = -1 EWHATEVER"),
]


@pytest.mark.parametrize(("made", "text"), EXAMPLES, ids=[text for _, text in EXAMPLES])
def test_text(made, text):
    assert call_text(made) == text


def test_the_two_halves_are_the_rows_of_a_blocking_call():
    blocked = EXAMPLES[0][0]
    assert arguments_text(blocked) == "connect(4, 127.0.0.1:9)"
    assert result_text(blocked) == "-1 ECONNREFUSED (Connection refused)"


def test_an_empty_datagram_is_no_eof():
    assert result_text(call("recv", 5, length=9, flags="0"), stream=False) == "0 (empty datagram)"


@pytest.mark.parametrize("name", sorted(SPELLINGS))
def test_a_call_whose_arguments_were_not_recorded_is_still_printed(name):
    assert call_text(call(name, 3)).startswith(f"{name}(3)")


def test_what_programs_say_cannot_reach_the_terminal():
    assert "\x1b" not in call_text(call("connect", 3, address="unix:\x1b]0;x\x07"))
