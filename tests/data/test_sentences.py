"""Sentences and the white space between them: nothing is lost, whatever the text."""

from __future__ import annotations

import random

import pytest

from regard.data.sentences import Pieces, rejoin, split

PARTS = [
    "a", "B", "Dr.", ".", "。", "！", " ", "\n", "\r\n", "!", "\u3000", "\xa0", "é", "e\u0301", '"', "(", ")", "“", "”", "1",
    "3.14", ",", "\ud800", "👩‍👩‍👧", "🇫🇷", "\x85", "\u2028", "।", "؟", "…", "J.", "\0", "\x1c",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello world. It is late!  Is it? Yes.", ["Hello world.", "It is late!", "Is it?", "Yes."]),
        ("This is Dr. Smith of the U.S. Army, e.g. here.", ["This is Dr. Smith of the U.S. Army, e.g. here."]),
        ("J. R. R. Tolkien wrote it. Pi is 3.14. Good.", ["J. R. R. Tolkien wrote it.", "Pi is 3.14.", "Good."]),
        ("See https://a.b/c.html?x=1. Mail a.b@c.de now.", ["See https://a.b/c.html?x=1.", "Mail a.b@c.de now."]),
        ("He said “Stop!” Then he left… Gone.", ["He said “Stop!”", "Then he left…", "Gone."]),
        ("你好。今天很好！你呢？", ["你好。", "今天很好！", "你呢？"]),
        ("我说“好。”然后走了。", ["我说“好。”", "然后走了。"]),
        ("كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("1. Wash it. 2. Cook it.", ["1. Wash it.", "2. Cook it."]),
        ("no stop\nin these\r\n\r\ntwo lines", ["no stop", "in these", "two lines"]),
        ("Really ?!! ... Yes", ["Really ?!! ...", "Yes"]),
        (" \n\t ", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, sentences: list[str]) -> None:
    assert split(text).sentences == sentences


def test_the_language_says_what_an_abbreviation_is() -> None:
    text = "Er kam am 3. Mai. Das ist z. B. gut."
    assert split(text, language="de").sentences == ["Er kam am 3. Mai.", "Das ist z. B. gut."]
    assert split(text, language="no such language").sentences[-1] == "Das ist z. B. gut."


def test_what_is_between_two_sentences_is_kept() -> None:
    assert split("  One.\t\tTwo.\n\n Three. ") == Pieces(["One.", "Two.", "Three."], ["  ", "\t\t", "\n\n ", " "])


def test_nothing_is_lost_of_any_text() -> None:
    draw = random.Random(5)
    for _ in range(1500):
        text = "".join(draw.choice(PARTS) for _ in range(draw.randint(0, 31)))
        limit = draw.choice([None, 1, 3, 11])
        pieces = split(text, language=draw.choice(["en", "fr", "zh", "ja"]), limit=limit)
        assert rejoin(pieces, pieces.sentences) == text
        assert len(pieces.between) == len(pieces.sentences) + 1
        for sentence in pieces.sentences:
            assert sentence and sentence == sentence.strip() and len(sentence.splitlines()) == 1
        assert all(not space.strip() for space in pieces.between)


def test_a_text_larger_than_the_window_is_cut_the_same() -> None:
    sentence = "This is sentence number seven, more or less."
    assert split(" ".join([sentence] * 211)).sentences == [sentence] * 211


def test_translations_keep_the_lines_and_get_spaces_where_scripts_need_them() -> None:
    chinese = split("你好。今天很好！\n再见。")
    assert rejoin(chinese, ["Hello.", "Nice day!", "Bye."]) == "Hello. Nice day!\nBye."
    assert rejoin(chinese, ["こんにちは。", "いい日！", "じゃね。"]) == "こんにちは。いい日！\nじゃね。"
    assert rejoin(split("One. Two."), ["", "Zwei."]) == " Zwei."
    with pytest.raises(ValueError, match="2 translations for 3"):
        rejoin(chinese, ["a", "b"])


def test_long_sentences_are_cut_at_clauses_then_at_spaces_then_anywhere() -> None:
    text = "the man who came first, as I said; and the one who followed him"
    assert split(text, limit=50).sentences == ["the man who came first, as I said;", "and the one who followed him"]
    assert split("a man in the old house, and his dog", limit=30).sentences == [
        "a man in the old house,",
        "and his dog",
    ]
    assert split("it costs 1,000,000 pounds", limit=20).sentences == ["it costs", "1,000,000 pounds"]
    assert split("wwwwwwwwww", limit=5).sentences == ["wwwww", "wwwww"]
    assert split("他说他今天会来，但是他没有来", limit=9).sentences == ["他说他今天会来，", "但是他没有来"]
    words = split("one two three four five six seven", limit=2, size=lambda part: len(part.split()))
    assert max(len(part.split()) for part in words.sentences) == 2
    with pytest.raises(ValueError, match="at least 1"):
        split("a", limit=0)


def test_no_cut_within_a_character_or_what_must_stay_whole() -> None:
    family = "👩‍👩‍👧"
    assert all(set(part) <= set(family * 9) for part in split(family * 9, limit=7).sentences)
    assert not any(part.startswith(("\u200d", "\u0301")) for part in split(family * 7, limit=1).sentences)
    assert not any(part.startswith("\u0301") for part in split("e\u0301" * 13, limit=3).sentences)
    text = "Use {a. B. c} here. And there."
    assert split(text, whole=[(4, 13)]).sentences == ["Use {a. B. c} here.", "And there."]
