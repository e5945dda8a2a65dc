"""Names of processes."""

from observatory.codec.strace import parse


def processes(*lines):
    return {one.pid: one for one in parse(lines).processes}


def fork(parent, child):
    return f"{parent} clone(child_stack=NULL, flags=SIGCHLD) = {child}"


def execute(pid, path, words='["x"]'):
    return f'{pid} execve("{path}", {words}, 0x7f) = 0'


def test_children_are_numbered_under_their_parent():
    found = processes(
        execute(1, "/usr/sbin/nginx"), fork(1, 2), fork(1, 3), fork(3, 4),
        *(f"{pid} listen(3, 1) = 0" for pid in (2, 3, 4)),
    )  # fmt: skip
    assert [found[pid].role for pid in (1, 2, 3, 4)] == ["nginx", "nginx.1", "nginx.2", "nginx.2.1"]
    assert [found[pid].parent for pid in (1, 2, 3, 4)] == [None, 1, 1, 3]


def test_programs_of_one_name_are_told_apart():
    found = processes(
        execute(1, "/bin/sh"), fork(1, 2), fork(1, 3),
        execute(2, "/usr/bin/curl", '["curl", "-s"]'), execute(3, "/usr/bin/curl", "[...]"),
    )  # fmt: skip
    assert [found[pid].role for pid in (1, 2, 3)] == ["sh", "curl", "curl-2"]
    assert [found[pid].command for pid in (2, 3)] == ["curl -s", "/usr/bin/curl"]


def test_an_attached_process_is_called_what_strace_calls_it():
    assert processes("9<redis-server> listen(3, 1) = 0")[9].role == "redis-server"
    assert processes("9 listen(3, 1) = 0")[9].role == "process"
