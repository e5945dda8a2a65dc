"""The checks of the machine, its programs, its kernel and its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from observatory.codec.tracepoints import TELLS
from observatory.doctor.system import Finding, Status, System
from observatory.lab.namespace import REFUSALS
from observatory.lab.probe import Probe
from observatory.sources.strace import OLDEST as OLDEST_STRACE


def check_kernel(system: System) -> Iterator[Finding]:
    if system.kernel.startswith("Linux"):
        yield Finding("kernel", Status.OK, system.kernel)
    else:
        detail = f"{system.kernel}: namespaces and packet sockets are Linux's"
        yield Finding("kernel", Status.MISSING, detail, "run it on Linux", needed=True)


def check_namespace(system: System) -> Iterator[Finding]:
    """The private namespace is tried, not deduced: settings say only why it was refused."""
    what = "network namespace" if system.superuser else "user and network namespace"
    probe = system.probe()
    if probe.namespace:
        yield Finding(what, Status.OK, "a run has a private network")
        yield from _capture_inside(probe)
        return
    detail, mend = _why_refused(system)
    yield Finding(what, Status.MISSING, detail, mend, needed=True)


def _capture_inside(probe: Probe) -> Iterator[Finding]:
    if not probe.capture:
        yield Finding("capture", Status.MISSING, probe.error, IN_A_CONTAINER, needed=True)
    elif "TPACKET_V3" in probe.method:
        yield Finding("capture", Status.OK, "TPACKET_V3 ring")
    else:
        detail = f"no TPACKET_V3 ring, but {probe.method}: fine below 100,000 packets/s"
        yield Finding("capture", Status.NOTE, detail)


IN_A_CONTAINER = (
    "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined …"
)


def _why_refused(system: System) -> tuple[str, str]:
    """Why, as far as it can be known, and what mends it."""
    if system.superuser:
        return "root here lacks CAP_SYS_ADMIN, as in a container", IN_A_CONTAINER
    for refusal in REFUSALS:
        if system.read(setting_path(refusal.setting)) == refusal.value:
            detail = f"{refusal.meaning} ({refusal.setting}={refusal.value})"
            return detail, f"{refusal.remedy}   (or: sudo observatory run NAME)"
    status = system.read("/proc/self/status") or ""
    if re.search(r"^Seccomp:\s*2", status, re.MULTILINE):
        return "a seccomp filter refuses it, as in a container", IN_A_CONTAINER
    return "the kernel refuses it and no setting says why", "sudo observatory run NAME"


CAP_NET_RAW = 13


def check_host_capture(system: System) -> Iterator[Finding]:
    """Only --host and `trace` without --private need it: a private namespace brings the
    capability with it."""
    status = system.read("/proc/self/status") or ""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    if found and int(found.group(1), 16) >> CAP_NET_RAW & 1:
        yield Finding("capture on the host (--host)", Status.OK, "CAP_NET_RAW")
    else:
        detail = "no CAP_NET_RAW; private runs and `trace --private` do not need it"
        yield Finding(
            "capture on the host (--host)", Status.NOTE, detail, "sudo observatory run NAME --host"
        )


@dataclass(frozen=True, slots=True)
class Program:
    """A program that something uses, and the Debian package that has it."""

    name: str
    argument: str
    use: str
    package: str


PROGRAMS = (
    Program("tshark", "--version", "`observatory check` compares with it", "tshark"),
    Program("nft", "--version", "behaviours with a firewall of their own", "nftables"),
    Program("tcpdump", "--version", "filters of `observatory trace -f`", "tcpdump"),
)
PACKAGES = ("scapy", "pyroute2", "msgspec", "pyshark")


def check_programs(system: System) -> Iterator[Finding]:
    for program in PROGRAMS:
        path = system.which(program.name)
        if path:
            version = system.program_version(path, program.argument)
            yield Finding(program.name, Status.OK, f"{version}, {path}")
        else:
            mend = f"sudo apt-get install {program.package}"
            yield Finding(program.name, Status.MISSING, f"used: {program.use}", mend)


YAMA = "/proc/sys/kernel/yama/ptrace_scope"


def check_strace(system: System) -> Iterator[Finding]:
    """What `observatory trace` needs: a strace that is new enough and may trace."""
    path = system.which("strace")
    if path is None:
        mend = "sudo apt-get install strace"
        yield Finding("strace", Status.MISSING, "used: `observatory trace`", mend)
        return
    version = system.program_version(path, "--version")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    oldest = ".".join(map(str, OLDEST_STRACE))
    if numbers and numbers < OLDEST_STRACE:
        detail = f"{version}, older than {oldest}: `observatory trace` may not understand its lines"
        yield Finding("strace", Status.NOTE, detail, "install it from a newer release, or build it")
    else:
        yield Finding("strace", Status.OK, f"{version}, {path}")
    if refused := system.tracing(path):
        detail = f"strace may trace no program here: {refused}"
        yield Finding("tracing", Status.MISSING, detail, "docker run --cap-add SYS_PTRACE …")
    elif not system.superuser and system.read(YAMA) not in (None, "0"):
        detail = "programs that it starts; `trace -p` only with sudo (kernel.yama.ptrace_scope)"
        yield Finding("tracing", Status.NOTE, detail, "sudo sysctl -w kernel.yama.ptrace_scope=0")
    else:
        yield Finding("tracing", Status.OK, "programs that it starts, and running ones")


SINCE: Mapping[str, str] = {
    "sock:inet_sock_set_state": "4.16",
    "sock:inet_sk_error_report": "5.14",
    "tcp:tcp_send_reset": "4.15",
    "tcp:tcp_send_reset.reason": "6.10",
    "tcp:tcp_receive_reset": "4.15",
    "tcp:tcp_retransmit_skb": "4.15",
    "tcp:tcp_retransmit_synack": "4.15",
    "tcp:tcp_destroy_sock": "4.15",
    "skb:kfree_skb.reason": "5.17",
    "skb:kfree_skb.rx_sk": "6.11",
}
"""The kernel release that had it first; what is not here is older than tracefs. See
docs/kernel.md."""
TRACEPOINTS = "kernel tracepoints"


def check_tracepoints(system: System) -> Iterator[Finding]:
    """The third witness: nothing needs it, and without it less is certain."""
    if not system.superuser:
        detail = "need root; without them states and reasons rest on calls and segments alone"
        yield Finding(TRACEPOINTS, Status.NOTE, detail, "sudo observatory run NAME")
        return
    found = system.survey(TELLS)
    if found.refusal:
        detail = f"{found.refusal}; states and reasons rest on calls and segments alone"
        yield Finding(TRACEPOINTS, Status.NOTE, detail, "run it as root of the machine itself")
        return
    if not found.missing:
        yield Finding(TRACEPOINTS, Status.OK, "states, reasons of RSTs and drops")
    for missing in found.missing:
        since = f" (Linux {SINCE[missing]} has it)" if missing in SINCE else ""
        detail = f"this kernel has no {missing}{since}: it does not tell {TELLS[missing]}"
        yield Finding(TRACEPOINTS, Status.NOTE, detail)
    if found.leftovers:
        names = ", ".join(found.leftovers)
        detail = f"runs that were killed have left {names} in the kernel"
        yield Finding(TRACEPOINTS, Status.NOTE, detail, "sudo observatory doctor --mend")


def check_packages(system: System) -> Iterator[Finding]:
    for name in PACKAGES:
        version = system.package_version(name)
        needed = name != "pyshark"
        if version:
            yield Finding(name, Status.OK, version)
        else:
            mend = f"python3 -m pip install {name}"
            yield Finding(name, Status.MISSING, "a Python package", mend, needed=needed)


@dataclass(frozen=True, slots=True)
class Setting:
    """A kernel setting, the kernel's own default, and what another value changes."""

    name: str
    default: str
    changes: str


