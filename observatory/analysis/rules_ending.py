"""Rules for dup(), and for what ends or replaces processes."""

from __future__ import annotations

from observatory.analysis.callsets import ENDING
from observatory.analysis.closing import (
    no_sockets,
    with_flag,
)
from observatory.analysis.rule import Rule, names, outcomes
from observatory.analysis.view import Because, View, counted, ids


def _with_sockets(view: View) -> Because | None:
    """What an exit, exec or kill did to the sockets whose last holder it took away."""
    ended = [
        view.joined.descriptors.sockets[number]
        for number in view.joined.descriptors.ended.get(view.call.id, ())
    ]
    if not ended:
        return None
    fins, resets = with_flag(view, "F"), with_flag(view, "R")
    parts = []
    if fins:
        parts.append(f"FIN {ids(sorted(fins))} went out as if it had called close()")
    for reason, numbers in _by_reason(view, resets).items():
        parts.append(f"RST {ids(numbers)} went out: {reason}")
    told = "; ".join(parts) or "nothing had to be sent"
    return Because({"sockets": counted(len(ended), "socket"), "told": told})


def _by_reason(view: View, resets: list[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number in sorted(resets):
        found.setdefault(view.causes[number].reason.removeprefix("RST: "), []).append(number)
    return found


def _whom(view: View) -> dict[str, object]:
    pid = view.call.args.get("pid")
    whom = view.joined.who(pid) if isinstance(pid, int) else "a process"
    return {"signal": view.call.args.get("signal"), "whom": whom}


def _kills_itself(view: View) -> bool:
    process = view.joined.processes.get(view.call.pid)
    signal = process.signal if process else None
    return view.call.args.get("pid") == view.call.pid and view.call.args.get("signal") == signal


def _killed_with_sockets(view: View) -> Because | None:
    because = _with_sockets(view)
    return because and Because({**because.facts, **_whom(view)})


def _killed(view: View) -> Because | None:
    if view.sent or (view.call.returned_ns is None and not _kills_itself(view)):
        return None
    return Because(_whom(view))


def _put_over(view: View) -> Because | None:
    """dup2() of one descriptor over the last of another socket."""
    because = _with_sockets(view)
    new = view.call.args.get("new_fd", view.call.result)
    return because and Because({**because.facts, "new": new})


def _made_name(view: View) -> Because | None:
    return Because({"new": view.call.result})


ENDING_RULES: tuple[Rule, ...] = (
    Rule(
        "dup-closes", names("dup2", "dup3"), outcomes(),
        "Descriptor {new} was the last of {sockets}, which {name} closed to put another in its "
        "place: {told}.", "dup(2)", _put_over),
    Rule(
        "dup", names("dup", "dup2", "dup3"), outcomes(),
        "Descriptor {new} names the same socket now; the FIN waits for the last of them to be "
        "closed. Nothing was sent.", "dup(2)", _made_name, plain=True),
    Rule(
        "kill-ends-sockets", names("kill"), outcomes("ok", "never"),
        "{signal} ended {whom}, and its kernel closed what it had open. It held the last "
        "descriptor of {sockets}: {told}.", "kill(2); UNP 5.12", _killed_with_sockets),
    Rule(
        "kill", names("kill"), outcomes("ok", "never"),
        "{signal} was sent to {whom}. No socket lost its last descriptor by it: nothing went out.",
        "kill(2); signal(7)", _killed, plain=True),
    Rule(
        "ends-sockets", frozenset({*ENDING, "execve", "close_range"}), outcomes("ok", "never"),
        "It took away the last descriptor of {sockets}: {told}.",
        "exit(3); execve(2); UNP 5.11", _with_sockets),
    Rule(
        "ends-process", frozenset({*ENDING, "execve", "close_range"}), outcomes("ok", "never"),
        "No socket lost its last descriptor by it: nothing was sent.",
        "exit(3); execve(2)", no_sockets, plain=True),
)  # fmt: skip
