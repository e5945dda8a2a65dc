"""``observatory claims`` as a person types it."""

import shutil
from pathlib import Path

import pytest

from observatory.codec.claims_document import SCHEMA
from tests.conftest import Command

SAMPLES = Path(__file__).parent.parent.parent / "captures" / "catalogue"


def test_committed_runs_are_judged_without_running_anything(command: Command) -> None:
    said = command("claims", "4.10", "--from", SAMPLES, "--json")
    assert (said.status, said.err) == (0, "")
    assert said.document["schema"] == SCHEMA
    assert [claim["number"] for claim in said.document["claims"]] == [33, 34, 35]
    assert all(claim["section"] == "4.10" for claim in said.document["claims"])
    for claim in said.document["claims"]:
        for check in claim["checks"]:
            assert Path(check["run_file"]).exists()
            assert check["evidence"] and check["seen"]


def test_a_run_that_is_not_there_is_no_failure(command: Command, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copy(SAMPLES / "fork-exec.pcapng", runs)
    said = command("claims", "4.10", "--from", runs, "--json")
    assert said.status == 0
    verdicts = {claim["number"]: claim["verdict"] for claim in said.document["claims"]}
    assert verdicts[33] == verdicts[34] == "cannot be tested here"
    assert verdicts[35] != "cannot be tested here"


def test_the_table_fits_a_terminal(command: Command) -> None:
    said = command("claims", "--from", SAMPLES, env={"COLUMNS": "80"})
    assert said.status == 0
    assert max(map(len, said.out.splitlines())) <= 80
    assert "\x1b" not in said.out


def test_the_page_is_for_the_kernel_of_its_runs(command: Command) -> None:
    said = command("claims", "4.4", "--from", SAMPLES, "--format", "markdown")
    assert said.out.startswith("# The book's claims on Linux ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("9.9",), "no statement is of section 9.9; there are 4.2, 4.3"),
        (("4.10", "--from", "nowhere"), "none of the 4 runs that are needed"),
        (("--from", "a", "-o", "b"), "not allowed with"),
        (("--format", "pdf"), "invalid choice"),
    ],
)
def test_mistakes_are_told(command: Command, arguments: tuple[str, ...], says: str) -> None:
    said = command("claims", *arguments)
    assert said.status == 2
    assert says in said.err
    assert said.out == ""


def test_help_has_examples(command: Command) -> None:
    said = command("claims", "--help")
    assert "examples:" in said.out and "--slow" in said.out


@pytest.mark.usefixtures("live")
class TestLive:
    def test_behaviours_are_run_once_and_their_files_kept(
        self, command: Command, tmp_path: Path
    ) -> None:
        said = command("claims", "4.7", "-o", "runs", "--json")
        assert (said.status, said.err) == (0, "")
        (claim,) = said.document["claims"]
        assert claim["verdict"] in ("holds", "differs")
        files = [check["run_file"] for check in claim["checks"]]
        assert [tmp_path / file for file in files] == sorted((tmp_path / "runs").iterdir())

    def test_the_table_says_where_they_are(self, command: Command, tmp_path: Path) -> None:
        said = command("claims", "4.7", env={"COLUMNS": "80"})
        assert said.status == 0
        assert "fork-shared-descriptor.pcapng" in said.out
        assert said.out.endswith("The run files are in captures/claims\n")
        assert (tmp_path / "captures/claims/fork-shared-descriptor.pcapng").exists()

    def test_what_was_kept_is_what_was_judged(self, command: Command) -> None:
        first = command("claims", "4.7", "-o", "runs", "--json")
        again = command("claims", "4.7", "--from", "runs", "--json")
        assert again.document == first.document

    def test_where_nothing_can_be_written_it_says_so(
        self, command: Command, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        said = command("claims", "4.7", "-o", "file/runs")
        assert said.status == 8
        assert "fork-shared-descriptor" in said.err
        assert "cannot be" in said.out
