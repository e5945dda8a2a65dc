"""Every play in plays/, and that none is missing: a play for each rule and each transition."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from observatory.analysis import analyze
from observatory.analysis.rules import RULES
from tests.analysis.test_states import DIRECTIONS, MIDSTREAM, SCRIPTS
from tests.expectations import check
from tests.plays import PlayError, read_play

FOLDER = Path(__file__).parent / "plays"
PLAYS = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.play"))


@pytest.mark.parametrize("name", PLAYS)
def test_play(name: str) -> None:
    check((FOLDER / name).read_text("utf-8"))


def test_every_rule_has_a_play() -> None:
    """A play that claims ``rule NAME`` and passes has shown that the rule speaks."""
    claimed = set()
    for name in PLAYS:
        for line in read_play((FOLDER / name).read_text("utf-8")).expectations:
            words = line.split()
            claimed |= {after for word, after in pairwise(words) if word == "rule"}
    rules = {rule.id for rule in RULES}
    assert sorted(rules - claimed) == [], "rules that no play shows"
    assert sorted(claimed - rules - {"unexplained"}) == [], "plays of rules that are gone"


@pytest.mark.parametrize("name", [*SCRIPTS, *MIDSTREAM])
def test_the_states_of_every_transition_reach_the_analysis(name: str) -> None:
    """tests/analysis/test_states.py shows that these scripts take every arc of the machine."""
    script, client, server = (SCRIPTS | MIDSTREAM)[name]
    lines = [line.strip() for line in script.strip().splitlines()]
    trace = read_play("\n".join(DIRECTIONS[line[:2]] + line[2:] for line in lines)).trace
    (connection,) = analyze(trace).connections
    assert " ".join(connection.client_states) == client
    assert " ".join(connection.server_states) == server


def test_a_play_that_expects_nothing_is_an_error() -> None:
    with pytest.raises(PlayError, match="nothing would be checked"):
        check("client:5000 > server:80 S 1000")


def test_a_failure_shows_what_was_concluded_instead() -> None:
    with pytest.raises(AssertionError, match=r"(?s)Nobody listens.*- #2 call.*\+ #2 reply"):
        check(
            """
# Nobody listens.
#1 client:5000 > server:80 S 1000
#2 server:80 > client:5000 R. 0 ack 1

expect:
#1 call
#2 call
"""
        )


def test_an_unknown_subject_or_claim_is_an_error() -> None:
    with pytest.raises(PlayError, match="'nobody'"):
        check("client:5000 > server:80 S 1000\nexpect:\nnobody sent #1\n")
    with pytest.raises(PlayError, match="no claim"):
        check("client:5000 > server:80 S 1000\nexpect:\n#1 whatever\n")
