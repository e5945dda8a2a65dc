"""Why each call returned what it did: one table of rules, tried in order.

A rule speaks of some calls and one outcome: ``ok``, an errno, ``EOF`` (a receive that returned
0), or ``never`` (it did not return). ``because`` looks for the evidence and answers None where
it is not there. The first rule with evidence explains the call; where none has any, the call is
unexplained and printed so. Rows are in the modules of their subject; the order here is the
order in which they are tried.
"""

from __future__ import annotations

from collections.abc import Mapping

from observatory.analysis.callsets import RECEIVING
from observatory.analysis.rule import ANY_CALL, Rule
from observatory.analysis.rules_bind import BIND_RULES
from observatory.analysis.rules_close import CLOSE_RULES
from observatory.analysis.rules_connect import CONNECT_RULES
from observatory.analysis.rules_ending import ENDING_RULES
from observatory.analysis.rules_local import LOCAL_RULES
from observatory.analysis.rules_open import OPEN_RULES
from observatory.analysis.rules_passive import PASSIVE_RULES
from observatory.analysis.rules_receive import RECEIVE_RULES
from observatory.analysis.rules_send import SEND_RULES
from observatory.analysis.rules_shutdown import SHUTDOWN_RULES
from observatory.analysis.rules_unanswered import UNANSWERED_RULES
from observatory.analysis.rules_unsent import UNSENT_RULES
from observatory.analysis.view import View, conclude
from observatory.model import Call, Confidence, Evidence, Explanation

RULES: tuple[Rule, ...] = (
    *UNANSWERED_RULES,
    *OPEN_RULES,
    *CONNECT_RULES,
    *BIND_RULES,
    *PASSIVE_RULES,
    *SEND_RULES,
    *UNSENT_RULES,
    *RECEIVE_RULES,
    *SHUTDOWN_RULES,
    *CLOSE_RULES,
    *ENDING_RULES,
    *LOCAL_RULES,
)


def outcome_of(call: Call) -> str:
    """``ok``, ``EOF``, ``never`` or the errno."""
    if call.returned_ns is None:
        return "never"
    if call.errno is not None:
        return call.errno
    asked = call.args.get("length")
    if call.name in RECEIVING and call.result == 0 and asked != 0:
        return "EOF"
    return "ok"


def explain(view: View) -> Explanation:
    """The first rule of the table whose evidence is there."""
    call = view.call
    outcome = outcome_of(call)
    for rule in _BY_CALL.get((call.name, outcome), _BY_CALL.get((ANY_CALL, outcome), ())):
        because = rule.because(view)
        if because is not None:
            return conclude(
                view, because, rule.text, rule.id, rule.reference,
                certain=rule.certain, plain=rule.plain, by_absence=rule.by_absence,
            )  # fmt: skip
    shown = "did not return" if outcome == "never" else f"returned {outcome}"
    return Explanation(
        f"{call.name}() {shown}: no rule has evidence for why",
        "unexplained",
        Confidence.UNEXPLAINED,
        Evidence((*view.sent, *view.completed_by)),
    )


def _index() -> Mapping[tuple[str, str], tuple[Rule, ...]]:
    """Rules by call and outcome, those for any call last."""
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in RULES:
        for name in rule.calls:
            for outcome in rule.outcomes:
                found.setdefault((name, outcome), []).append(rule)
    for (name, outcome), rules in found.items():
        if name != ANY_CALL:
            rules.extend(found.get((ANY_CALL, outcome), []))
    return {key: tuple(rules) for key, rules in found.items()}


_BY_CALL = _index()
