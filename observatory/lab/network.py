"""A lab built: namespaces with interfaces in them, held by this process and its keepers.

::

    with build(ROUTED) as network:              # in a process that is in a private network
        network.pids["server"]                  # a process there, for /proc/PID/net
        with network.enter("router"):           # what this thread does now, it does on the router
            sock = socket.socket(...)
        network.routes("router").route("add", ...)   # pyroute2's IPRoute, opened there
        network.interface("router", towards="server")    # "eth1"
        network.spawn(relay)                    # a process that ends with the lab

Faults (``lab.faults``) are put in force and mended by functions of a fault and a network
(``lab.force``), called in the process that built it.

No namespace has a name in /run/netns: each is held by a descriptor of this process and by one
keeper process, and the kernel takes it away with them, however they end. As an ordinary user all
of it lives in the user namespace of the private network that the process entered before.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any

from observatory.errors import MissingTool, PermissionRefused, ScenarioFailed
from observatory.lab import kernel, namespace, offload
from observatory.lab.topology import VERSIONS, Host, InterfaceAddress, Plan

if TYPE_CHECKING:
    from pyroute2 import IPRoute

    from observatory.lab.faults import Fault
    from observatory.lab.force import InForce
    from observatory.lab.relay import Relay

READY_LIMIT_S = 5.0
FIRST_INDEX = 100
"""Numbers of a cable's first end. The kernel gives the other the lowest that is free, and is slow
(linkwatch: 1 s) to notice that an interface is up whose other end has the same number."""
_LOOK_AGAIN_S = 0.001
EVERYWHERE = {AF_INET: "0.0.0.0/0", AF_INET6: "::/0"}

# What each host has, whatever the machine has: IPv4's come from the machine's own otherwise.
HOST_SETTINGS = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    # Addresses are usable at once, and no router or link-local address is looked for.
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.addr_gen_mode": "1",
    "net.ipv6.conf.default.accept_ra": "0",
}
ROUTER_SETTINGS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    # A router asks for its neighbours from its link-local address, or not at all (ndisc_send_ns).
    "net.ipv6.conf.default.addr_gen_mode": "0",
}


class Network:
    """A lab as it stands. Made by :func:`build`; use it as a context manager.

    ``pids`` is a process in each host's network, by the host's name. ``in_force`` and ``wires``
    (relays, by the two nodes of their link) are ``lab.force``'s.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pids: dict[str, int] = {}
        self._namespaces: dict[str, int] = {}
        self._routes: dict[str, IPRoute] = {}
        self._helpers: set[int] = set()
        self.relays: dict[tuple[str, str], str] = {}
        self.in_force: dict[Fault, InForce] = {}
        self.wires: dict[frozenset[str], Relay] = {}
        self._numbers = count(1)
        self._stack = ExitStack()
        self._home = self._descriptor()

    # Being somewhere.

    @contextmanager
    def enter(self, host: str) -> Iterator[None]:
        """Inside the block this thread, and the processes and sockets it makes, are on ``host``."""
        self.move_to(host)
        try:
            yield
        finally:
            kernel.setns(self._home, kernel.CLONE_NEWNET)

    def move_to(self, host: str) -> None:
        """Put the calling process on ``host`` for good."""
        self.plan.host(host)
        kernel.setns(self._namespaces[host], kernel.CLONE_NEWNET)

    def routes(self, host: str) -> IPRoute:
        """pyroute2's IPRoute on ``host``, one for all who ask; it is closed with the lab."""
        from pyroute2 import IPRoute  # 0.12 s

        if host not in self._routes:
            with self.enter(host):
                self._routes[host] = self._stack.enter_context(IPRoute())
        return self._routes[host]

    # Names and numbers.

    def interface(self, host: str, towards: str | None = None) -> str:
        """The device by which ``host`` reaches ``towards``; without it the first it has."""
        return self.plan.interface(host, towards)

    def address(self, host: str, family: int = AF_INET, towards: str | None = None) -> str:
        """An address of ``host``; see :meth:`topology.Plan.address`."""
        return self.plan.address(host, family, towards)

    def index(self, host: str, device: str) -> int:
        """The number of an interface on ``host``. Raises ScenarioFailed if there is none."""
        found = self.routes(host).link_lookup(ifname=device)
        if not found:
            raise ScenarioFailed(f"{host} has no interface {device}")
        return int(found[0])

    # Processes that belong to the lab and not to the play.

    def spawn(self, work: Callable[[], object], host: str | None = None) -> int:
        """Run ``work()`` in a process of its own, on ``host`` if given; its pid.

        It keeps the lab's privileges and ends with the lab at the latest.
        """
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            if host is not None:
                self.move_to(host)
            _begin_helper(parent, work)
        self._helpers.add(pid)
        return pid

    def end(self, pid: int) -> None:
        """End a process of :meth:`spawn`."""
        self._helpers.discard(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)

    def at_end(self, work: Callable[[], object]) -> None:
        """Call ``work()`` when the lab is closed, before its namespaces are let go."""
        self._stack.callback(work)

    # What became of it: kept here, used by what puts faults in force.

    def number(self) -> int:
        """A number that is new in this lab, to name something by."""
        return next(self._numbers)

    def carry(self, host: str, device: str, relay: str) -> None:
        """Note what carries the packets of the link at this interface (``netem``, ``user-space
        relay``); empty where it is the wire itself again."""
        self.relays[host, device] = relay

    def close(self) -> None:
        """End the lab's processes and let go of its namespaces."""
        for pid in tuple(self._helpers):
            self.end(pid)
        self._stack.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Building.

    def add_home(self, host: str) -> None:
        """Let ``host`` be the private network that the process is in already."""
        self._namespaces[host] = self._home
        self.pids[host] = os.getpid()

    def add(self, host: Host) -> None:
        """Make the namespace of ``host`` and its keeper."""
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
        except OSError as failure:
            raise PermissionRefused(namespace.refusal(failure)) from failure
        self._namespaces[host.name] = self._descriptor()
        # Forked while we are there: it was never anywhere else.
        self.pids[host.name] = self.spawn(_keep)

    def go_home(self) -> None:
        """Back to where the process was before :meth:`add`."""
        kernel.setns(self._home, kernel.CLONE_NEWNET)

    def _descriptor(self) -> int:
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._stack.callback(os.close, fd)
        return fd

    def namespace_of(self, host: str) -> int:
        """The descriptor that holds the namespace of ``host``."""
        return self._namespaces[host]


