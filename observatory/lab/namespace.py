"""A private network: loopback alone, settings of its own, gone with its processes.

The namespace has no name in /run/netns: the kernel takes it away with the last process and
socket in it, however they end.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from observatory.errors import PermissionRefused, UsageError
from observatory.lab import kernel

_PROC_SYS = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kernel setting that refuses an ordinary user a namespace while it has this value."""

    setting: str
    value: str
    meaning: str
    accepting: str

    @property
    def remedy(self) -> str:
        """The command that mends it."""
        return f"sudo sysctl -w {self.setting}={self.accepting}"


REFUSALS = (
    Refusal("user.max_user_namespaces", "0", "user namespaces are switched off", "10000"),
    Refusal(
        "kernel.unprivileged_userns_clone",
        "0",
        "this kernel allows user namespaces to root alone",
        "1",
    ),
    Refusal(
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor allows user namespaces only to programs with a profile",
        "0",
    ),
)

# Settings that decide how the behaviours come out; told in the run's header.
RELEVANT_SETTINGS = (
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_syn_linear_timeouts",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
)


def enter_private_network() -> None:
    """Move the calling process into a network namespace of its own and raise its loopback.

    Needs a process of one thread. Root gets a network namespace; anyone else, and root in a
    container that may not, a user namespace with it, where the caller keeps its own user and
    group number but holds every capability. Raises PermissionRefused.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _unshare_network(uid, gid)
    except OSError as failure:
        raise PermissionRefused(refusal(failure)) from failure
    raise_loopback()


def enter_network_of(pid: int) -> None:
    """Move the calling process into the network namespace of process ``pid``, if it is another.

    Raises PermissionRefused where that needs root.
    """
    try:
        theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as failure:
        raise PermissionRefused(
            f"the network of process {pid} may not be looked at ({failure.strerror}): run with sudo"
        ) from failure
    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not os.path.sameopenfile(theirs, ours):
            kernel.setns(theirs, kernel.CLONE_NEWNET)
    except OSError as failure:
        raise PermissionRefused(
            f"process {pid} has a network of its own, and entering it needs root: run with sudo"
        ) from failure
    finally:
        os.close(theirs)
        os.close(ours)


def _unshare_network(uid: int, gid: int) -> None:
    if uid == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
            return
        except PermissionError:
            pass  # root without CAP_SYS_ADMIN, as in a container
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or /proc/self could belong to root
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def refusal(failure: OSError) -> str:
    """Why the kernel refused a private network, and the command that mends it."""
    for refusing in REFUSALS:
        if _read(refusing.setting) == refusing.value:
            return (
                f"no private network: {refusing.meaning} ({refusing.setting}={refusing.value}). "
                f"Run `{refusing.remedy}`, or run the observatory with sudo."
            )
    if failure.errno == errno.ENOSPC:
        return (
            "no private network: there are as many namespaces as user.max_user_namespaces or "
            "user.max_net_namespaces allow. Raise them with sysctl, or end other programs' ones."
        )
    return (
        f"no private network: the kernel refused a namespace ({failure.strerror}); in a container "
        "its seccomp profile does. Run the observatory with sudo, or start the container with "
        "--cap-add SYS_ADMIN or --security-opt seccomp=unconfined, or observe with --host."
    )


def _read(setting: str) -> str | None:
    try:
        return _path(setting).read_text().strip()
    except OSError:
        return None


def raise_loopback() -> None:
    """Set ``lo`` up, and with it 127.0.0.1 and ::1."""
    from pyroute2 import IPRoute  # 0.12 s, and only stages need it

    with IPRoute() as routes:
        routes.link("set", index=1, state="up")


def write_settings(settings: Mapping[str, str]) -> None:
    """Set kernel settings, which must be the private namespace's own (``net.…``).

    Raises UsageError for any other, PermissionRefused if the kernel will not have it.
    """
    for name, value in settings.items():
        if not name.startswith("net."):
            raise UsageError(f"{name} is not a setting of a network namespace")
        try:
            _path(name).write_text(value)
        except OSError as failure:
            raise PermissionRefused(
                f"the kernel refused {name}={value} in a private network ({failure.strerror}); "
                "if /proc/sys is mounted read-only, as in a container, run outside of it."
            ) from failure


def read_settings(names: Iterable[str]) -> dict[str, str]:
    """The values of the settings that this kernel has, blanks squeezed."""
    found = {}
    for name in names:
        try:
            found[name] = " ".join(_path(name).read_text().split())
        except OSError:
            continue
    return found


def _path(name: str) -> Path:
    return _PROC_SYS / name.replace(".", "/")
