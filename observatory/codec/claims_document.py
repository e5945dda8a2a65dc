"""The claims as a JSON document, for other programs: ``"schema": "observatory-claims/1"``.

Fields are only ever added within ``/1``. Times are integer nanoseconds of CLOCK_REALTIME; ids are
those of the run file that a check names.
"""

from __future__ import annotations

import json
from typing import Any, Final

from observatory.model.claims import Check, Claim, ClaimsReport, Item

SCHEMA: Final = "observatory-claims/1"


def encode(report: ClaimsReport, version: str) -> str:
    """The document as indented JSON with a newline at its end."""
    return json.dumps(document(report, version), indent=2, ensure_ascii=False) + "\n"


def document(report: ClaimsReport, version: str) -> dict[str, Any]:
    """``{"schema", "version", "kernel", "slow", "counts", "claims": [...]}``."""
    return {
        "schema": SCHEMA,
        "version": version,
        "kernel": report.kernel,
        "slow": report.slow,
        "counts": {verdict.value: count for verdict, count in report.counts().items()},
        "claims": [_claim(claim) for claim in report.claims],
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "number": claim.number,
        "section": claim.section,
        "statement": claim.statement,
        "quoted": claim.quoted,
        "verdict": claim.verdict.value,
        "checks": [_check(check) for check in claim.checks],
    }


def _check(check: Check) -> dict[str, Any]:
    finding = check.finding
    return {
        "behaviour": check.behaviour,
        "verdict": finding.verdict.value,
        "seen": finding.seen,
        "calls": list(finding.calls),
        "segments": list(finding.segments),
        "kernel": list(finding.kernel),
        "run_file": check.run_file or None,
        "started_ns": check.started_ns,
        "evidence": [_item(item) for item in check.items],
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "text": item.text,
        "time_ns": item.time_ns,
        "until_ns": item.until_ns,
    }
