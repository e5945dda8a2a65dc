"""Which descriptor an epoll event means: what epoll_ctl gave for its data."""

from __future__ import annotations

from dataclasses import dataclass, field

from observatory.codec.strace.draft import Draft
from observatory.codec.strace.raw import Raw
from observatory.model.calls import Argument


@dataclass(slots=True)
class Watched:
    """By process and epoll descriptor: data to the watched descriptor. ``begun`` are the
    processes whose descriptors have all been opened in the log."""

    sets: dict[tuple[int, object], dict[object, int]] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)

    def admits(self, draft: Draft, raw: Raw, pid: int) -> bool:
        """False for waiting on a set that watches no socket, where that is known: its process
        has been seen from its beginning."""
        if draft.name != "epoll_wait" or pid not in self.begun:
            return True
        return bool(self._known(raw, draft))

    def follow(self, draft: Draft, raw: Raw, pid: int) -> None:
        """Remember what epoll_ctl asked; put descriptors in the place of epoll_wait's data.

        A set that was inherited across fork is the one of the process that made it; an event
        whose data nobody gave stays out, and ``ready_data`` has it.
        """
        if draft.name == "execve":
            self.begun.add(pid)
        elif draft.name == "fork" and raw.outcome is not None and raw.outcome.value:
            self._begin_child(pid, raw.outcome.value)
        elif draft.name == "epoll_ctl" and draft.fd is not None:
            known = self.sets.setdefault((pid, draft.args["epoll"]), {})
            known[draft.args.get("data")] = draft.fd
        elif draft.name == "epoll_wait":
            self._name(draft, self._known(raw, draft))

    def _begin_child(self, pid: int, child: int) -> None:
        if pid in self.begun:
            self.begun.add(child)

    def _known(self, raw: Raw, draft: Draft) -> dict[object, int]:
        process = raw.task.process()
        seen = set()
        while process not in seen:
            seen.add(process)
            found = self.sets.get((process.tid, draft.args["epoll"]))
            if found is not None or process.parent is None:
                return found or {}
            process = process.parent.process()
        return {}

    def _name(self, draft: Draft, known: dict[object, int]) -> None:
        events = draft.args["ready"]
        pairs: list[Argument] = []
        strange: list[Argument] = []
        for event in events if isinstance(events, tuple) else ():
            data, what = event if isinstance(event, tuple) else (None, None)
            if data in known:
                pairs.append((known[data], what))
            else:
                strange.append((data, what))
        draft.args["ready"] = tuple(pairs)
        if strange:
            draft.args["ready_data"] = tuple(strange)
