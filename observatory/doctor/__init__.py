"""What this machine has of what the observatory uses, and the command that mends what it lacks.

Every check is a function from a ``System`` (where it looks) to findings, so that tests can show
it a machine that has nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict

from observatory.doctor.checks import (
    check_host_capture,
    check_kernel,
    check_namespace,
    check_packages,
    check_programs,
    check_settings,
    check_strace,
    check_tracepoints,
)
from observatory.doctor.lab import check_lab
from observatory.doctor.system import Finding, Status, System
from observatory.sources.tracefs_instances import mend as remove_leftovers

__all__ = ["Finding", "Status", "System", "can_run", "document", "examine", "mend", "render"]

CHECKS: tuple[Callable[[System], Iterator[Finding]], ...] = (
    check_kernel,
    check_namespace,
    check_lab,
    check_host_capture,
    check_packages,
    check_programs,
    check_strace,
    check_tracepoints,
    check_settings,
)


def examine(system: System | None = None) -> tuple[Finding, ...]:
    """Every finding, in the order in which they are to be read."""
    system = system or System()
    return tuple(finding for check in CHECKS for finding in check(system))


def mend() -> tuple[str, ...]:
    """Put right what killed runs have left behind; what was done, as sentences."""
    try:
        removed = remove_leftovers()
    except OSError as error:
        return (f"the kernel's tracepoints cannot be had ({error.strerror}): run it with sudo",)
    if not removed:
        return ("nothing was left behind by runs that were killed",)
    return tuple(f"removed the tracefs instance {name}" for name in removed)


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether a behaviour can be run at all."""
    return not any(finding.needed and finding.status is Status.MISSING for finding in findings)


def document(findings: Sequence[Finding]) -> dict[str, object]:
    """The findings as ``doctor --json`` prints them."""
    return {"can_run": can_run(findings), "findings": [asdict(finding) for finding in findings]}


MARKS: Mapping[Status, str] = {Status.OK: "ok", Status.MISSING: "MISSING", Status.NOTE: "note"}


def render(findings: Sequence[Finding]) -> str:
    """The findings as lines of text, each followed by what mends it."""
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.status]:8} {finding.name}: {finding.detail}")
        if finding.mend and finding.status is not Status.OK:
            lines.append(f"{'':8}   {finding.mend}")
    verdict = (
        "Behaviours can be run here."
        if can_run(findings)
        else "No behaviour can be run here until the above is mended."
    )
    return "\n".join([*lines, "", verdict]) + "\n"
