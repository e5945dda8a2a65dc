"""The firewall that drops and rejects: faults as nftables rules, and the ``nft`` that takes them.

A fault is one table with three chains, so that it is put in force and taken away whole::

    base      hooked into forward, input or output: one rule for each way of writing the match
      └─▶ chosen   which of the matching packets (the first n, every n-th); counts them
            └─▶ act     drop, or reject as the packet's family has it

``numgen inc`` counts the packets that come to its own rule, one by one from 0, also where two
processors are in it at once (net/netfilter/nft_numgen.c): "the first n" is exact.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from ipaddress import ip_address
from typing import Any

from observatory.errors import MissingTool
from observatory.lab import kernel
from observatory.lab.faults import Filter, Hook, Reject, Rejection, Share
from observatory.lab.match import Addresses, Match
from observatory.model import Protocol

Json = dict[str, Any]

FAMILY = "inet"
HITS = "hits"
_MOST = 2**31 - 1  # numgen's modulus: after so many packets it would begin again
_FLAG_BITS = dict(zip("FSRPAUEC", (1 << bit for bit in range(8)), strict=True))
_IP_HEADER = 20
_PATIENCE_S = 20.0

# As nft names them for IPv4 and IPv6; None where the protocol has no such message.
_REJECTIONS: Mapping[Rejection, tuple[str | None, str | None]] = {
    Rejection.NET_UNREACHABLE: ("net-unreachable", "no-route"),
    Rejection.HOST_UNREACHABLE: ("host-unreachable", "addr-unreachable"),
    Rejection.PROTOCOL_UNREACHABLE: ("prot-unreachable", None),
    Rejection.PORT_UNREACHABLE: ("port-unreachable", "port-unreachable"),
    Rejection.NET_PROHIBITED: ("net-prohibited", None),
    Rejection.HOST_PROHIBITED: ("host-prohibited", None),
    Rejection.ADMIN_PROHIBITED: ("admin-prohibited", "admin-prohibited"),
    Rejection.POLICY_FAIL: (None, "policy-fail"),
    Rejection.REJECT_ROUTE: (None, "reject-route"),
}
_PROTOCOLS = {
    Protocol.TCP: "tcp",
    Protocol.UDP: "udp",
    Protocol.ICMP: "icmp",
    Protocol.ICMPV6: "ipv6-icmp",
}
# What a host must go on hearing for its neighbours to find it (RFC 4861).
_DISCOVERY = [
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
]


def ruleset(fault: Filter, table: str, hook: Hook, addresses: Addresses) -> Json:
    """The commands, for ``nft -j``, that put ``fault`` in force as ``table``.

    ``addresses`` gives those of a host by name.
    """
    chain = partial(_chain, table)
    rule = partial(_rule, table)
    base = {"type": "filter", "hook": str(hook), "prio": 0, "policy": "accept"}
    commands = [
        {"add": {"table": {"family": FAMILY, "name": table}}},
        {"add": {"counter": {"family": FAMILY, "table": table, "name": HITS}}},
        chain("base", **base),
        chain("chosen"),
        chain("act"),
        *([] if hook is Hook.FORWARD else [rule("base", [_discovery(), {"accept": None}])]),
        *(
            rule("base", [*conditions, {"goto": {"target": "chosen"}}])
            for conditions in alternatives(fault.match, addresses)
        ),
        rule("chosen", [*_chosen(fault), {"counter": HITS}, {"goto": {"target": "act"}}]),
        *(rule("act", action) for action in _actions(fault)),
    ]
    return {"nftables": commands}


def silence(table: str) -> Json:
    """The commands after which a host hears no neighbour's question (RFC 4861)."""
    solicited = {"payload": {"protocol": "icmpv6", "field": "type"}}
    base = {"type": "filter", "hook": str(Hook.INPUT), "prio": 0, "policy": "accept"}
    return {
        "nftables": [
            {"add": {"table": {"family": FAMILY, "name": table}}},
            _chain(table, "base", **base),
            _rule(table, "base", [_equal(solicited, "nd-neighbor-solicit"), {"drop": None}]),
        ]
    }


