"""What the kernel itself said: its states beside ours, the events that conclusions rest on, and
loudly where it contradicts us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from observatory.model import (
    Analysis,
    Confidence,
    Difference,
    KernelEvent,
    PlacedEvent,
    Testimony,
    Verdict,
)
from observatory.reports.labels import calls_text, process_names, segments_text
from observatory.reports.style import Look

MOST_PATHS = 25
MOST_EVENTS = 40
MOST_SAID = 3


def testimony_text(told: Iterable[Testimony | None]) -> str:
    """``kernel: RST sent, reason NO_SOCKET`` of what the kernel said of one or more calls that have
    one explanation; empty where it was silent."""
    heard = [one for one in told if one is not None and one.said]
    if not heard:
        return ""
    contradicted = any(one.verdict is Verdict.CONTRADICTED for one in heard)
    said = "; ".join(dict.fromkeys(one.said for one in heard[:MOST_SAID]))
    more = f"; and of {len(heard) - MOST_SAID:,} more" if len(heard) > MOST_SAID else ""
    return f"{'!! the kernel contradicts' if contradicted else 'kernel'}: {said}{more}"


def kernel_section(analysis: Analysis, look: Look, full: bool = False) -> list[str]:
    """The lines of the section; empty where the kernel was not asked and nobody need be told."""
    told = [
        *_differences(analysis, look),
        *_states(analysis, look, full),
        *_events(analysis, look, full),
        *_witness(analysis, look),
    ]
    return [look.title("Kernel"), *told] if told else []


def _differences(analysis: Analysis, look: Look) -> Iterator[str]:
    for difference in analysis.differences:
        for line in look.paragraph(f"!! {_difference(difference)}", "  ", "     "):
            yield look.paint(line, "alarm")


def _difference(difference: Difference) -> str:
    ids = " ".join(
        part
        for part in (
            segments_text(difference.segments[:6]),
            calls_text(difference.calls[:6]),
            _events_text(difference.kernel[:6]),
        )
        if part
    )
    return (
        f"THE KERNEL CONTRADICTS: {difference.subject}. We say: {difference.ours}. "
        f"The kernel says: {difference.kernels}. Evidence: {ids}"
    )


def _events_text(ids: tuple[int, ...]) -> str:
    return " ".join(f"k{number}" for number in ids)


def _states(analysis: Analysis, look: Look, full: bool) -> Iterator[str]:
    """The kernel's own path of each end, where it is not word for word ours."""
    others = [
        (f"conn {one.id}", end, kernels)
        for one in analysis.connections
        for end, ours, kernels in (
            ("client", one.client_states, one.client_kernel),
            ("server", one.server_states, one.server_kernel),
        )
        if kernels and kernels != ours
    ]
    told = sum(bool(p) for c in analysis.connections for p in (c.client_kernel, c.server_kernel))
    if told:
        same = told - len(others)
        yield from look.paragraph(
            f"states as the kernel told them: {same:,} of {told:,} paths are ours word for word"
            + (", in other words:" if others else ""),
            "  ",
        )
    for name, end, kernels in others if full else others[:MOST_PATHS]:
        head = f"{name}  {end}  "
        yield from look.paragraph(head + " → ".join(kernels), "    ", "    " + " " * len(head))
    if not full and len(others) > MOST_PATHS:
        yield from look.paragraph(
            f"… {len(others) - MOST_PATHS:,} more · --full shows them all …", "    "
        )
    for name in dict.fromkeys(n for one in analysis.connections for n in one.peculiarities):
        for line in look.paragraph(f"· {name}", "    ", "      "):
            yield look.paint(line, "dim")


def _events(analysis: Analysis, look: Look, full: bool) -> Iterator[str]:
    """The events that an explanation of the Why section, or a difference, rests on."""
    cited = {
        number
        for call in analysis.calls
        if not call.explanation.plain or call.explanation.confidence is not Confidence.CERTAIN
        for number in call.explanation.evidence.kernel
    }
    cited.update(number for one in analysis.differences for number in one.kernel)
    events = [event for event in analysis.trace.kernel if event.id in cited]
    placed = {one.event: one for one in analysis.kernel}
    running = running_calls(analysis)
    for event in events if full else events[:MOST_EVENTS]:
        one = placed.get(event.id, PlacedEvent(event.id))
        yield from look.paragraph(event_text(event, one, running), "  ", "     ")
    if not full and len(events) > MOST_EVENTS:
        more = f"… {len(events) - MOST_EVENTS:,} more events · --full shows them all …"
        yield from look.paragraph(more, "  ")


def running_calls(analysis: Analysis) -> Mapping[int, str]:
    """Call id to ``client[12]'s connect() c2``."""
    names = process_names(analysis)
    return {
        one.call.id: f"{names[one.call.pid]}'s {one.call.name}() c{one.call.id}"
        for one in analysis.calls
    }


def event_text(event: KernelEvent, placed: PlacedEvent, running: Mapping[int, str]) -> str:
    """``k3 RST sent, reason NO_SOCKET · #2 · 127.0.0.1:9 → 127.0.0.1:40000 · while client[12]'s
    connect() c2 was running``. Never by whom: on loopback a packet's arrival is the work of the
    thread that sent it."""
    where = f"{event.src} → {event.dst}" if event.dst is not None else str(event.src or "")
    call = running.get(placed.during) if placed.during is not None else None
    parts = (
        f"k{event.id} {placed.said or event.event}",
        f"#{placed.segment}" if placed.segment is not None else "",
        where,
        f"while {call} was running" if call else "",
    )
    return " · ".join(part for part in parts if part)


def _witness(analysis: Analysis, look: Look) -> Iterator[str]:
    """What was watched, and what was not, in a line."""
    trace = analysis.trace
    if trace.witness is None:
        if trace.unwatched:
            yield from look.paragraph(trace.unwatched, "  ")
        return
    witness = trace.witness
    parts = [f"{len(trace.kernel):,} events of {len(witness.watched)} tracepoints"]
    parts.append(f"{witness.foreign:,} of others left out" if witness.foreign else "")
    style = "dim"
    if witness.missing:
        parts.append(f"this kernel has not: {'; '.join(witness.missing)}")
    if witness.lost:
        style = "alarm"
        parts.append(f"!! {witness.lost:,} EVENTS LOST: that one is not there says nothing")
    for line in look.flow((part for part in parts if part), "  "):
        yield look.paint(line, style)
