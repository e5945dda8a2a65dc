"""Verdicts are computed: from runs that may be missing, damaged, or show nothing."""

from dataclasses import replace

import pytest

from observatory.analysis import analyze
from observatory.claims.judging import Observed, judge, judged, look
from observatory.claims.looking import Run, found
from observatory.claims.statements import STATEMENTS, Statement, Trial, of_section
from observatory.model import Analysis
from observatory.model.claims import Finding, Verdict
from observatory.scenarios.catalogue import catalogue
from tests.plays import read_play

TESTS = [(one.number, test) for one in STATEMENTS for test in one.tests]


def played(text: str) -> Analysis:
    return analyze(read_play(text).trace)


def ready(run: Run) -> Finding:
    return found(True, "seen", run.analysis.calls[0], run.analysis.segments[0])


def contrary(run: Run) -> Finding:
    return found(False, "seen", run.analysis.calls[0])


OBSERVED = Observed(played("connected"), "runs/one.pcapng")
ABSENT = Observed(None, why_not="there is no behaviour other")


@pytest.mark.parametrize(
    ("number", "test"), TESTS, ids=lambda value: str(getattr(value, "behaviour", value))
)
class TestEveryPredicate:
    def test_tells_nothing_of_a_run_that_shows_nothing(self, number: int, test: Trial) -> None:
        assert look(test.predicate, played("")).verdict is Verdict.CANNOT

    def test_tells_nothing_where_packets_were_lost(self, number: int, test: Trial) -> None:
        finding = look(test.predicate, played("connected\ndropped 3"))
        assert finding.verdict is Verdict.CANNOT
        assert "3 packets were lost" in finding.seen

    def test_is_documented(self, number: int, test: Trial) -> None:
        assert test.predicate.__doc__


def test_statements_are_numbered_and_none_is_there_twice() -> None:
    assert [one.number for one in STATEMENTS] == list(range(1, len(STATEMENTS) + 1))
    assert len(STATEMENTS) >= 38
    assert len({one.text for one in STATEMENTS}) == len(STATEMENTS)


def test_every_statement_says_where_it_stands_and_what_tests_it() -> None:
    for one in STATEMENTS:
        assert one.section and one.text.endswith(".") and one.quoted
        assert one.behaviours and any(not test.slow for test in one.tests)


def test_every_behaviour_is_in_the_catalogue() -> None:
    named = {name for one in STATEMENTS for name in one.behaviours}
    assert named <= set(catalogue())


def test_a_section_is_chosen_by_its_number() -> None:
    assert {one.section for one in of_section("4.3")} == {"4.3"}
    assert {one.section for one in of_section("4.1")} == set()
    assert len(of_section("4")) > len(of_section("4.3"))


@pytest.mark.parametrize(
    ("predicates", "verdict"),
    [
        ((ready,), Verdict.HOLDS),
        ((ready, ready), Verdict.HOLDS),
        ((ready, contrary), Verdict.DIFFERS),
        ((ready, None), Verdict.CANNOT),
        ((contrary, None), Verdict.DIFFERS),
        ((None,), Verdict.CANNOT),
    ],
)
def test_a_statement_holds_where_all_its_tests_do(predicates, verdict) -> None:
    tests = tuple(
        Trial("one", predicate) if predicate else Trial("other", ready) for predicate in predicates
    )
    statement = Statement(1, "4.3", "It is so.", "so", tests)
    claim = judge(statement, {"one": OBSERVED, "other": ABSENT})
    assert claim.verdict is verdict
    assert [one.behaviour for one in claim.checks] == [test.behaviour for test in tests]


def test_what_is_slow_is_left_out_unless_asked_for() -> None:
    tests = (Trial("one", ready), Trial("other", ready, slow=True))
    statement = Statement(1, "4.3", "It is so.", "so", tests)
    observed = {"one": OBSERVED, "other": ABSENT}
    assert judge(statement, observed).verdict is Verdict.HOLDS
    assert judge(statement, observed, slow=True).verdict is Verdict.CANNOT


def test_what_was_not_observed_says_why() -> None:
    statement = Statement(1, "4.3", "It is so.", "so", (Trial("other", ready),))
    (check,) = judge(statement, {"other": ABSENT}).checks
    assert check.finding == Finding(Verdict.CANNOT, "there is no behaviour other")
    assert (check.run_file, check.started_ns, check.items) == ("", None, ())


def test_evidence_is_told_with_times_and_the_run_file() -> None:
    statement = Statement(1, "4.3", "It is so.", "so", (Trial("one", ready),))
    (check,) = judge(statement, {"one": OBSERVED}).checks
    call, segment = check.items
    assert (call.id, segment.id) == ("c1", "#1")
    assert call.text == "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3"
    assert segment.text == "10.0.0.1:5000 → 10.0.0.2:80 SYN"
    assert call.until_ns is not None and call.time_ns < call.until_ns < segment.time_ns
    assert check.run_file == "runs/one.pcapng"
    assert check.started_ns == call.time_ns


def test_a_run_with_a_defect_proves_nothing() -> None:
    analysis = played("connected")
    damaged = replace(analysis, trace=replace(analysis.trace, defects=("cut at byte 9",)))
    finding = look(ready, damaged)
    assert finding.verdict is Verdict.CANNOT
    assert "cut at byte 9" in finding.seen


def test_the_report_names_the_kernel_of_its_runs() -> None:
    analysis = played("connected")
    run = replace(analysis.trace.run, kernel="Linux 6.18.0")
    on = Observed(replace(analysis, trace=replace(analysis.trace, run=run)))
    statement = Statement(
        1, "4.3", "It is so.", "so", (Trial("one", ready), Trial("two", contrary))
    )
    report = judged([statement], {"one": on, "two": OBSERVED}, slow=False)
    assert report.kernel == "Linux 6.18.0"
    assert report.counts() == {Verdict.HOLDS: 0, Verdict.DIFFERS: 1, Verdict.CANNOT: 0}
