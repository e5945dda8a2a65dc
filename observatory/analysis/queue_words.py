"""A full accept queue in words, and how sure it is: what rules of several calls say of it."""

from __future__ import annotations

from observatory.analysis.accept_queue import FullQueue, full_for, host_of
from observatory.analysis.view import Because, View, counted
from observatory.analysis.wire import Conversation, Sighting


def why_dropped(view: View, conversation: Conversation, syn: Sighting) -> Because | None:
    """That a SYN found the queue full, as a sentence ``why``; None if it is not known to have."""
    full = full_for(view.joined, conversation, syn)
    if full is None:
        return None
    why = (
        " The accept queue was full (backlog {backlog} of listen() {listen} takes {holds}, and "
        "{waiting}): the SYN was dropped in silence."
    )
    told = why.format_map(facts(full)) + kernels(full, conversation, view)
    return Because({"why": told}, calls(full), likely=not sure(full, conversation, view))


def facts(full: FullQueue) -> dict[str, object]:
    """``listen``, ``backlog``, ``holds`` (connections) and ``waiting`` (how many are in it)."""
    number = len(full.waiting) if full.told is None or full.denied else full.told.length
    return {
        "listen": f"c{full.listen.id}",
        "backlog": full.backlog,
        "holds": counted(full.holds, "connection"),
        "waiting": f"{number} {'is' if number == 1 else 'are'} in it",
    }


def calls(full: FullQueue) -> tuple[int, ...]:
    """The calls that are evidence."""
    return (full.listen.id, *([full.told.call.id] if full.told else []))


def sure(full: FullQueue, conversation: Conversation, view: View) -> bool:
    """Whether nothing speaks against it, and something more than a possibility for it: where it
    is only possible, that the kernel counted just those SYNs that are taken to be dropped so."""
    overflow = view.joined.overflows.get(host_of(view.joined, conversation))
    if full.denied or (overflow and overflow.counted < overflow.found):
        return False
    return full.sure or (overflow is not None and overflow.exactly)


def kernels(full: FullQueue, conversation: Conversation, view: View) -> str:
    """What the kernel itself said of the queue, in sentences."""
    told, overflow = full.told, view.joined.overflows.get(host_of(view.joined, conversation))
    said = ""
    if told is not None:
        begin = " But asked" if full.denied else " Asked"
        said = (
            f"{begin} at {told.call.name}() c{told.call.id}, the kernel said: {told.length} in it, "
            f"and more than {told.limit} is full."
        )
    if overflow is None:
        return said
    number = overflow.counted
    if number == overflow.found:
        as_many = f"{counted(number, 'SYN')} is" if number == 1 else "as many SYNs are"
        return f"{said} ListenOverflows rose by {number}: {as_many} seen to have found it full."
    if number > overflow.found:
        return f"{said} ListenOverflows rose by {number} in the whole run."
    dropped = counted(overflow.found, "SYN")
    return f"{said} But ListenOverflows rose by {number}, and {dropped} would have found it full."
