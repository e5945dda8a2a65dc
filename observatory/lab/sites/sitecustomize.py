"""Loaded by every Python that a traced program starts; see the package's docstring.

Standard library only, silent, and in nobody's way: whatever fails here must not be noticed by the
program. Another ``sitecustomize`` further down the path is loaded as if this one were not there.
"""

# Few modules are imported: each could be one that the program does not have.
# ruff: noqa: PTH100, PTH120, SIM105

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

FILE_VARIABLE = "OBSERVATORY_SITES"
WATCHED = (
    *("__init__", "accept", "bind", "connect", "connect_ex", "listen", "shutdown", "_real_close"),
    *("send", "sendall", "sendto", "sendmsg", "sendfile", "recv", "recv_into", "recvfrom"),
    *("recvfrom_into", "recvmsg", "recvmsg_into", "getsockname", "getpeername", "getsockopt"),
    *("setsockopt", "setblocking", "settimeout"),
)
HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.path.dirname(os.__file__)


def caller(frame: FrameType) -> FrameType:
    """The innermost frame of the program's own code; of the standard library's if there is none."""
    inner: FrameType | None = frame
    while inner is not None:
        name = inner.f_code.co_filename
        if not name.startswith((LIBRARY, "<frozen")) or "site-packages" in name:
            return inner
        inner = inner.f_back
    return frame


def note(descriptor: int, *values: object) -> None:
    """One line. In a single write, so that lines of several processes are not mixed."""
    try:
        os.write(descriptor, json.dumps(values).encode() + b"\n")
    except Exception:
        pass


def watched(method: Callable[..., Any], descriptor: int) -> Callable[..., Any]:
    """``method``, noting where it was called from."""

    def call(*args: Any, **named: Any) -> Any:
        began = time.time_ns()
        thread = threading.get_native_id()
        frame = caller(sys._getframe(1))
        note(descriptor, thread, began, None, frame.f_code.co_filename, frame.f_lineno)
        try:
            return method(*args, **named)
        finally:
            note(descriptor, thread, began, time.time_ns())

    call.__name__ = getattr(method, "__name__", "call")
    call.__doc__ = method.__doc__
    return call


def watch(module: ModuleType, descriptor: int) -> None:
    for name in WATCHED:
        method = getattr(module.socket, name, None)
        if method is not None:
            setattr(module.socket, name, watched(method, descriptor))


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Has the module ``socket`` watched as soon as it is imported, if it is."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.loader: Any = None

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "socket":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            self.loader = spec.loader
            spec.loader = self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self.loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        try:
            watch(module, self.descriptor)
        except Exception:
            pass


def load_the_other() -> None:
    """The ``sitecustomize`` that this one hides, if there is any."""
    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def begin() -> None:
    file = os.environ.get(FILE_VARIABLE)
    if not file:
        return
    opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        import fcntl

        # Out of the way of programs that count on the lowest numbers.
        descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 900)
        os.close(opened)
    except (ImportError, OSError):
        descriptor = opened
    if "socket" in sys.modules:
        watch(sys.modules["socket"], descriptor)
    else:
        sys.meta_path.insert(0, Finder(descriptor))


try:
    begin()
except Exception:
    pass
try:
    load_the_other()
except ImportError:
    pass
