# ruff: noqa: RUF001 (full-width punctuation is how Chinese is written)
"""The same analysis in another language: other words, the same conclusions."""

from dataclasses import replace
from pathlib import Path

from observatory import messages
from observatory.analysis import analyze
from observatory.codec.document import document
from observatory.pipeline import load
from observatory.reports.markdown import render as markdown
from observatory.reports.style import cells
from observatory.reports.text import render
from observatory.reports.translated import in_language

RUN = Path(__file__).parents[2] / "captures" / "catalogue" / "close-unread-data.pcapng"


def chinese():
    return in_language(analyze(load(RUN)), messages.load("zh"))


def test_english_is_the_analysis_itself():
    analysis = analyze(load(RUN))
    assert in_language(analysis, messages.load("en")) is analysis


def test_words_change_and_conclusions_do_not():
    before, after = analyze(load(RUN)), chinese()
    assert after.coverage == before.coverage
    for old, new in zip(before.calls, after.calls, strict=True):
        assert new.explanation.text != old.explanation.text
        assert replace(new.explanation, text="") == replace(old.explanation, text="")
    for old, new in zip(before.segments, after.segments, strict=True):
        assert replace(new.cause, reason="") == replace(old.cause, reason="")
    assert after.trace.calls == before.trace.calls
    assert after.trace.segments == before.trace.segments


def test_an_explanation_is_said_with_its_facts():
    texts = [one.explanation.text for one in chinese().calls]
    assert any("RST #6 结束了连接（close() 时有 8 字节未读，中止连接）" in text for text in texts)


def test_the_forms_have_the_language():
    analysis = chinese()
    assert document(analysis)["run"]["language"] == "zh"
    assert "尚未读取的字节就此丢失" in render(analysis)
    assert "尚未读取的字节就此丢失" in markdown(analysis)


def test_the_reports_own_words_are_chinese_too():
    for report in (render(chinese()), markdown(chinese())):
        lines = [line.strip("# ") for line in report.splitlines()]
        assert "为什么" in lines
        assert not {"Why", "Calls", "Segments", "Connections", "Kernel"} & set(lines)
    text = render(chinese())
    assert "6 个报文段：6 个有出处" in text
    assert "evidence" not in text and "by client" not in text


def test_every_line_of_a_chinese_report_keeps_within_the_width():
    assert max(map(cells, render(chinese(), width=80).splitlines())) <= 80


def test_a_command_line_is_nobodys_sentence():
    english = analyze(load(RUN))
    run = replace(english.trace.run, scenario=None, command="Why Notes")
    named = replace(english, trace=replace(english.trace, run=run))
    words = messages.load("zh")
    assert in_language(named, words).trace.run.command == "Why Notes"
    assert not words.missing
