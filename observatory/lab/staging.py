"""The stage process, from its fork to its end: it sets the lab up, lets the behaviour play, and
keeps the lab until the observer has seen enough. ``lab.stage`` is its other side.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from observatory.errors import ObservatoryError, PermissionRefused, ScenarioFailed
from observatory.lab import kernel, namespace, privileges
from observatory.lab.behaviour import Behaviour
from observatory.lab.network import Network, build
from observatory.lab.playing import AWAITED, Stage
from observatory.lab.topology import Plan

Opener = Callable[[str], Any]
"""Makes a socket, or anything with ``fileno()``, of an interface's name."""

MESSAGE_SIZE = 1 << 20
_OBSERVER_DIED = signal.SIGHUP  # sent by the kernel; SIGTERM is the observer's own


@dataclass(frozen=True, slots=True)
class Setting:
    """What the stage process is to set up."""

    behaviour: Behaviour
    plan: Plan
    folder: Path
    person: privileges.Person
    private: bool
    opener: Opener | None
    interface: str

    def build(self) -> Network | None:
        """The lab, in a private network; None on the machine's own."""
        if not self.private:
            return None
        namespace.enter_private_network()
        sysctls = {host: self.behaviour.settings_of(host) for host in self.plan.names}
        return build(self.plan, sysctls)

    def open_captures(self, network: Network | None) -> Iterator[tuple[str, str, Any]]:
        """Host, interface and socket, of every interface that is to be captured."""
        if self.opener is None:
            return
        if network is None or self.plan.is_loopback:
            yield "", self.interface, self.opener(self.interface)
            return
        for host in self.plan.names:
            devices = [end.device for end in self.plan.ends(host)]
            with network.enter(host):
                for device in [*devices, *(["lo"] if self.behaviour.captures_loopback else [])]:
                    yield host, device, self.opener(device)

    def settings(self, network: Network | None) -> dict[str, str]:
        """The settings in force. Where hosts differ in one, each's has its name before it."""
        names = namespace.RELEVANT_SETTINGS
        if network is None or self.plan.is_loopback:
            return namespace.read_settings(names)
        by_host = {}
        for host in self.plan.names:
            own = self.behaviour.settings_of(host)
            with network.enter(host):
                by_host[host] = namespace.read_settings(dict.fromkeys([*names, *own]))
        told: dict[str, str] = {}
        for name in dict.fromkeys(name for found in by_host.values() for name in found):
            values = {host: found[name] for host, found in by_host.items() if name in found}
            if len(values) == len(by_host) and len(set(values.values())) == 1:
                told[name] = values[self.plan.names[0]]
            else:
                told |= {f"{host}:{name}": value for host, value in values.items()}
        return told


def run_stage(setting: Setting, control: socket.socket, observer: int) -> NoReturn:
    """The stage process, from its fork to its end."""
    behaviour = setting.behaviour
    stage: Stage | None = None
    network: Network | None = None
    message: dict[str, object]
    try:
        _prepare_process()
        network = setting.build()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, _OBSERVER_DIED)  # unshare() took it back
        if os.getppid() != observer:
            os._exit(1)
        stage = entered = Stage(behaviour, setting.folder, setting.person, network)
        built = network
        signal.signal(signal.SIGTERM, lambda *_: _end_with_actors(entered, built))
        signal.signal(_OBSERVER_DIED, lambda *_: _end_without_trace(entered, built))
        _send_ready(control, setting, network)
        if control.recv(16) == b"go":
            behaviour.play(stage)
            stage.tell_hits()
        message = {"ended": True}
    except ObservatoryError as failure:
        message = {"error": type(failure).__name__, "text": str(failure)}
    except BaseException:
        text = f"{behaviour.name}: {traceback.format_exc()}"
        message = {"error": ScenarioFailed.__name__, "text": text}
    try:
        if stage is not None:
            stage.end_all()
        _send(control, message)
        control.recv(16)  # the lab is there until the observer has seen enough
    finally:
        if network is not None:
            network.close()
        os._exit(0)


def _prepare_process() -> None:
    gc.freeze()  # garbage of the observer's must not close descriptors that are reused here
    os.setsid()  # the terminal's Ctrl-C is the observer's to handle
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, _OBSERVER_DIED)


def _end_with_actors(stage: Stage, network: Network | None) -> NoReturn:
    stage.end_all()
    if network is not None:
        network.close()
    os._exit(1)


def _end_without_trace(stage: Stage, network: Network | None) -> NoReturn:
    """The observer was killed, and nobody else is left to remove the play's files."""
    stage.end_all()
    shutil.rmtree(stage.folder.parent, ignore_errors=True)
    _end_with_actors(stage, network)


def _send_ready(control: socket.socket, setting: Setting, network: Network | None) -> None:
    try:
        opened = list(setting.open_captures(network))
    except PermissionError as failure:
        raise PermissionRefused(
            f"opening the capture was refused ({failure.strerror}): run with sudo"
        ) from failure
    pids = {"": os.getpid()}
    if network is not None and not setting.plan.is_loopback:
        pids = network.pids
    message = {
        "ready": True,
        "settings": setting.settings(network),
        "pids": pids,
        "opened": [(host, device) for host, device, _ in opened],
    }
    sockets = [sock for _, _, sock in opened]
    socket.send_fds(control, [json.dumps(message).encode()], [sock.fileno() for sock in sockets])
    for sock in sockets:
        sock.close()


def _send(control: socket.socket, message: Mapping[str, Any]) -> None:
    with suppress(OSError):
        control.send(json.dumps(message).encode()[:MESSAGE_SIZE])