def build(plan: Plan, sysctls: Mapping[str, Mapping[str, str]] | None = None) -> Network:
    """Build ``plan``; returns when every link is up and every address can be used.

    ``sysctls`` are settings by host, written after the plan's own. The calling process, of one
    thread, must be in a private network (:func:`namespace.enter_private_network`), and stays in
    it. Raises PermissionRefused where the kernel refuses a namespace or a setting, MissingTool
    where it cannot link them, UsageError for a setting that is no network's own.
    """
    from pyroute2.netlink.exceptions import NetlinkError

    sysctls = sysctls or {}
    for name in sysctls:
        plan.host(name)
    network = Network(plan)
    try:
        if plan.is_loopback:
            network.add_home(plan.names[0])
            namespace.write_settings(plan.hosts[0].sysctls)
        else:
            _build_hosts(network)
            _build_cables(network)
            for host in plan.hosts:
                _add_routes(network, host)
        for name, settings in sysctls.items():
            with network.enter(name):
                namespace.write_settings(settings)
    except NetlinkError as refusal:
        network.close()
        raise MissingTool(
            f"the lab {plan.name} cannot be built: the kernel refused a link, an address or a "
            f"route ({refusal}). It needs veth pairs: `sudo modprobe veth`"
        ) from refusal
    except BaseException:
        network.close()
        raise
    return network


def _build_hosts(network: Network) -> None:
    try:
        for host in network.plan.hosts:
            network.add(host)
            settings = {**HOST_SETTINGS, **(ROUTER_SETTINGS if host.router else {})}
            namespace.write_settings(_that_exist(settings))
            namespace.write_settings(host.sysctls)
            namespace.raise_loopback()
    finally:
        network.go_home()


def _that_exist(settings: Mapping[str, str]) -> dict[str, str]:
    """Without those of IPv6 where the kernel has none."""
    known = namespace.read_settings(settings)
    return {name: value for name, value in settings.items() if name in known}


def _build_cables(network: Network) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as links:
        for number, one in enumerate(network.plan.cables, FIRST_INDEX):
            a, b = (
                {"ifname": end.device, "net_ns_fd": network.namespace_of(end.host), "mtu": one.mtu}
                for end in one.ends
            )
            links.link("add", kind="veth", index=number, peer=b, **a)
    for host in network.plan.hosts:
        for end in network.plan.ends(host.name):
            with network.enter(host.name):
                offload.switch_off(end.device)
            network.routes(host.name).link(
                "set",
                index=network.index(host.name, end.device),
                state="up",
                gso_max_segs=offload.SEGMENTS_AT_ONCE,
            )
    # An interface whose other end has just been raised drops what it is given until the kernel
    # has noticed.
    _wait_until(lambda: all(_is_up(network, host.name) for host in network.plan.hosts))
    for host in network.plan.hosts:
        for end in network.plan.ends(host.name):
            for address in end.addresses:
                _add_address(network, host.name, end.device, address)


def _is_up(network: Network, host: str) -> bool:
    links = network.routes(host).get_links()
    return all(
        link.get_attr("IFLA_OPERSTATE") == "UP"
        for link in links
        if link.get_attr("IFLA_IFNAME") != "lo"
    )


def _add_address(network: Network, host: str, device: str, address: InterfaceAddress) -> None:
    if address.version == VERSIONS[AF_INET6] and not _has_ipv6():
        return
    extra: dict[str, Any] = {}
    if address.version == VERSIONS[AF_INET6]:
        extra["flags"] = _IFA_F_NODAD
    network.routes(host).addr(
        "add",
        index=network.index(host, device),
        address=str(address.ip),
        prefixlen=address.network.prefixlen,
        **extra,
    )


_IFA_F_NODAD = 0x02  # linux/if_addr.h


def _add_routes(network: Network, host: Host) -> None:
    families = (AF_INET, AF_INET6) if _has_ipv6() else (AF_INET,)
    wanted = [(prefix, via) for prefix, via in host.routes]
    if host.gateway:
        wanted += [(EVERYWHERE[family], host.gateway) for family in families]
    for prefix, via in wanted:
        family = AF_INET6 if ":" in prefix else AF_INET
        if family in families and (hop := network.plan.hop(host.name, via, family)):
            network.routes(host.name).route("add", family=family, dst=prefix, gateway=hop)


def _has_ipv6() -> bool:
    return Path("/proc/sys/net/ipv6").exists()


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise ScenarioFailed(f"the lab's links did not come up within {READY_LIMIT_S:g} s")
        time.sleep(_LOOK_AGAIN_S)


def _keep() -> None:
    """What a keeper does: be there."""
    while True:
        signal.pause()


def _begin_helper(parent: int, work: Callable[[], object]) -> None:
    """In the new process: end when the parent does, whatever else happens."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the stage's own, and the terminal's
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            work()
    finally:
        os._exit(0)
