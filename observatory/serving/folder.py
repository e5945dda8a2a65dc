"""What is in the folder: each run file with what it shows, read again only when it has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from observatory.errors import ObservatoryError
from observatory.model import Analysis

SUFFIXES = (".pcapng", ".pcap", ".pcapng.gz", ".pcap.gz")
LARGEST = 64 << 20
"""Bytes: what is larger is listed, and analyzed only when it is opened."""

Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of the list. ``date_ns`` is when the run began, else when the file was written;
    ``problem`` says why there is no more of it."""

    file: str
    size: int
    date_ns: int
    scenario: str = ""
    command: str = ""
    outcome: str = ""
    coverage: str = ""
    explained: bool = True
    problem: str = ""


class Folder:
    """The run files of one folder, and what is known of them."""

    def __init__(self, path: Path, read: Callable[[Path], Analysis]) -> None:
        self.path = path
        self._read = read
        self._known: dict[str, tuple[Stamp, Summary]] = {}

    def stamps(self) -> dict[str, Stamp]:
        """Every run file's name, with what changes when it does."""
        found = {}
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIXES) and not entry.name.startswith("."):
                    try:
                        status = entry.stat()
                    except OSError:  # gone meanwhile
                        continue
                    found[entry.name] = (status.st_mtime_ns, status.st_size)
        return found

    def file(self, name: str) -> Path | None:
        """The path of a listed file; None for any other name, whatever it may contain."""
        return self.path / name if name in self.stamps() else None

    def summaries(self) -> list[dict[str, object]]:
        """All rows, the newest first."""
        stamps = self.stamps()
        for name in self._known.keys() - stamps.keys():
            del self._known[name]
        for name, stamp in stamps.items():
            if name not in self._known or self._known[name][0] != stamp:
                self._known[name] = stamp, self._summary(name, stamp)
        rows = [summary for _, summary in self._known.values()]
        return [asdict(row) for row in sorted(rows, key=lambda row: (-row.date_ns, row.file))]

    def _summary(self, name: str, stamp: Stamp) -> Summary:
        modified_ns, size = stamp
        if size > LARGEST:
            return Summary(name, size, modified_ns, problem="large: open it to analyze it")
        try:
            return summarized(name, size, modified_ns, self._read(self.path / name))
        except ObservatoryError as error:
            return Summary(name, size, modified_ns, problem=str(error))


def summarized(name: str, size: int, modified_ns: int, analysis: Analysis) -> Summary:
    """The row of an analyzed file."""
    run, coverage = analysis.trace.run, analysis.coverage
    errnos = dict.fromkeys(one.call.errno for one in analysis.calls if one.call.errno)
    whole = (
        coverage.calls == coverage.calls_explained
        and coverage.segments == coverage.segments_attributed
    )
    return Summary(
        file=name,
        size=size,
        date_ns=run.started_ns or modified_ns,
        scenario=run.scenario or "",
        command=run.command or "",
        outcome=", ".join(errnos) or ("ok" if analysis.calls else ""),
        coverage=f"{coverage.calls_explained}/{coverage.calls} calls, "
        f"{coverage.segments_attributed}/{coverage.segments} segments"
        + (f", {coverage.dropped} lost" if coverage.dropped else ""),
        explained=whole and not coverage.dropped,
    )
