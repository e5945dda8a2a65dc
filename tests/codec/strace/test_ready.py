"""Which descriptor an epoll event means."""

from observatory.codec.strace import parse

CTL = "epoll_ctl(5<anon_inode:[eventpoll]>, EPOLL_CTL_%s, %d<socket:[1]>, {events=EPOLLIN, %s}) = 0"
WAIT = "epoll_wait(5<anon_inode:[eventpoll]>, [{events=EPOLLIN, %s}], 8, -1) = 1"
SMALL, LARGE = "data={u32=8, u64=8}", "data={u32=4096, u64=94404665315328}"


def ready(*lines):
    calls = parse(lines).calls
    return [dict(call.args) for call in calls if call.name == "epoll_wait"]


def test_data_is_what_epoll_ctl_gave():
    (args,) = ready(f"1 {CTL % ('ADD', 3, LARGE)}", f"1 {WAIT % LARGE}")
    assert args == {"epoll": 5, "timeout_ms": -1, "ready": ((3, "EPOLLIN"),)}


def test_data_that_nobody_gave_stays_data():
    (args,) = ready(f"1 {WAIT % SMALL}")
    assert args["ready"] == () and args["ready_data"] == ((8, "EPOLLIN"),)


def test_a_set_is_inherited():
    (args,) = ready(
        f"1 {CTL % ('ADD', 3, SMALL)}",
        "1 clone(child_stack=NULL, flags=SIGCHLD) = 2",
        f"2 {WAIT % SMALL}",
    )
    assert args["ready"] == ((3, "EPOLLIN"),)


def test_a_set_without_sockets_is_no_matter():
    begin = '1 execve("/bin/x", ["x"], 0x7f) = 0'
    assert ready(begin, f"1 {WAIT % SMALL}") == []
    assert len(ready(begin, f"1 {CTL % ('ADD', 3, SMALL)}", f"1 {WAIT % SMALL}")) == 1