def removal(table: str) -> Json:
    """The commands that take a fault's table away."""
    return {"nftables": [{"delete": {"table": {"family": FAMILY, "name": table}}}]}


def pause(table: str) -> Json:
    """The commands after which no packet is hit any more, and the count stands."""
    chain = {"family": FAMILY, "table": table, "name": "base"}
    return {"nftables": [{"flush": {"chain": chain}}]}


def question(table: str) -> Json:
    """The command that asks for a fault's count, for :func:`hits`."""
    counter = {"family": FAMILY, "table": table, "name": HITS}
    return {"nftables": [{"list": {"counter": counter}}]}


def hits(answer: str) -> int:
    """How many packets a fault has hit, from nft's answer."""
    for item in json.loads(answer)["nftables"]:
        if "counter" in item:
            return int(item["counter"]["packets"])
    raise ValueError(f"nft's answer has no counter: {answer}")


def alternatives(match: Match, addresses: Addresses) -> Iterator[list[Json]]:
    """The conditions of ``match``, once for each way in which it can be met: nft has no "or"
    between different fields, and knows the payload's length only by the headers' lengths."""
    for family in _families(match, addresses):
        ends = [*_end("saddr", match.source, family, addresses)]
        ends += _end("daddr", match.destination, family, addresses)
        for protocol in _protocols(match):
            common = [*_of_family(match, family), *ends, *_of_protocol(protocol), *_flags(match)]
            for port in _ports(match, protocol):
                for length in _payload(match, protocol, family):
                    yield [*common, *port, *length]


def _families(match: Match, addresses: Addresses) -> tuple[str, ...]:
    """``ip`` and ``ip6``, where the ends have addresses of both; "" where it does not matter."""
    named = [host for host in (match.source, match.destination) if host]
    if not named and match.payload is None:
        return ("",)
    return tuple(
        family for family in ("ip", "ip6") if all(_among(addresses(one), family) for one in named)
    )


def _among(found: Any, family: str) -> list[str]:
    version = 4 if family == "ip" else 6
    return sorted(one for one in found if ip_address(one).version == version)


def _of_family(match: Match, family: str) -> Iterator[Json]:
    if family:
        yield _equal({"meta": {"key": "nfproto"}}, "ipv4" if family == "ip" else "ipv6")


def _end(field: str, host: str, family: str, addresses: Addresses) -> Iterator[Json]:
    if host:
        found = _among(addresses(host), family)
        right = found[0] if len(found) == 1 else {"set": found}
        yield _equal({"payload": {"protocol": family, "field": field}}, right)


def _protocols(match: Match) -> tuple[Protocol | None, ...]:
    if match.protocol is None and (match.port is not None or match.payload is not None):
        return (Protocol.TCP, Protocol.UDP)
    return (match.protocol,)


def _of_protocol(protocol: Protocol | None) -> Iterator[Json]:
    if protocol is not None:
        yield _equal({"meta": {"key": "l4proto"}}, _PROTOCOLS[protocol])


def _flags(match: Match) -> Iterator[Json]:
    mask = sum(_FLAG_BITS[letter] for letter in {*match.flags, *match.without})
    if mask:
        flags = {"payload": {"protocol": "tcp", "field": "flags"}}
        yield _equal({"&": [flags, mask]}, sum(_FLAG_BITS[letter] for letter in match.flags))


def _ports(match: Match, protocol: Protocol | None) -> Iterator[list[Json]]:
    if match.port is None or protocol is None:
        yield []
        return
    for field in ("sport", "dport"):
        payload = {"protocol": str(protocol).lower(), "field": field}
        yield [_equal({"payload": payload}, match.port)]


