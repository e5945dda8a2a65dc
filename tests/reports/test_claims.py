"""The claims as a table and as a page."""

import pytest

from observatory.model.claims import Check, Claim, ClaimsReport, Finding, Item, Verdict
from observatory.reports import claims, claims_markdown
from observatory.reports.style import cells

START = 1_700_000_000_000_000_000
ITEMS = (
    Item("c2", "connect(3, 127.0.0.1:9) = -1 ECONNREFUSED (a | b)", START + 5_000, START + 90_000),
    Item("#1", "127.0.0.1:5000 → 127.0.0.1:9 SYN", START + 12_345),
    Item("c9", "exit(0) = ?", START + 1_234_567_000),
)
REFUSED = Check(
    "connect-refused",
    Finding(Verdict.HOLDS, "SYN #1 was answered by RST #2; connect() c2 <returned>", (2,), (1,)),
    "captures/claims/connect-refused.pcapng",
    START,
    ITEMS,
)
ABSENT = Check("listen-syn-received", Finding(Verdict.CANNOT, "there is no such behaviour"))
OTHERWISE = Check("connect-again", Finding(Verdict.DIFFERS, "it worked: c4"), "runs/a_b.pcapng")
REPORT = ClaimsReport(
    "Linux 6.18.0",
    (
        Claim(7, "4.3", "RST is a hard error.", "as soon as", Verdict.HOLDS, (REFUSED,)),
        Claim(11, "4.3", "No AF_ use.", "no longer usable", Verdict.DIFFERS, (OTHERWISE, ABSENT)),
        Claim(17, "4.10", "There are two.", "two queues", Verdict.CANNOT, (ABSENT,)),
    ),
)


def table(width: int = 80, colour: bool = False, ascii_only: bool = False) -> list[str]:
    return claims.render(REPORT, width, colour, ascii_only).splitlines()


def test_a_row_has_its_number_section_verdict_and_statement() -> None:
    lines = table()
    assert "  7 4.3   holds        RST is a hard error. “as soon as”" in lines
    assert " 11 4.3   differs      No AF_ use. “no longer usable”" in lines
    assert " 17 4.10  cannot be    There are two. “two queues”" in lines
    assert lines[0] == "What UNIX Network Programming says, and what Linux 6.18.0 does"


def test_what_was_seen_and_the_run_file_stand_below() -> None:
    text = " ".join(" ".join(table()).split())
    assert "connect-refused: SYN #1 was answered by RST #2; connect() c2 <returned>" in text
    assert " connect-refused.pcapng " in text
    assert table()[-1] == "The run files are in captures/claims, runs"


def test_of_several_tests_each_says_its_verdict() -> None:
    text = " ".join(" ".join(table()).split())
    assert "differs: connect-again: it worked: c4" in text
    assert "cannot be tested here: listen-syn-received: there is no such behaviour" in text


def test_a_line_counts() -> None:
    assert table(100)[-2] == (
        "1 hold · 1 differ · 1 cannot be tested here · what takes minutes was left out: --slow"
    )
    slow = ClaimsReport(REPORT.kernel, REPORT.claims, slow=True)
    assert claims.counts_text(slow).endswith("cannot be tested here")


@pytest.mark.parametrize("width", [80, 60, 120])
def test_lines_fit_the_terminal(width: int) -> None:
    assert max(map(cells, table(width))) <= width


def test_no_line_ends_in_blanks() -> None:
    assert [line for line in table() if line != line.rstrip()] == []


def test_colour_is_used_only_where_it_is_wanted() -> None:
    assert "\x1b[" not in "".join(table())
    assert "\x1b[32mholds" in "".join(table(colour=True))


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    assert all(line.isascii() for line in table(ascii_only=True))


def page(**options) -> str:
    return claims_markdown.render(REPORT, **options)


def test_the_page_names_the_kernel_and_has_a_row_for_each_claim() -> None:
    text = page()
    assert text.startswith("# The book's claims on Linux 6.18.0\n")
    assert (
        "| [7](#7) | 4.3 | RST is a hard error. *“as soon as”* | **holds** | `connect-refused` |"
        in text
    )
    assert "| **cannot be tested here** | `listen-syn-received` |" in text


def test_what_may_change_from_run_to_run_is_evidence() -> None:
    verdicts, _, evidence = page().partition(claims_markdown.EVIDENCE)
    assert "#1" not in verdicts.replace("(#1", "")
    assert "captures/" not in verdicts and "captures/" in evidence


def test_evidence_has_ids_times_and_text() -> None:
    text = page()
    assert "| c2 | 5 µs – 90 µs | `connect(3, 127.0.0.1:9) = -1 ECONNREFUSED (a \\| b)` |" in text  # noqa: RUF001
    assert "| `#1` | 12 µs | `127.0.0.1:5000 → 127.0.0.1:9 SYN` |" in text
    assert "| c9 | 1,234,567 µs | `exit(0) = ?` |" in text


def test_markup_in_what_was_seen_is_text() -> None:
    text = page()
    assert "SYN `#1` was answered by RST `#2`; connect() c2 \\<returned\\>" in text
    assert "No AF\\_ use." in text


def test_run_files_may_be_linked() -> None:
    text = page(link=lambda path: f"[it](../{path})")
    assert "([it](../runs/a_b.pcapng)): differs." in text
