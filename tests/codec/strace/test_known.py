"""What is a socket, in a log without -y."""

from observatory.codec.strace import parse


def names(*lines):
    return [(call.name, call.fd) for call in parse(lines).calls]


def test_only_what_was_opened_as_a_socket_is_one():
    assert names(
        'read(3, ""..., 100) = 100',
        "close(3) = 0",
        "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3",
        'write(3, ""..., 5) = 5',
        'write(1, ""..., 5) = 5',
        "close(3) = 0",
        'read(3, ""..., 100) = 100',
    ) == [("socket", None), ("write", 3), ("close", 3)]


def test_a_child_has_what_its_parent_had_at_the_fork():
    found = parse(
        [
            "1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3",
            "1 clone(child_stack=NULL, flags=SIGCHLD) = 2",
            "1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4",
            '2 read(4, ""..., 100) = 100',
            '2 read(3, ""..., 100) = 100',
        ]
    )
    assert [call.fd for call in found.calls if call.name == "read"] == [3]


def test_exec_keeps_what_is_not_close_on_exec():
    assert names(
        "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3",
        "socketpair(AF_UNIX, SOCK_STREAM, 0, [4, 5]) = 0",
        'execve("/bin/cat", ["cat"], 0x7f) = 0',
        'read(3, ""..., 100) = 100',
        'read(4, ""..., 100) = 100',
    ) == [("socket", None), ("socketpair", None), ("execve", None), ("read", 4)]


def test_closing_a_socket_twice_is_told():
    assert names(
        "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[7]>",
        "close(3<socket:[7]>) = 0",
        "close(3) = -1 EBADF (Bad file descriptor)",
        "close(4) = -1 EBADF (Bad file descriptor)",
    ) == [("socket", None), ("close", 3), ("close", 3)]


def test_what_the_missing_option_costs_is_said():
    assert "use -y" in parse(["socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3"]).defects[0]
