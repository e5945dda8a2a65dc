"""One line of strace for each call, and what it is in the model."""

import pytest

from observatory.codec.strace import parse
from observatory.model import Endpoint

V4 = '{sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}'
S = "3<socket:[7]>"
NINE = Endpoint("127.0.0.1", 9)


def one(line, **options):
    """The only call of a log of one process."""
    log = parse([f"5 1700000000.000000001 {line}"], **options)
    assert not log.unread
    (call,) = log.calls
    return call


@pytest.mark.parametrize(
    ("line", "name", "fd", "args", "result"),
    [
        (
            "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3<socket:[7]>",
            "socket", None,
            {"family": "AF_INET", "type": "SOCK_STREAM|SOCK_CLOEXEC", "protocol": 6}, 3,
        ),
        (
            "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3<socket:[7]>",
            "socket", None,
            {"family": "AF_NETLINK", "type": "SOCK_RAW", "protocol": "NETLINK_ROUTE"}, 3,
        ),
        (
            "socketpair(AF_UNIX, SOCK_STREAM, 0, [3<socket:[7]>, 4<socket:[8]>]) = 0",
            "socketpair", None,
            {"family": "AF_UNIX", "type": "SOCK_STREAM", "protocol": 0, "fds": (3, 4)}, 0,
        ),
        (f"bind({S}, {V4}, 16) = 0", "bind", 3, {"address": "127.0.0.1:9"}, 0),
        (f"listen({S}, 128) = 0", "listen", 3, {"backlog": 128}, 0),
        (f"accept({S}, NULL, NULL) = 4<socket:[8]>", "accept", 3, {}, 4),
        (
            f"accept4({S}, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK) = 4<socket:[8]>",
            "accept4", 3, {"flags": "SOCK_CLOEXEC|SOCK_NONBLOCK"}, 4,
        ),
        (
            f'connect({S}, {{sa_family=AF_UNSPEC, sa_data="\\0"}}, 16) = 0',
            "connect", 3, {"address": "AF_UNSPEC"}, 0,
        ),
        (f"shutdown({S}, SHUT_WR) = 0", "shutdown", 3, {"how": "SHUT_WR"}, 0),
        (f"close({S}) = 0", "close", 3, {}, 0),
        ("close_range(3, 4294967295, 0) = 0", "close_range", None,
         {"first": 3, "last": 4294967295, "flags": "0"}, 0),
        (
            f'sendto({S}, "x"..., 10, MSG_NOSIGNAL, NULL, 0) = 10',
            "send", 3, {"length": 10, "flags": "MSG_NOSIGNAL"}, 10,
        ),
        (
            f'sendto({S}, "x"..., 10, 0, {V4}, 16) = 10',
            "sendto", 3, {"length": 10, "flags": "0", "address": "127.0.0.1:9"}, 10,
        ),
        (
            f'recvfrom({S}, "x"..., 10, 0, NULL, NULL) = 4',
            "recv", 3, {"length": 10, "flags": "0"}, 4,
        ),
        (
            f'recvfrom({S}, "x"..., 10, MSG_PEEK, {V4}, [128 => 16]) = 4',
            "recvfrom", 3, {"length": 10, "flags": "MSG_PEEK", "address": "127.0.0.1:9"}, 4,
        ),
        (f'send({S}, "x"..., 10, 0) = 10', "send", 3, {"length": 10, "flags": "0"}, 10),
        (f'read({S}, ""..., 4096) = 7', "read", 3, {"length": 4096}, 7),
        (f'write({S}, ""..., 9) = 9', "write", 3, {"length": 9}, 9),
        (
            f'writev({S}, [{{iov_base=""..., iov_len=1}}, {{iov_base=""..., iov_len=3}}], 2) = 4',
            "writev", 3, {"length": 4}, 4,
        ),
        (f'readv({S}, [{{iov_base=""..., iov_len=3}}, ...], 2) = 4', "readv", 3,
         {"length": None}, 4),
        (
            f'sendmsg({S}, {{msg_name=NULL, msg_namelen=0, msg_iov=[{{iov_base=""..., iov_len=2}}],'
            " msg_iovlen=1, msg_controllen=0, msg_flags=0}, MSG_DONTWAIT) = 2",
            "sendmsg", 3, {"length": 2, "flags": "MSG_DONTWAIT", "address": None}, 2,
        ),
        (
            f"recvmsg({S}, {{msg_name={V4}, msg_namelen=128 => 16,"
            ' msg_iov=[{iov_base=""..., iov_len=2}], msg_iovlen=1, msg_control=[{cmsg_len=20,'
            " cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[8<socket:[1]>]}],"
            " msg_controllen=24, msg_flags=0}, 0) = 2",
            "recvmsg", 3,
            {"length": 2, "flags": "0", "address": "127.0.0.1:9", "rights": (8,)}, 2,
        ),
        (
            f'sendmmsg({S}, [{{msg_hdr={{msg_name={V4}, msg_namelen=16,'
            ' msg_iov=[{iov_base=""..., iov_len=2}], msg_iovlen=1, msg_controllen=0,'
            " msg_flags=0}, msg_len=2}], 1, MSG_NOSIGNAL) = 1",
            "sendmmsg", 3,
            {"lengths": (2,), "flags": "MSG_NOSIGNAL", "addresses": ("127.0.0.1:9",),
             "taken": (2,)}, 1,
        ),
        (
            f"sendfile({S}, 5</usr/x>, [0] => [100], 100) = 100",
            "sendfile", 3, {"in_fd": 5, "offset": 0, "length": 100}, 100,
        ),
        (
            f"splice(6<pipe:[1]>, NULL, {S}, NULL, 100, SPLICE_F_MOVE) = 50",
            "splice", 3, {"in_fd": 6, "out_fd": 3, "length": 100, "flags": "SPLICE_F_MOVE"}, 50,
        ),
        (
            f"setsockopt({S}, SOL_TCP, TCP_NODELAY, [1], 4) = 0",
            "setsockopt", 3, {"level": "IPPROTO_TCP", "option": "TCP_NODELAY", "value": 1}, 0,
        ),
        (
            f"setsockopt({S}, SOL_SOCKET, SO_LINGER, {{l_onoff=1, l_linger=0}}, 8) = 0",
            "setsockopt", 3, {"level": "SOL_SOCKET", "option": "SO_LINGER", "value": (1, 0)}, 0,
        ),
        (
            f'setsockopt({S}, SOL_SOCKET, SO_RCVTIMEO, "\\1\\0", 2) = 0',
            "setsockopt", 3, {"level": "SOL_SOCKET", "option": "SO_RCVTIMEO", "value": "0x0100"},
            0,
        ),
        (
            f"getsockopt({S}, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0",
            "getsockopt", 3, {"level": "SOL_SOCKET", "option": "SO_ERROR", "value": 111}, 0,
        ),
        (
            f"getsockopt({S}, SOL_SOCKET, SO_TYPE, [SOCK_STREAM], [4]) = 0",
            "getsockopt", 3, {"level": "SOL_SOCKET", "option": "SO_TYPE", "value": 1}, 0,
        ),
        (f"ioctl({S}, FIONBIO, [1]) = 0", "ioctl", 3, {"request": "FIONBIO", "value": 1}, 0),
        (f"ioctl({S}, FIOCLEX) = 0", "ioctl", 3, {"request": "FIOCLEX"}, 0),
        (
            f"fcntl({S}, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
            "fcntl", 3, {"command": "F_SETFL", "value": "O_RDWR|O_NONBLOCK"}, 0,
        ),
        (
            f"fcntl64({S}, F_SETFD, FD_CLOEXEC) = 0",
            "fcntl", 3, {"command": "F_SETFD", "value": "FD_CLOEXEC"}, 0,
        ),
        (
            f"fcntl({S}, F_DUPFD_CLOEXEC, 0) = 4<socket:[7]>",
            "dup", 3, {"flags": "O_CLOEXEC"}, 4,
        ),
        (f"dup({S}) = 4<socket:[7]>", "dup", 3, {"flags": "0"}, 4),
        (f"dup2({S}, 9) = 9<socket:[7]>", "dup2", 3, {"new_fd": 9}, 9),
        (
            f"dup3({S}, 9, O_CLOEXEC) = 9<socket:[7]>",
            "dup3", 3, {"new_fd": 9, "flags": "O_CLOEXEC"}, 9,
        ),
        (
            "dup2(1</dev/null>, 3<socket:[7]>) = 3</dev/null>",
            "dup2", None, {"old_fd": 1, "new_fd": 3}, 3,
        ),
        ("pidfd_getfd(4<anon_inode:[pidfd]>, 7, 0) = 5<socket:[7]>", "pidfd_getfd", None,
         {"pidfd": 4, "target_fd": 7}, 5),
        (
            f"poll([{{fd={S}, events=POLLIN}}, {{fd=1</dev/null>, events=POLLOUT}}], 2, 500)"
            " = 1 ([{fd=3, revents=POLLIN|POLLHUP}])",
            "poll", None,
            {"fds": ((3, "POLLIN"), (1, "POLLOUT")), "timeout_ms": 500,
             "ready": ((3, "POLLIN|POLLHUP"),)}, 1,
        ),
        (
            f"ppoll([{{fd={S}, events=POLLIN}}], 1, {{tv_sec=1, tv_nsec=500000001}}, NULL, 8)"
            " = 0 (Timeout)",
            "poll", None, {"fds": ((3, "POLLIN"),), "timeout_ms": 1501, "ready": ()}, 0,
        ),
        (
            f"select(4, [{S}], [], NULL, {{tv_sec=0, tv_usec=1}}) = 0 (Timeout)",
            "select", None,
            {"read": (3,), "write": (), "except": (), "timeout_ms": 1,
             "ready_read": (), "ready_write": (), "ready_except": ()}, 0,
        ),
        (
            f"pselect6(5, [{S} 4<socket:[8]>], NULL, NULL, NULL, NULL) = 1 (in [4])",
            "select", None,
            {"read": (3, 4), "write": (), "except": (), "timeout_ms": -1,
             "ready_read": (4,), "ready_write": (), "ready_except": ()}, 1,
        ),
        (
            "epoll_ctl(6<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 3<socket:[7]>,"
            " {events=EPOLLIN|EPOLLET, data={u32=9, u64=9}}) = 0",
            "epoll_ctl", 3,
            {"epoll": 6, "operation": "EPOLL_CTL_ADD", "events": "EPOLLIN|EPOLLET", "data": 9}, 0,
        ),
        (
            "clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = 6",
            "fork", None, {}, 6,
        ),
        ("clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 6", "fork", None, {}, 6),
        ("clone(child_stack=NULL, flags=CLONE_FILES|SIGCHLD) = 6", "fork", None,
         {"flags": "CLONE_FILES"}, 6),
        ("vfork() = 6", "fork", None, {}, 6),
        ("kill(6, SIGKILL) = 0", "kill", None, {"pid": 6, "signal": "SIGKILL"}, 0),
        ("tgkill(5, 5, SIGABRT) = 0", "kill", None, {"pid": 5, "signal": "SIGABRT"}, 0),
    ],
)  # fmt: skip
def test_calls(line, name, fd, args, result):
    call = one(line)
    assert (call.name, call.fd, dict(call.args)) == (name, fd, args)
    assert (call.result, call.errno) == (result, None)
    assert (call.pid, call.tid, call.id) == (5, 5, 1)
    assert list(call.args) == list(args)


