"""What a play says that the kernel was asked: about a socket beside a call, and its counters.

Behind a call's line stands what was answered about its socket, just before the call or just after
it: ``asked before state=ESTABLISHED unread=10 after state=CLOSED``. Of a call that ends several
sockets (exit), ``fd4`` names the one that the words behind it speak of. ``counter
TcpExt.ListenOverflows 2`` is a counter and what it rose by; ``inexact`` behind it says that others
were counted too, ``on HOST`` whose it is.
"""

from __future__ import annotations

import re

from observatory.model import Counter
from observatory.model.calls import Argument

COUNTER = re.compile(
    r"counter (?P<name>\w+\.\w+) (?P<change>\d+)(?P<others> inexact)?(?: on (?P<host>\w+))?"
)
_MOMENTS = ("before", "after")


def asked(text: str) -> dict[str, Argument]:
    """``Call.asked`` as ``before unread=10 after …`` writes it. Raises ValueError."""
    moments: dict[str, dict[str, Argument]] = {}
    place: dict[str, Argument] | None = None
    moment: dict[str, Argument] = {}
    for word in text.split():
        name, separator, value = word.partition("=")
        if word in _MOMENTS:
            moment = place = moments.setdefault(word, {})
        elif re.fullmatch(r"fd\d+", word) and place is not None:
            place = {}
            sockets = moment.setdefault("sockets", {})
            assert isinstance(sockets, dict)
            sockets[word[2:]] = place
        elif separator and place is not None:
            place[name] = int(value) if value.isdigit() else value
        else:
            raise ValueError(f"{word!r}: what is asked is 'before' or 'after', then name=value")
    return dict(moments)


def counter(found: re.Match[str]) -> Counter:
    """A counter's line."""
    return Counter(
        found["name"], 0, int(found["change"]), found["host"] or "", exact=not found["others"]
    )
