"""Observatory: what every socket call does on the wire, and why it returned what it returned.

::

    import observatory

    analysis = observatory.run("connect-refused")        # observe a behaviour of the catalogue
    for call in analysis.calls:
        print(call.call.name, call.call.errno, call.sent, call.explanation.text)

    trace = observatory.load("capture.pcapng")           # a run file, or any pcap or pcapng
    analysis = observatory.analyze(trace)                # pure: the same trace, the same analysis

The values are those of :mod:`observatory.model`; the errors those of :mod:`observatory.errors`.
Importing this package loads neither scapy nor the analyzer: the functions do when called.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observatory.model import Analysis, Trace

__version__ = "0.1.0"
__all__ = ["__version__", "analyze", "load", "run"]


def run(
    name: str,
    *,
    path: str | PathLike[str] | None = None,
    host: bool = False,
    interface: str = "lo",
) -> Analysis:
    """Observe one behaviour of the catalogue and explain it.

    It happens in a private network namespace, in processes of its own; with ``host`` on this
    machine's own network, capturing on ``interface``, which needs CAP_NET_RAW. With ``path`` the
    run file is written there (a number is added if there is such a file); without, to no file.
    Raises UsageError (no such behaviour), PermissionRefused, CaptureError, ScenarioFailed,
    WriteFailed.
    """
    from pathlib import Path

    from observatory.pipeline import observe

    where = None if path is None else Path(path)
    return observe(name, path=where, host=host, interface=interface).analysis


def load(path: str | PathLike[str]) -> Trace:
    """What a run file, or any pcap or pcapng file (gzipped too), says was observed.

    A file that was cut short gives what is there, and ``Trace.defects`` say so. Raises BadFile.
    """
    from pathlib import Path

    from observatory.pipeline import load as load_file

    return load_file(Path(path))


def analyze(trace: Trace) -> Analysis:
    """What can be concluded from what was observed. Pure; linear in calls and segments."""
    from observatory.pipeline import analyze as conclude

    return conclude(trace)