@pytest.mark.parametrize(
    ("line", "name", "errno"),
    [
        (f"connect({S}, {V4}, 16) = -1 ECONNREFUSED (Connection refused)", "connect",
         "ECONNREFUSED"),
        (f"recvfrom({S}, 0x7f, 9, 0, NULL, NULL) = -1 EAGAIN (Resource …)", "recv", "EAGAIN"),
        (f"recvmsg({S}, {{msg_namelen=0}}, 0) = -1 EAGAIN (Resource …)", "recvmsg", "EAGAIN"),
        (f"getpeername({S}, 0x7f, [16]) = -1 ENOTCONN (Transport …)", "getpeername", "ENOTCONN"),
        ("socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = -1 EMFILE (Too …)", "socket", "EMFILE"),
    ],
)  # fmt: skip
def test_failures(line, name, errno):
    call = one(line)
    assert (call.name, call.result, call.errno) == (name, -1, errno)


@pytest.mark.parametrize(
    ("line", "local", "peer"),
    [
        (f"connect({S}, {V4}, 16) = 0", None, NINE),
        (f"connect({S}, {V4}, 16) = -1 EINPROGRESS (Operation now in progress)", None, None),
        (
            f'connect({S}, {{sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("0.0.0.0")}},'
            " 16) = 0",
            None,
            None,
        ),
        (f"accept({S}, {V4}, [16]) = 4<socket:[8]>", None, NINE),
        (
            "accept(3<TCP:[0.0.0.0:1]>, NULL, NULL) = 4<TCP:[127.0.0.1:1->127.0.0.1:9]>",
            Endpoint("127.0.0.1", 1),
            NINE,
        ),
        (f"getsockname({S}, {V4}, [128 => 16]) = 0", NINE, None),
        (f"getpeername({S}, {V4}, [128 => 16]) = 0", None, NINE),
        (
            'sendto(3<TCP:[127.0.0.1:1->127.0.0.1:9]>, "", 0, 0, NULL, 0) = 0',
            Endpoint("127.0.0.1", 1),
            NINE,
        ),
    ],
)
def test_names_that_are_told(line, local, peer):
    call = one(line)
    assert (call.local, call.peer) == (local, peer)