def _payload(match: Match, protocol: Protocol | None, family: str) -> Iterator[list[Json]]:
    """Whether there is payload: from UDP's own length, or from IP's and the length of the TCP
    header, of which there are eleven. IP options, which no kernel sends by itself, are not
    thought of."""
    if match.payload is None or protocol is None:
        yield []
        return
    compare = partial(_condition, ">" if match.payload else "==")
    if protocol is Protocol.UDP:
        yield [compare({"payload": {"protocol": "udp", "field": "length"}}, 8)]
        return
    before = _IP_HEADER if family == "ip" else 0  # IPv6 counts what follows its header
    for words in range(5, 16):
        yield [
            _equal({"payload": {"protocol": "tcp", "field": "doff"}}, words),
            compare({"payload": {"protocol": family, "field": "length"}}, before + 4 * words),
        ]


def _chosen(share: Share) -> Iterator[Json]:
    if share.first:
        yield _condition("<", _number(_MOST), share.first)
    if share.every > 1:
        yield _equal(_number(share.every), share.every - 1)


def _number(modulus: int) -> Json:
    return {"numgen": {"mode": "inc", "mod": modulus, "offset": 0}}


def _actions(fault: Filter) -> Iterator[list[Json]]:
    """The rules of the last chain. What cannot be told to a packet's sender is dropped."""
    if isinstance(fault, Reject) and fault.how is Rejection.RST:
        yield [_equal({"meta": {"key": "l4proto"}}, "tcp"), {"reject": {"type": "tcp reset"}}]
    elif isinstance(fault, Reject):
        for family, kind, message in zip(
            ("ipv4", "ipv6"), ("icmp", "icmpv6"), _REJECTIONS[fault.how], strict=True
        ):
            if message is not None:
                of_family = _equal({"meta": {"key": "nfproto"}}, family)
                yield [of_family, {"reject": {"type": kind, "expr": message}}]
    yield [{"drop": None}]


def _discovery() -> Json:
    return _equal({"payload": {"protocol": "icmpv6", "field": "type"}}, {"set": _DISCOVERY})


def _chain(table: str, name: str, **more: object) -> Json:
    return {"add": {"chain": {"family": FAMILY, "table": table, "name": name, **more}}}


def _rule(table: str, chain: str, expressions: Sequence[Json]) -> Json:
    rule = {"family": FAMILY, "table": table, "chain": chain, "expr": list(expressions)}
    return {"add": {"rule": rule}}


def _condition(operator: str, left: Json, right: object) -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


_equal = partial(_condition, "==")


@cache
def program() -> str:
    """The path of ``nft``. Raises MissingTool, saying how to get it, where there is none."""
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/sbin"]
    found = shutil.which("nft", path=os.pathsep.join(places))
    if found is None:
        raise MissingTool(
            "dropping and rejecting packets needs nft: sudo apt-get install nftables "
            "(or dnf install nftables)"
        )
    return found


def run_nft(commands: Json, namespace: int) -> str:
    """Give ``commands`` to nft in the network namespace of the descriptor ``namespace``; what it
    answered. Takes some 5 ms.

    The caller must hold CAP_NET_ADMIN there, be single-threaded, and not wait for children
    meanwhile. Raises MissingTool where the kernel or nft itself cannot do it.
    """
    done = subprocess.run(
        [program(), "-j", "-f", "-"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
        preexec_fn=partial(_enter, namespace),
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise MissingTool(
            f"nft could not do it here: {said or f'exit status {done.returncode}'}. The kernel "
            "needs nf_tables with numgen and reject (CONFIG_NF_TABLES, NFT_NUMGEN, NFT_REJECT)."
        )
    return done.stdout


def _enter(namespace: int) -> None:
    """In the new process: into the namespace, with the one power that nft needs there."""
    kernel.setns(namespace, kernel.CLONE_NEWNET)
    kernel.keep_over_exec(kernel.CAP_NET_ADMIN)
