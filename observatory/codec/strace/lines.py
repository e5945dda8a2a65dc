"""One line of a strace log: whose it is, when it was printed, and what kind of line it is.

Forms with and without a process id (``123 …``, ``[pid 123] …``, with ``-Y`` ``123<nginx> …``),
with every kind of stamp (``-t -tt -ttt -r`` and ``--absolute-timestamps``) or none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

_PREFIX = re.compile(
    r"\s*(?:\[pid\s+(?P<bracketed>\d+)(?:<(?P<name1>[^<>]*)>)?\]\s+"
    r"|(?P<pid>\d{1,8})(?:<(?P<name2>[^<>]*)>)?\s+(?!\())?"
    r"(?:(?:(?P<seconds>\d+)(?P<fraction>\.\d{1,9})"
    r"|(?P<whole>\d{9,12})"
    r"|(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?P<part>\.\d{1,9})?)\s+)?"
    r"(?:\(\+\s+\d+\.\d+\)\s+)?"
)
_RESUMED = re.compile(r"<\.\.\.\s(?P<name>\w+)\sresumed>\s?")
_CALL = re.compile(r"(?P<name>[A-Za-z_?]\w*)(?:@\w+)?\(")
_ENDED = re.compile(
    r"\+\+\+ (?:exited with (?P<status>\d+)|killed by (?P<signal>\w+)(?: \(core dumped\))?"
    r"|superseded by execve in pid (?P<by>\d+)) \+\+\+"
)
_FRAME = re.compile(r"\s+> (?P<frame>.*)")
_RESUMING = re.compile(r"restart_syscall\(<\.\.\. resuming interrupted (?P<name>\w+) \.\.\.>")
_INTERRUPTED = re.compile(r"(?P<head>.*\S.*?)strace: Process (?P<pid>\d+) attached")
_ATTACHED = re.compile(r"strace: Process (?P<pid>\d+) attached")

UNFINISHED = "<unfinished ...>"
DETACHED = "<detached ...>"

# -r counts from the line before; any real time since 1970 is larger.
_SMALLEST_UNIX = 10**8


class Kind(Enum):
    """What a line is."""

    CALL = auto()
    RESUMED = auto()
    RESTARTED = auto()
    SIGNAL = auto()
    EXITED = auto()
    KILLED = auto()
    SUPERSEDED = auto()
    FRAME = auto()
    NOTICE = auto()
    EMPTY = auto()
    UNREAD = auto()


class Clock(Enum):
    """What a log's stamps count from."""

    UNIX = "unix"
    TIME_OF_DAY = "time of day"
    RELATIVE = "relative"
    NONE = "none"


@dataclass(slots=True)
class Line:
    """A line told apart.

    ``tid`` is None where the log has none. ``stamp_ns`` counts from what ``clock`` says, exact to
    ``resolution_ns``. ``name`` is the call's or, of a death, the signal's; ``number`` a status or
    the pid of an execve; ``text`` what follows: a call's arguments and result.
    """

    kind: Kind
    tid: int | None
    clock: Clock
    stamp_ns: int
    resolution_ns: int
    name: str = ""
    text: str = ""
    number: int = 0
    comm: str = ""


def read_line(text: str) -> Line:
    """Tell a line apart. Never raises: what is nothing known is ``Kind.UNREAD``."""
    frame = _FRAME.fullmatch(text)
    if frame is not None:
        return Line(Kind.FRAME, None, Clock.NONE, 0, 1, text=frame["frame"])
    prefix = _PREFIX.match(text)
    if prefix is None or not text.strip():
        return Line(Kind.EMPTY, None, Clock.NONE, 0, 1)
    pid = prefix["bracketed"] or prefix["pid"]
    comm = prefix["name1"] or prefix["name2"] or ""
    clock, stamp_ns, resolution_ns = _stamp(prefix)
    line = Line(Kind.UNREAD, int(pid) if pid else None, clock, stamp_ns, resolution_ns, comm=comm)
    _tell(line, text[prefix.end() :])
    return line


def interrupted_by_notice(text: str) -> tuple[str, int] | None:
    """A line that goes to the same terminal as strace's own messages can be broken by one: its
    beginning, and the thread that the message announces. The next line is its rest."""
    if not text.endswith("attached"):
        return None
    found = _INTERRUPTED.fullmatch(text)
    return (found["head"], int(found["pid"])) if found and "(" in found["head"] else None


def _tell(line: Line, body: str) -> None:
    found = _CALL.match(body)
    if found is not None:
        resuming = _RESUMING.match(body) if found["name"] == "restart_syscall" else None
        line.kind = Kind.RESTARTED if resuming else Kind.CALL
        line.name = (resuming or found)["name"]
        line.text = body[(resuming or found).end() :]
    elif (found := _RESUMED.match(body)) is not None:
        line.kind, line.name, line.text = Kind.RESUMED, found["name"], body[found.end() :]
    elif (found := _ENDED.match(body)) is not None:
        line.kind = Kind.SUPERSEDED if found["by"] else Kind.KILLED
        if found["status"]:
            line.kind = Kind.EXITED
        line.name = found["signal"] or ""
        line.number = int(found["status"] or found["by"] or 0)
    elif body.startswith("--- ") and body.rstrip().endswith("---"):
        line.kind, line.text = Kind.SIGNAL, body
    elif (found := _ATTACHED.match(body)) is not None:
        line.kind, line.number = Kind.NOTICE, int(found["pid"])
    elif body.startswith(("strace: ", "[ Process PID=")):
        line.kind = Kind.NOTICE


def _stamp(prefix: re.Match[str]) -> tuple[Clock, int, int]:
    if prefix["seconds"]:
        whole = int(prefix["seconds"])
        clock = Clock.UNIX if whole >= _SMALLEST_UNIX else Clock.RELATIVE
        return clock, *_exact(whole, prefix["fraction"])
    if prefix["whole"]:
        return Clock.UNIX, *_exact(int(prefix["whole"]), None)
    if prefix["hour"]:
        minutes = int(prefix["hour"]) * 60 + int(prefix["minute"])
        return Clock.TIME_OF_DAY, *_exact(minutes * 60 + int(prefix["second"]), prefix["part"])
    return Clock.NONE, 0, 1


def _exact(seconds: int, fraction: str | None) -> tuple[int, int]:
    """Nanoseconds, and how many of them the last digit counts."""
    digits = (fraction or ".")[1:]
    return seconds * 10**9 + int(digits.ljust(9, "0")), 10 ** (9 - len(digits))