@pytest.mark.parametrize(
    "line",
    [
        'read(3</etc/passwd>, ""..., 4096) = 100',
        'write(1<pipe:[5]>, ""..., 4096) = 100',
        "close(3</etc/passwd>) = 0",
        "close(77) = -1 EBADF (Bad file descriptor)",
        "poll([{fd=0</dev/null>, events=POLLIN}], 1, 0) = 0 (Timeout)",
        "pselect6(1, [0</dev/null>], NULL, NULL, NULL, NULL) = 1 (in [0])",
        "fcntl(3<socket:[7]>, F_GETFL) = 0x2 (flags O_RDWR)",
        "ioctl(3<socket:[7]>, TCGETS, 0x7f) = -1 ENOTTY (Inappropriate ioctl for device)",
        "dup2(3</x>, 4</y>) = 4</x>",
        "clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0}, 88) = 6",
        'execve("/usr/local/bin/curl", ["curl"], 0x7f /* 5 vars */) = -1 ENOENT (No such file)',
        'openat(AT_FDCWD</usr>, "x", O_RDONLY) = 3</usr/x>',
        "some_new_call(({[ what) = 0",
    ],
)
def test_what_has_nothing_to_do_with_sockets_is_a_note(line):
    log = parse([f"5 1700000000.000000001 {line}"])
    assert (log.calls, log.notes, log.unread) == ((), 1, ())


