"""The claims as other programs read them."""

import json

from observatory.codec.claims_document import document, encode
from observatory.model.claims import Check, Claim, ClaimsReport, Finding, Item, Verdict

SEEN = Check(
    "connect-refused",
    Finding(Verdict.HOLDS, "SYN #1, RST #2", calls=(2,), segments=(1, 2), kernel=(4,)),
    "runs/connect-refused.pcapng",
    10,
    (Item("c2", "connect(3, 127.0.0.1:9) = -1", 12, 90), Item("#1", "SYN →", 20)),
)
UNSEEN = Check("other", Finding(Verdict.CANNOT, "there is no behaviour other"))
REPORT = ClaimsReport(
    "Linux 6.18.0",
    (Claim(7, "4.3", "RST is hard.", "as soon as", Verdict.CANNOT, (SEEN, UNSEEN)),),
    slow=True,
)


def test_the_document() -> None:
    assert document(REPORT, "0.1.0") == {
        "schema": "observatory-claims/1",
        "version": "0.1.0",
        "kernel": "Linux 6.18.0",
        "slow": True,
        "counts": {"holds": 0, "differs": 0, "cannot be tested here": 1},
        "claims": [
            {
                "number": 7,
                "section": "4.3",
                "statement": "RST is hard.",
                "quoted": "as soon as",
                "verdict": "cannot be tested here",
                "checks": [
                    {
                        "behaviour": "connect-refused",
                        "verdict": "holds",
                        "seen": "SYN #1, RST #2",
                        "calls": [2],
                        "segments": [1, 2],
                        "kernel": [4],
                        "run_file": "runs/connect-refused.pcapng",
                        "started_ns": 10,
                        "evidence": [
                            {
                                "id": "c2",
                                "text": "connect(3, 127.0.0.1:9) = -1",
                                "time_ns": 12,
                                "until_ns": 90,
                            },
                            {"id": "#1", "text": "SYN →", "time_ns": 20, "until_ns": None},
                        ],
                    },
                    {
                        "behaviour": "other",
                        "verdict": "cannot be tested here",
                        "seen": "there is no behaviour other",
                        "calls": [],
                        "segments": [],
                        "kernel": [],
                        "run_file": None,
                        "started_ns": None,
                        "evidence": [],
                    },
                ],
            }
        ],
    }


def test_it_is_json_with_a_newline_at_its_end() -> None:
    text = encode(REPORT, "0.1.0")
    assert text.endswith("}\n")
    assert json.loads(text) == document(REPORT, "0.1.0")
    assert "→" in text
