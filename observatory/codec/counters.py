"""The kernel's counters as /proc/PID/net prints them: netstat, snmp, snmp6, sockstat, sockstat6.

Names are the table's and the counter's, as in ``TcpExt.ListenOverflows``, ``Tcp.OutRsts``,
``Icmp.InDestUnreachs``, ``Ip6.InReceives`` and ``sockstat.TCP.tw`` (proc_pid_net(5); what is
counted: Documentation/networking/snmp_counter.rst).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from observatory.model import Counter

# What stands among the counters of snmp and is none: what the kernel is set to.
_SETTINGS = frozenset({"Ip.Forwarding", "Ip.DefaultTTL"})
_SETTINGS |= {f"Tcp.{name}" for name in ("RtoAlgorithm", "RtoMin", "RtoMax", "MaxConn")}

# Of sockstat's numbers those of the network namespace's own TCP and UDP sockets; the others are the
# whole machine's, or count the sockets of whoever observes
# (sockstat_seq_show in net/ipv4/proc.c).
_OWN = frozenset({"inuse", "tw"})

_SIX = re.compile(r"(Ip6|Icmp6|Udp6|UdpLite6)(\w+)")


def parse(table: str, text: str) -> dict[str, int]:
    """Every counter of a table (``netstat``, ``snmp`` …), by name; lines of another form are
    stepped over. Raises KeyError for a table that is not among ``TABLES``."""
    return dict(_TABLES[table](text))


def changes(
    before: Mapping[str, int], after: Mapping[str, int], *, host: str = "", exact: bool = True
) -> tuple[Counter, ...]:
    """The counters that differ, in the order of the tables; one that was not there before was 0
    (the kernel prints some, as ``IcmpMsg.OutType3``, only once they are not)."""
    return tuple(
        Counter(name, before.get(name, 0), now, host, exact)
        for name, now in after.items()
        if now != before.get(name, 0)
    )


def _in_pairs(text: str) -> Iterator[tuple[str, int]]:
    """netstat and snmp: ``Tcp: ActiveOpens …`` above ``Tcp: 17 …``."""
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        group, _, columns = names.partition(": ")
        same, _, numbers = values.partition(": ")
        if group != same:
            continue
        for column, number in zip(columns.split(), numbers.split(), strict=False):
            if f"{group}.{column}" not in _SETTINGS:
                yield f"{group}.{column}", int(number)


def _by_line(text: str) -> Iterator[tuple[str, int]]:
    """snmp6: ``Ip6InReceives 17``, one a line."""
    for line in text.splitlines():
        name, _, number = line.partition("\t")
        known = _SIX.fullmatch(name.strip())
        if known and number.strip().isdigit():
            yield f"{known[1]}.{known[2]}", int(number)


def _gauges(table: str) -> Callable[[str], Iterator[tuple[str, int]]]:
    """sockstat: ``TCP: inuse 3 orphan 0 tw 1 …``: how many sockets there are now."""

    def read(text: str) -> Iterator[tuple[str, int]]:
        for line in text.splitlines():
            group, _, words = line.partition(": ")
            pairs = words.split()
            for word, number in zip(pairs[::2], pairs[1::2], strict=False):
                if word in _OWN:
                    yield f"{table}.{group}.{word}", int(number)

    return read


_TABLES: Mapping[str, Callable[[str], Iterator[tuple[str, int]]]] = {
    "netstat": _in_pairs,
    "snmp": _in_pairs,
    "snmp6": _by_line,
    "sockstat": _gauges("sockstat"),
    "sockstat6": _gauges("sockstat6"),
}

TABLES = tuple(_TABLES)
"""The tables that are read, in the order of what is told."""