@pytest.mark.parametrize(
    "line",
    [
        "connect(3<socket:[7]>, {sa_family=AF_INET",
        "connect(3<socket:[7]>) 0",
        "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = three",
    ],
)
def test_a_call_that_cannot_be_read_is_shown(line):
    log = parse([f"5 1700000000.000000001 {line}"])
    assert log.unread == (f"5 1700000000.000000001 {line}",)
    assert "1 lines of the strace log were not understood" in log.defects


def test_exec_and_exit_do_not_return():
    lines = [
        '5 1700000000.1 execve("/usr/bin/nc", ["nc", "-l", "80"], 0x7f /* 5 vars */) = 0',
        "5 1700000000.2 exit_group(3) = ?",
        "5 1700000000.3 +++ exited with 3 +++",
    ]
    log = parse(lines)
    assert [(call.name, call.result, call.returned_ns) for call in log.calls] == [
        ("execve", None, None),
        ("exit", None, None),
    ]
    assert dict(log.calls[0].args) == {"path": "/usr/bin/nc", "argv": ("nc", "-l", "80")}
    (process,) = log.processes
    assert (process.command, process.role, process.status) == ("nc -l 80", "nc", 3)


def test_payload_is_kept_only_if_asked_for():
    line = f'sendto({S}, "a\\0\\377bcdef", 8, 0, NULL, 0) = 8'
    assert "payload" not in one(line).args
    assert one(line, payload=4).args["payload"] == "a\0\xffb"
    vector = f'writev({S}, [{{iov_base="abc", iov_len=3}}], 1) = 3'
    assert one(vector, payload=2).args["payload"] == "ab"
    failed = f"recvfrom({S}, 0x7f, 9, 0, NULL, NULL) = -1 EAGAIN (Resource …)"
    assert "payload" not in one(failed, payload=4).args


def test_a_log_of_a_32_bit_program():
    log = parse(
        [
            "strace: [ Process PID=5 runs in 32 bit mode. ]",
            "5 1700000000.1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[7]>",
            "5 1700000000.2 fcntl64(3<socket:[7]>, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
            f"5 1700000000.3 connect(3<socket:[7]>, {V4}, 16) = -1 EINPROGRESS (Operation …)",
            "5 1700000000.4 _newselect(4, NULL, [3<socket:[7]>], NULL, NULL) = 1 (out [3])",
            f'5 1700000000.5 send({S}, ""..., 3, 0) = 3',
            f"5 1700000000.6 sendfile64({S}, 4</x>, NULL, 3) = 3",
        ]
    )
    assert [call.name for call in log.calls] == [
        "socket", "fcntl", "connect", "select", "send", "sendfile",
    ]  # fmt: skip


def test_io_uring_is_named_as_a_limit():
    log = parse(["5 1700000000.1 io_uring_enter(4<anon_inode:[io_uring]>, 1, 0, 0, NULL, 8) = 1"])
    assert "process 5 uses io_uring" in log.defects[0]


def test_inodes_are_told_beside_the_calls():
    log = parse(
        [
            "5 1700000000.1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[7]>",
            "5 1700000000.2 listen(3<socket:[7]>, 1) = 0",
        ]
    )
    assert log.inodes == {1: 7, 2: 7}
