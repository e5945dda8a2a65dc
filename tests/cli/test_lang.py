"""``--lang``: the same report in another language."""

from pathlib import Path

import pytest

from observatory import messages
from observatory.cli import formats
from observatory.cli.terminal import display
from observatory.pipeline import analyze, load
from tests.conftest import Command

RUN = Path(__file__).parent.parent.parent / "captures" / "catalogue" / "close-unread-data.pcapng"
LOST = "尚未读取的字节就此丢失。"


@pytest.mark.parametrize("form", ["text", "markdown", "html", "json"])
def test_a_report_explains_in_chinese(command: Command, form: str) -> None:
    said = command("report", RUN, "--lang", "zh", "--format", form)
    assert (said.status, said.err) == (0, "")
    assert LOST in said.out
    assert "Bytes that had not been read are lost" not in said.out


def test_the_document_says_its_language(command: Command) -> None:
    assert command("analyze", RUN, "--json").document["run"]["language"] == "en"
    assert command("analyze", RUN, "--json", "--lang", "zh").document["run"]["language"] == "zh"


def test_an_annotated_capture_keeps_the_words_it_was_recorded_with(
    command: Command, tmp_path: Path
) -> None:
    for lang in ("en", "zh"):
        made = command("report", RUN, "--lang", lang, "-o", tmp_path / f"{lang}.pcapng")
        assert made.status == 0
    assert (tmp_path / "en.pcapng").read_bytes() == (tmp_path / "zh.pcapng").read_bytes()


@pytest.mark.parametrize("name", ["report", "analyze"])
def test_an_unknown_language_is_refused(command: Command, name: str) -> None:
    said = command(name, RUN, "--lang", "tlh")
    assert said.status == 2
    assert "use one of en, zh" in said.err and not said.out


def test_what_is_not_translated_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = messages.load("zh").texts
    texts = {key: text for key, text in whole.items() if key != "rule/recv-reset"}
    monkeypatch.setattr(messages, "load", lambda lang: messages.Messages(lang, texts))
    text = formats.rendered(analyze(load(RUN)), "text", display(None, lang="zh"))
    assert "Bytes that had not been read are lost" in " ".join(text.split())
    assert capsys.readouterr().err == "1 text is not translated\n"
