"""``observatory run``: one behaviour here, several side by side."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from observatory.cli import formats
from observatory.cli.selecting import all_behaviours, of_section
from observatory.cli.terminal import Display, Progress, display, say, write_text
from observatory.errors import UsageError

if TYPE_CHECKING:
    from observatory.lab.behaviour import Behaviour

SIDE_BY_SIDE = 4
"""Runs at once. Most of a behaviour's time is waiting, so more than there are processors."""
DEFAULT_FOLDER = "captures"
SUFFIX = ".pcapng"
LOOPBACK = "lo"


@dataclass(frozen=True, slots=True)
class Order:
    """One run as it was asked for."""

    name: str
    path: Path
    host: bool
    interface: str
    format: str | None
    display: Display
    kernel: bool = True


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run left: the file, and its rendering (empty if none was asked for)."""

    path: Path
    rendering: str


def run(parsed: argparse.Namespace) -> int:
    """The exit status is 0, or that of the first run that failed."""
    from observatory import messages

    messages.load(parsed.lang)  # an unknown one is told before anything runs
    behaviours = chosen(parsed)
    paths = destinations(parsed.output, [behaviour.name for behaviour in behaviours])
    refuse_network(behaviours, parsed.host, parsed.interface)
    form = "json" if parsed.json else None if parsed.quiet else "text"
    shown = display(sys.stdout, parsed.full, parsed.show_kernel, parsed.lang)
    orders = [
        Order(
            *(behaviour.name, path, parsed.host, parsed.interface, form, shown),
            kernel=not parsed.no_kernel,
        )
        for behaviour, path in zip(behaviours, paths, strict=True)
    ]
    if len(orders) == 1:
        show(carry_out(orders[0]), parsed.quiet)
        return 0
    return run_several(orders, parsed.quiet)


def chosen(parsed: argparse.Namespace) -> list[Behaviour]:
    """The behaviours named, each once, or of the section, or all. Raises UsageError."""
    from observatory.scenarios.catalogue import find

    ways = [bool(parsed.names), parsed.section is not None, parsed.all]
    if sum(ways) != 1:
        raise UsageError("say which: `run NAME…`, `run --section S` or `run --all`")
    if parsed.names:
        named = [find(name) for name in dict.fromkeys(parsed.names)]
        lasting = [one.name for one in named if one.takes_minutes and not parsed.slow]
        if lasting:
            raise UsageError(f"{', '.join(lasting)} takes minutes: add --slow")
        return named
    found = of_section(parsed.section) if parsed.section is not None else all_behaviours()
    return [one for one in found if parsed.slow or not one.takes_minutes]


def destinations(output: str | None, names: list[str]) -> list[Path]:
    """Where each run is to be written: ``output`` is a folder, or names one file.

    Raises UsageError when several are to go to one file.
    """
    where = Path(DEFAULT_FOLDER if output is None else output)
    if where.suffix != SUFFIX or where.is_dir() or str(output).endswith("/"):
        return [where / f"{name}{SUFFIX}" for name in names]
    if len(names) > 1:
        raise UsageError(f"{len(names)} behaviours need a folder: -o {where.with_suffix('')}/")
    return [where]


def refuse_network(behaviours: list[Behaviour], host: bool, interface: str) -> None:
    """Raises UsageError with the reason for each that needs a network of its own, and for an
    interface that a private network has not."""
    if not host and interface != LOOPBACK:
        raise UsageError(f"a private network has {LOOPBACK} alone: -i {interface} needs --host")
    refusing = [one for one in behaviours if host and one.host_refusal]
    if refusing:
        reasons = "; ".join(f"{one.name}: {one.host_refusal}" for one in refusing)
        raise UsageError(f"not with --host, which would change this machine: {reasons}")


def carry_out(order: Order) -> Ran:
    """Observe, write the file, render."""
    from observatory.pipeline import observe

    observed = observe(
        order.name,
        path=order.path,
        host=order.host,
        interface=order.interface,
        kernel=order.kernel,
    )
    form, look = order.format, order.display
    rendering = formats.rendered(observed.analysis, form, look) if form else ""
    assert observed.path is not None
    return Ran(observed.path, rendering)


def show(ran: Ran, quiet: bool) -> None:
    """The rendering on stdout and the file's name on stderr; if quiet, only the name, on stdout."""
    if ran.rendering:
        write_text(ran.rendering)
        if not quiet:
            say(f"wrote {ran.path}")
    elif quiet:
        write_text(f"{ran.path}\n")


def run_several(orders: list[Order], quiet: bool) -> int:
    """Shown in the order asked for, whichever is done first."""
    from observatory.cli.several import runs_side_by_side

    progress = Progress(len(orders), enabled=not quiet)
    turn = {order.name: position for position, order in enumerate(orders)}
    done: dict[int, Ran | None] = {}
    shown, status, failed = 0, 0, 0
    progress.begin()
    kernel = any(order.kernel for order in orders)
    for outcome in runs_side_by_side(carry_out, orders, SIDE_BY_SIDE, kernel):
        progress.clear()
        done[turn[outcome.item.name]] = outcome.result
        if outcome.result is None:
            failed += 1
            status = status or outcome.status
            say(f"observatory: {outcome.item.name}: {outcome.message}")
        while shown in done:
            ran = done.pop(shown)
            if ran is not None:
                show(ran, quiet)
                if ran.rendering and shown + 1 < len(orders) and not ran.rendering.startswith("{"):
                    write_text("\n")
            shown += 1
        progress.done(outcome.item.name)
    progress.clear()
    if failed:
        say(f"observatory: {failed} of {len(orders)} behaviours did not run")
    return status
