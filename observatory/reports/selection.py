"""Which calls a report shows: those that have to do with sockets.

A shell script starts dozens of programs that never touch one; what they did to processes is in
the run file and in the document, and ``--full`` shows it.
"""

from __future__ import annotations

from dataclasses import replace

from observatory.model import Analysis, ExplainedCall

FORKS = frozenset({"fork", "vfork", "clone", "clone3"})
# Calls that are about processes, not about a socket.
ABOUT_PROCESSES = FORKS | {"execve", "exit", "exit_group"}


def selected(analysis: Analysis, full: bool = False) -> tuple[Analysis, int]:
    """The analysis with the calls worth showing, and how many were left out.

    Left out are calls about processes in processes that no socket passes through: neither they
    nor their children use one.
    """
    if full:
        return analysis, 0
    concerned = _concerned(analysis)
    shown = tuple(entry for entry in analysis.calls if _worth(entry, concerned))
    return replace(analysis, calls=shown), len(analysis.calls) - len(shown)


def _concerned(analysis: Analysis) -> dict[int, int]:
    """Processes that use a socket, each with the time from which on it is concerned."""
    since: dict[int, int] = {}
    for entry in analysis.calls:
        call = entry.call
        if call.name not in ABOUT_PROCESSES or _moved(entry):
            since.setdefault(call.pid, call.entered_ns)
        elif call.name in FORKS and call.pid in since and call.result:
            # The child holds what its parent holds.
            since.setdefault(call.result, call.entered_ns)
    for attributed in analysis.segments:
        for pid in (attributed.src_pid, attributed.dst_pid):
            if pid is not None:
                since.setdefault(pid, attributed.segment.time_ns)
    return since


def _moved(entry: ExplainedCall) -> bool:
    """It took a socket's last descriptor, or something came of it."""
    return bool(entry.sent or entry.completed_by) or not entry.explanation.plain


def _worth(entry: ExplainedCall, concerned: dict[int, int]) -> bool:
    call = entry.call
    if call.name not in ABOUT_PROCESSES or _moved(entry):
        return True
    if call.name in FORKS and call.result in concerned:
        return True
    return concerned.get(call.pid, call.entered_ns + 1) <= call.entered_ns
