# ruff: noqa: RUF001 (full-width punctuation is how Chinese is written)
"""Sentences are read back by their patterns, the most particular first, and said part by part."""

from observatory.messages import Messages
from observatory.messages.phrasebook import Phrasebook

TEXTS = {
    "phrase/data, {n:n} bytes": "数据，{n} 字节",
    "phrase/{what}, held back until {id:i} came": "{what}，扣留到 {id} 到来",
    "phrase/{a:i} and {b:i}": "{a} 和 {b}",
    "phrase/{at:w} refuses": "{at} 拒绝",
    "phrase/{what} (kernel: {reason:v})": "{what}（内核：{reason}）",
    "rule/known": "报文段{sent}带着 {told}",
}


def book():
    words = Messages("zh", TEXTS)
    return Phrasebook(words), words


def test_parts_are_said_in_turn():
    say = book()[0].say
    assert say("data, 1,448 bytes") == "数据，1,448 字节"
    assert say("data, 5 bytes, held back until #7 and #9 came") == (
        "数据，5 字节，扣留到 #7 和 #9 到来"
    )


def test_names_are_left_alone():
    phrasebook, words = book()
    assert phrasebook.say("10.0.0.1:80 refuses (kernel: not one of ours)") == (
        "10.0.0.1:80 拒绝（内核：not one of ours）"
    )
    for name in ("connect()", "ECONNREFUSED", "#3", "c5", "/run/a.sock", "server:80", "client[7]"):
        assert phrasebook.say(name) == name
    assert not words.missing


def test_what_is_not_known_stays_english_and_is_counted_once():
    phrasebook, words = book()
    assert phrasebook.say("eaten by 7 bears") == "eaten by 7 bears"
    assert phrasebook.say("eaten by 8 bears") == "eaten by 8 bears"
    assert words.missing == {"phrase/eaten by 0 bears"}


def test_a_rule_is_filled_with_its_facts():
    phrasebook, words = book()
    facts = {"sent": "#3", "told": "data, 5 bytes"}
    assert phrasebook.explain("known", facts, "…") == "报文段 #3 带着 数据，5 字节"
    assert phrasebook.explain("unknown", {}, "In English.") == "In English."
    assert words.missing == {"rule/unknown"}


def test_no_fact_is_left_out_by_an_older_text():
    phrasebook, words = book()
    facts = {"sent": "#3", "told": "data, 5 bytes", "but": "none of it came"}
    assert phrasebook.explain("known", facts, "In English.") == "In English."
    assert words.missing == {"rule/known"}


def test_no_text_of_a_place_can_become_a_pattern():
    phrasebook, _ = book()
    assert phrasebook.say("{x} refuses") == "{x} 拒绝"


def test_a_name_that_is_part_chinese_is_not_touched():
    assert book()[0].say("/run/测试a refuses") == "/run/测试a 拒绝"