SETTINGS = (
    Setting("net.ipv4.tcp_syn_retries", "6", "how long connect() tries before ETIMEDOUT"),
    Setting("net.ipv4.tcp_synack_retries", "5", "how long a half-open request is kept"),
    Setting("net.ipv4.tcp_syn_linear_timeouts", "4", "SYNs a second apart before backing off"),
    Setting("net.ipv4.tcp_abort_on_overflow", "0", "a full accept queue answers with RST"),
    Setting("net.ipv4.tcp_fastopen", "1", "whether SYNs may carry data (2: listeners too)"),
    Setting("net.ipv4.tcp_tw_reuse", "2", "whether connect() takes a port in TIME-WAIT"),
    Setting("net.ipv4.tcp_syncookies", "1", "what a full SYN queue does"),
    Setting("net.ipv4.tcp_timestamps", "1", "whether segments carry timestamps"),
    Setting("net.ipv4.ip_local_port_range", "32768\t60999", "the ephemeral ports"),
    Setting("net.ipv4.ip_unprivileged_port_start", "1024", "the ports only root may bind"),
    Setting("net.core.somaxconn", "4096", "the longest accept queue whatever the backlog"),
)


def setting_path(name: str) -> str:
    """Where the kernel keeps the setting ``net.ipv4.tcp_syn_retries``."""
    return "/proc/sys/" + name.replace(".", "/")


def check_settings(system: System) -> Iterator[Finding]:
    """Differences from the kernel's defaults matter with --host; a new network namespace starts
    from the defaults again."""
    for setting in SETTINGS:
        value = system.read(setting_path(setting.name))
        if value is None:
            yield Finding(setting.name, Status.NOTE, f"not in this kernel ({setting.changes})")
        elif value.split() == setting.default.split():
            yield Finding(setting.name, Status.OK, f"{' '.join(value.split())}, the default")
        else:
            default = " ".join(setting.default.split())
            detail = f"{' '.join(value.split())}, not {default}: {setting.changes}"
            mend = f'sudo sysctl -w {setting.name}="{default}"   (matters only with --host)'
            yield Finding(setting.name, Status.NOTE, detail, mend)
