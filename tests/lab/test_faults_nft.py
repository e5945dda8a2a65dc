"""Faults as nftables rules: what is written for nft, and what becomes of what it answers."""

import json
import subprocess

import pytest

from observatory.errors import MissingTool
from observatory.lab import faults_nft
from observatory.lab.faults import Drop, Hook, Reject, Rejection
from observatory.lab.match import DATA, EVERYTHING, SYN, Match
from observatory.model import Protocol

ADDRESSES = {"client": ("192.0.2.1", "2001:db8::1"), "old": ("192.0.2.9", "192.0.2.8")}


def addresses(host):
    return ADDRESSES.get(host, (host,))


def text(expression):
    """One condition as a person writes it."""
    match = expression["match"]
    return f"{_side(match['left'])} {match['op']} {_side(match['right'])}"


def _side(side):
    match side:
        case {"payload": {"protocol": protocol, "field": field}}:
            return f"{protocol} {field}"
        case {"meta": {"key": key}}:
            return key
        case {"&": [left, mask]}:
            return f"{_side(left)} & {mask}"
        case {"set": members}:
            return "{" + " ".join(members) + "}"
        case {"numgen": {"mode": mode, "mod": modulus}}:
            return f"numgen {mode} mod {modulus}"
    return str(side)


def written(match):
    return [
        [text(each) for each in alternative]
        for alternative in faults_nft.alternatives(match, addresses)
    ]


@pytest.mark.parametrize(
    ("match", "conditions"),
    [
        (EVERYTHING, [[]]),
        (SYN, [["l4proto == tcp", "tcp flags & 18 == 2"]]),
        (
            SYN.sent_by("client"),
            [
                [
                    "nfproto == ipv4",
                    "ip saddr == 192.0.2.1",
                    "l4proto == tcp",
                    "tcp flags & 18 == 2",
                ],
                [
                    "nfproto == ipv6",
                    "ip6 saddr == 2001:db8::1",
                    "l4proto == tcp",
                    "tcp flags & 18 == 2",
                ],
            ],
        ),
        (
            # The old one has no IPv6 address: there is only one way.
            Match(source="client", destination="old"),
            [["nfproto == ipv4", "ip saddr == 192.0.2.1", "ip daddr == {192.0.2.8 192.0.2.9}"]],
        ),
        (
            Match(port=53),
            [
                ["l4proto == tcp", "tcp sport == 53"],
                ["l4proto == tcp", "tcp dport == 53"],
                ["l4proto == udp", "udp sport == 53"],
                ["l4proto == udp", "udp dport == 53"],
            ],
        ),
        (Match(Protocol.ICMPV6), [["l4proto == ipv6-icmp"]]),
        (
            Match(Protocol.UDP, payload=True, source="192.0.2.1"),
            [["nfproto == ipv4", "ip saddr == 192.0.2.1", "l4proto == udp", "udp length > 8"]],
        ),
    ],
)
def test_a_match_is_written_once_for_each_way_to_meet_it(match, conditions):
    assert written(match) == conditions


def test_payload_is_what_follows_a_tcp_header_of_any_length():
    found = written(DATA)

    assert len(found) == 2 * 11
    assert found[0][-2:] == ["tcp doff == 5", "ip length > 40"]
    assert found[10][-2:] == ["tcp doff == 15", "ip length > 80"]
    assert found[13][-2:] == ["tcp doff == 7", "ip6 length > 28"]


def test_no_payload_is_a_length_that_is_equal():
    ends = written(Match(Protocol.TCP, payload=False, destination="192.0.2.1"))

    assert [end[-1] for end in ends][:2] == ["ip length == 40", "ip length == 44"]


def rules(fault, hook=Hook.FORWARD):
    """The expressions of the chain ``chosen`` and of ``act``."""
    found = {"base": [], "chosen": [], "act": []}
    for command in faults_nft.ruleset(fault, "fault_1", hook, addresses)["nftables"]:
        if "rule" in command["add"]:
            rule = command["add"]["rule"]
            found[rule["chain"]].append(rule["expr"])
    return found


@pytest.mark.parametrize(
    ("fault", "condition"),
    [
        (Drop(), None),
        (Drop(first=3), "numgen inc mod 2147483647 < 3"),
        (Drop(every=4), "numgen inc mod 4 == 3"),
        (Drop(every=1), None),
    ],
)
def test_a_share_is_counted_in_a_rule_of_its_own(fault, condition):
    ((*conditions, counter, _),) = rules(fault)["chosen"]

    assert [text(each) for each in conditions] == ([condition] if condition else [])
    assert counter == {"counter": "hits"}


@pytest.mark.parametrize(
    ("how", "rejections"),
    [
        (
            Rejection.ADMIN_PROHIBITED,
            [
                {"type": "icmp", "expr": "admin-prohibited"},
                {"type": "icmpv6", "expr": "admin-prohibited"},
            ],
        ),
        (
            Rejection.NET_UNREACHABLE,
            [{"type": "icmp", "expr": "net-unreachable"}, {"type": "icmpv6", "expr": "no-route"}],
        ),
        (Rejection.POLICY_FAIL, [{"type": "icmpv6", "expr": "policy-fail"}]),
        (Rejection.PROTOCOL_UNREACHABLE, [{"type": "icmp", "expr": "prot-unreachable"}]),
        (Rejection.RST, [{"type": "tcp reset"}]),
    ],
)
def test_a_rejection_is_each_protocols_own(how, rejections):
    *told, last = rules(Reject(how=how))["act"]

    assert [rule[-1]["reject"] for rule in told] == rejections
    assert last == [{"drop": None}], "who cannot be told is not let through"


def test_a_host_goes_on_hearing_its_neighbours():
    first, _ = rules(Drop(), Hook.INPUT)["base"]

    assert "nd-neighbor-solicit" in text(first[0])
    assert first[1] == {"accept": None}
    assert len(rules(Drop(), Hook.FORWARD)["base"]) == 1, "a router forwards no such question"


def test_the_count_is_read_from_nfts_answer():
    counter = {"counter": {"name": "hits", "packets": 7, "bytes": 420}}
    answer = json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, counter]})

    assert faults_nft.hits(answer) == 7
    with pytest.raises(ValueError, match="no counter"):
        faults_nft.hits('{"nftables": []}')


def test_a_missing_nft_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(faults_nft.shutil, "which", lambda *_, **__: None)
    faults_nft.program.cache_clear()
    try:
        with pytest.raises(MissingTool, match="apt-get install nftables"):
            faults_nft.program()
    finally:
        faults_nft.program.cache_clear()


def test_a_kernel_that_cannot_do_it_is_told_in_nfts_words(monkeypatch):
    def refuse(*_, **__):
        return subprocess.CompletedProcess([], 1, "", "Error: Could not process rule:\n No such\n")

    monkeypatch.setattr(faults_nft, "program", lambda: "nft")
    monkeypatch.setattr(faults_nft.subprocess, "run", refuse)

    with pytest.raises(MissingTool, match="Could not process rule: No such") as told:
        faults_nft.run_nft({}, 3)
    assert "CONFIG_NF_TABLES" in str(told.value)
