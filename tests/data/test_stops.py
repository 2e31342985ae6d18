"""Where sentences end, in scripts of all directions, and the marks between them."""

from __future__ import annotations

import pytest

from regard.batch import EOS, UNK
from regard.data import Tokenizer
from regard.data.stops import SentenceTokenizer, sentences_of


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \t\n ", []),
        ("no end", ["no end"]),
        ("It costs 3.14 at a.org. Yes! No?", ["It costs 3.14 at a.org.", "Yes!", "No?"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("你好。再见！好吗？", ["你好。", "再见！", "好吗？"]),
        ("他说「你好。」再见", ["他说「你好。」", "再见"]),
        ("كيف حالك؟ بخير.", ["كيف حالك؟", "بخير."]),
        ("یہ کتاب ہے۔ وہ قلم ہے۔", ["یہ کتاب ہے۔", "وہ قلم ہے۔"]),
        ("नमस्ते। ठीक है।", ["नमस्ते।", "ठीक है।"]),
        ("What is this ? ! And that ?", ["What is this ? !", "And that ?"]),
        ("one\ntwo\r\n\r\nthree\u2028four", ["one", "two", "three", "four"]),
        ("Wait… what… 👩‍👩‍👧‍👦! é.", ["Wait…", "what…", "👩‍👩‍👧‍👦!", "é."]),
        ("...", ["..."]),
        ("?! 。", ["?! 。"]),
    ],
)
def test_sentences_by_hand(text: str, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences


def test_nothing_but_white_space_is_lost() -> None:
    text = "a. b! ? c。d؟e\nf ... g”. h" * 500
    assert "".join("".join(sentences_of(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("kind", ["words", "characters", "bpe"])
def test_marks_stand_between_sentences(kind: str) -> None:
    lines = ["a bc d.", "bc a!", "d a bc"] * 3
    plain = Tokenizer.train(kind, lines, 60)  # type: ignore[arg-type]
    marked = SentenceTokenizer(plain)
    text = "  a bc d. bc zz!\nd  "
    parts = [plain.encode(part) for part in ("a bc d.", "bc zz!", "d")]
    expected = [*parts[0].ids, EOS, *parts[1].ids, EOS, *parts[2].ids]
    assert marked.encode(text).ids == expected and UNK in expected
    assert marked.encode_batch([text, "", "a bc"]) == [expected, [], plain.encode("a bc").ids]
    found, words = marked.encode(text), marked.split_words(text)
    assert words.count("</s>") == 2
    assert "".join(words).replace("</s>", "") == "abcd.bczz!d"
    for token, word in zip(found.tokens, found.words, strict=True):
        if token != "<unk>" and token.strip("▁ "):
            assert token.strip("▁ ") in words[word]
    assert [words[word] for token, word in zip(found.ids, found.words, strict=True) if token == EOS] == ["</s>"] * 2
