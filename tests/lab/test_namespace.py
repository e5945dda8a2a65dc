import errno
import os
import socket
from pathlib import Path

import pytest

from observatory.errors import PermissionRefused, UsageError
from observatory.lab import kernel, namespace

NOBODY = 65534


def in_child(check, uid=None):
    """Run ``check()`` in a forked child, as ``uid`` if given; what it returned, as text."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            try:
                text = str(check())
            except Exception as failure:
                text = f"{type(failure).__name__}: {failure}"
            os.write(writable, text.encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text


def people():
    """Who the tests can be: themselves, and where that is root an ordinary user too."""
    return [None, NOBODY] if os.geteuid() == 0 else [None]


def private(check, uid=None):
    import pyroute2  # an ordinary user may not be able to read root's Python

    with pyroute2.IPRoute():
        pass

    def run():
        namespace.enter_private_network()
        return check()

    answer = in_child(run, uid)
    if answer.startswith("PermissionRefused"):
        pytest.skip(answer)
    return answer


@pytest.mark.parametrize("uid", people())
def test_a_private_network_is_loopback_alone_and_up(uid):
    def check():
        with socket.socket() as server, socket.socket() as client:
            server.bind(("127.0.0.1", 0))
            server.listen()
            client.connect(server.getsockname())
        return sorted(name for _, name in socket.if_nameindex() if name == "eth0") or "only ours"

    assert private(check, uid) == "only ours"


@pytest.mark.parametrize("uid", people())
def test_its_packets_can_be_captured_in_it(uid):
    def check():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)):
            return "captured"

    assert private(check, uid) == "captured"


@pytest.mark.parametrize("uid", people())
def test_the_caller_keeps_its_number(uid):
    expected = (os.geteuid(), os.getegid()) if uid is None else (uid, uid)

    assert private(lambda: (os.geteuid(), os.getegid()), uid) == str(expected)


@pytest.mark.parametrize("uid", people())
def test_its_settings_are_its_own(uid):
    name = "net.ipv4.tcp_syn_retries"
    before = namespace.read_settings([name])

    def check():
        namespace.write_settings({name: "2"})
        return namespace.read_settings([name])

    assert private(check, uid) == str({name: "2"})
    assert namespace.read_settings([name]) == before


def test_it_leaves_no_name_behind():
    names = Path("/run/netns")
    before = sorted(names.iterdir()) if names.exists() else []

    private(lambda: "there")

    assert (sorted(names.iterdir()) if names.exists() else []) == before


def test_settings_outside_the_namespace_are_refused():
    with pytest.raises(UsageError, match=r"kernel\.panic"):
        namespace.write_settings({"kernel.panic": "1"})


def test_a_setting_that_the_kernel_does_not_have():
    with pytest.raises(PermissionRefused, match=r"net\.ipv4\.no_such=1"):
        namespace.write_settings({"net.ipv4.no_such": "1"})
    assert namespace.read_settings(["net.ipv4.no_such"]) == {}


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=10000"),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_refusal_says_why_and_what_mends_it(monkeypatch, tmp_path, setting, value, told):
    monkeypatch.setattr(namespace, "_PROC_SYS", tmp_path)
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")

    text = namespace.refusal(PermissionError(errno.EPERM, "Operation not permitted"))

    assert told in text
    assert setting.replace("/", ".") in text


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "max_net_namespaces"), (errno.EPERM, "seccomp")]
)
def test_a_refusal_without_a_setting_to_blame(monkeypatch, tmp_path, number, told):
    monkeypatch.setattr(namespace, "_PROC_SYS", tmp_path)

    assert told in namespace.refusal(OSError(number, os.strerror(number)))


def test_a_refused_namespace_is_a_permission_refused(monkeypatch):
    def refuse(flags):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(kernel, "unshare", refuse)

    with pytest.raises(PermissionRefused, match="Operation not permitted"):
        namespace.enter_private_network()


def test_root_that_may_not_uses_a_user_namespace(monkeypatch):
    asked = []

    def unshare(flags):
        asked.append(flags)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(kernel, "unshare", unshare)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    with pytest.raises(PermissionRefused):
        namespace.enter_private_network()
    assert asked == [kernel.CLONE_NEWNET, kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET]
